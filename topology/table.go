package topology

import (
	"hash/maphash"
	"iter"
	"maps"
	"slices"
)

const (
	pageBits = 8
	pageSize = 1 << pageBits
	maxShard = 64 // entries of a shard on average, from which there are more shards
)

// table maps small ids to values. Immutable: a tableEdit makes the next one, which shares the pages that were not written. The zero value is empty.
type table[T any] struct{ pages []*[pageSize]*T }

func (t *table[T]) get(id uint32) *T {
	if p := int(id >> pageBits); p < len(t.pages) && t.pages[p] != nil {
		return t.pages[p][id%pageSize]
	}
	return nil
}

func (t *table[T]) all() iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for _, p := range t.pages {
			if p == nil {
				continue
			}
			for _, v := range p {
				if v != nil && !yield(v) {
					return
				}
			}
		}
	}
}

// tableEdit changes its target to a new table, one copy per page.
type tableEdit[T any] struct {
	target *table[T]
	own    []bool // pages that this edit made
}

// set makes v the value of id; nil removes it.
func (e *tableEdit[T]) set(id uint32, v *T) {
	p := int(id >> pageBits)
	if e.own == nil || p >= len(e.target.pages) {
		pages := make([]*[pageSize]*T, max(len(e.target.pages), p+1))
		copy(pages, e.target.pages)
		e.target.pages = pages
		e.own = append(e.own, make([]bool, len(pages)-len(e.own))...)
	}
	if !e.own[p] {
		page := new([pageSize]*T)
		if old := e.target.pages[p]; old != nil {
			*page = *old
		}
		e.target.pages[p] = page
		e.own[p] = true
	}
	e.target.pages[p][id%pageSize] = v
}

// shardMap is a map that is copied by shards. Immutable, as table is. The zero value is empty.
type shardMap[K comparable, V any] struct {
	shard []map[K]V // their number is a power of two
	seed  maphash.Seed
	n     int
}

func (m *shardMap[K, V]) index(k K) int {
	if len(m.shard) == 1 {
		return 0
	}
	return int(maphash.Comparable(m.seed, k)) & (len(m.shard) - 1)
}

func (m *shardMap[K, V]) get(k K) (v V, ok bool) {
	if m.n == 0 {
		return v, false
	}
	v, ok = m.shard[m.index(k)][k]
	return v, ok
}

func (m *shardMap[K, V]) len() int { return m.n }

func (m *shardMap[K, V]) all() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, s := range m.shard {
			for k, v := range s {
				if !yield(k, v) {
					return
				}
			}
		}
	}
}

// shardEdit changes its target to a new map, one copy per shard.
type shardEdit[K comparable, V any] struct {
	target *shardMap[K, V]
	own    []bool // shards that this edit made; nil: the list of them is not its own either
}

// writable returns the shard of k, to be changed.
func (e *shardEdit[K, V]) writable(k K) map[K]V {
	t := e.target
	if e.own == nil {
		if t.shard == nil {
			t.seed, t.shard = maphash.MakeSeed(), make([]map[K]V, 1)
		} else {
			t.shard = slices.Clone(t.shard)
		}
		e.own = make([]bool, len(t.shard))
	}
	i := t.index(k)
	if !e.own[i] {
		e.own[i] = true
		if t.shard[i] == nil {
			t.shard[i] = make(map[K]V)
		} else {
			t.shard[i] = maps.Clone(t.shard[i])
		}
	}
	return t.shard[i]
}

func (e *shardEdit[K, V]) set(k K, v V) {
	shard, t := e.writable(k), e.target
	before := len(shard)
	shard[k] = v
	t.n += len(shard) - before
	if t.n > maxShard*len(t.shard) {
		e.spread()
	}
}

// spread makes four shards of each.
func (e *shardEdit[K, V]) spread() {
	t := e.target
	old := t.shard
	t.shard = make([]map[K]V, 4*len(old))
	e.own = make([]bool, len(t.shard))
	for i := range t.shard {
		t.shard[i] = make(map[K]V, maxShard/4)
		e.own[i] = true
	}
	for _, s := range old {
		for k, v := range s {
			t.shard[t.index(k)][k] = v
		}
	}
}

func (e *shardEdit[K, V]) remove(k K) {
	if _, ok := e.target.get(k); ok {
		delete(e.writable(k), k)
		e.target.n--
	}
}

package topology

import (
	"hash/maphash"
	"iter"
	"maps"
)

const (
	pageBits = 8
	pageSize = 1 << pageBits
	shards   = 64
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
	shard *[shards]map[K]V
	seed  maphash.Seed
}

func (m *shardMap[K, V]) get(k K) (v V, ok bool) {
	if m.shard == nil {
		return v, false
	}
	v, ok = m.shard[maphash.Comparable(m.seed, k)%shards][k]
	return v, ok
}

func (m *shardMap[K, V]) all() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if m.shard == nil {
			return
		}
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
	own    *[shards]bool // shards that this edit made
}

func (e *shardEdit[K, V]) writable(k K) map[K]V {
	if e.own == nil {
		e.own = new([shards]bool)
		next := new([shards]map[K]V)
		if e.target.shard == nil {
			e.target.seed = maphash.MakeSeed()
		} else {
			*next = *e.target.shard
		}
		e.target.shard = next
	}
	i := maphash.Comparable(e.target.seed, k) % shards
	if !e.own[i] {
		e.own[i] = true
		if s := e.target.shard[i]; s == nil {
			e.target.shard[i] = make(map[K]V)
		} else {
			e.target.shard[i] = maps.Clone(s)
		}
	}
	return e.target.shard[i]
}

func (e *shardEdit[K, V]) set(k K, v V) { e.writable(k)[k] = v }

func (e *shardEdit[K, V]) remove(k K) {
	if _, ok := e.target.get(k); ok {
		delete(e.writable(k), k)
	}
}

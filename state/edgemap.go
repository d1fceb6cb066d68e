package state

import (
	"iter"
	"maps"
	"slices"
)

const edgeShards = 64

// EdgeMap has something of each of some edges, by their ids: immutable, in shards, so that a change copies little. The zero value is empty.
type EdgeMap[T any] struct {
	shards []map[string]T // edgeShards, or none
	n      int
}

// shardOf spreads ids (FNV-1a).
func shardOf(id string) int {
	h := uint32(2166136261)
	for i := range len(id) {
		h = (h ^ uint32(id[i])) * 16777619
	}
	return int(h % edgeShards)
}

// Get returns what there is of an edge; false: nothing.
func (m EdgeMap[T]) Get(id string) (v T, ok bool) {
	if m.n == 0 {
		return v, false
	}
	v, ok = m.shards[shardOf(id)][id]
	return v, ok
}

// Of returns what there is of an edge; the zero value: nothing.
func (m EdgeMap[T]) Of(id string) T {
	v, _ := m.Get(id)
	return v
}

// Has reports whether there is something of an edge.
func (m EdgeMap[T]) Has(id string) bool {
	_, ok := m.Get(id)
	return ok
}

// Len is the number of edges.
func (m EdgeMap[T]) Len() int { return m.n }

// All returns all, in no order.
func (m EdgeMap[T]) All() iter.Seq2[string, T] {
	return func(yield func(string, T) bool) {
		for _, s := range m.shards {
			for id, v := range s {
				if !yield(id, v) {
					return
				}
			}
		}
	}
}

// IDs are those of the edges, in order.
func (m EdgeMap[T]) IDs() []string {
	ids := make([]string, 0, m.n)
	for id := range m.All() {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// EdgeMapOf returns what a map has.
func EdgeMapOf[T any](m map[string]T) EdgeMap[T] {
	var e edgeEdit[T]
	for id, v := range m {
		e.set(id, v)
	}
	return e.EdgeMap
}

// edgeEdit makes the next of an EdgeMap, one copy per shard.
type edgeEdit[T any] struct {
	EdgeMap[T]
	own [edgeShards]bool // shards that this edit made
	any bool             // one of them is
}

func (e *edgeEdit[T]) writable(id string) map[string]T {
	if !e.any {
		e.any = true
		shards := make([]map[string]T, edgeShards)
		copy(shards, e.shards)
		e.shards = shards
	}
	i := shardOf(id)
	if !e.own[i] {
		e.own[i] = true
		fresh := make(map[string]T, len(e.shards[i])+1)
		maps.Copy(fresh, e.shards[i])
		e.shards[i] = fresh
	}
	return e.shards[i]
}

func (e *edgeEdit[T]) set(id string, v T) {
	shard := e.writable(id)
	before := len(shard)
	shard[id] = v
	e.n += len(shard) - before
}

func (e *edgeEdit[T]) remove(id string) {
	if e.Has(id) {
		delete(e.writable(id), id)
		e.n--
	}
}

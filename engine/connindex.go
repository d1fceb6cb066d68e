package engine

import (
	"iter"

	"github.com/weft-sdn/weft/conntrack"
)

// connIndex finds connections by both their keys. It holds hashes of keys: a tenth of what keys would take, of which the connection has one, and the other
// follows from it.
type connIndex struct {
	byHash map[uint64]*conn
	clash  map[conntrack.Key]*conn // keys that share their hash with another's
	n      int                     // connections
}

func newConnIndex() connIndex {
	return connIndex{byHash: map[uint64]*conn{}, clash: map[conntrack.Key]*conn{}}
}

// has reports whether a key is one of the connection's, and whether it is the other one than that of its first packet.
func (x *conn) has(k *conntrack.Key) (is, reply bool) {
	if x.stored.Forward.Is(k) {
		return true, false
	}
	ret := x.stored.Return()
	return ret.Is(k), true
}

// find returns the connection that a key is of, nil if there is none. hash is that of the key.
func (t *connIndex) find(k *conntrack.Key, hash uint64) (x *conn, reply bool) {
	if x = t.byHash[hash]; x == nil {
		return nil, false
	}
	is, reply := x.has(k)
	if is {
		return x, reply
	}
	if x = t.clash[*k]; x != nil {
		_, reply = x.has(k)
	}
	return x, reply
}

func (t *connIndex) get(k conntrack.Key) *conn {
	x, _ := t.find(&k, k.Hash())
	return x
}

// add indexes a connection. Where another has one of its keys, that one is out of date, and found by it no more.
func (t *connIndex) add(x *conn) {
	t.n++
	t.put(x.stored.Forward, x)
	t.put(x.stored.Return(), x)
}

func (t *connIndex) put(k conntrack.Key, x *conn) {
	h := k.Hash()
	if y := t.byHash[h]; y != nil {
		if is, _ := y.has(&k); !is {
			t.clash[k] = x
			return
		}
	}
	t.byHash[h] = x
}

// remove takes a connection out.
func (t *connIndex) remove(x *conn) {
	t.n--
	t.cut(x.stored.Forward, x)
	t.cut(x.stored.Return(), x)
}

func (t *connIndex) cut(k conntrack.Key, x *conn) {
	if t.clash[k] == x {
		delete(t.clash, k)
		return
	}
	h := k.Hash()
	if t.byHash[h] != x {
		return
	}
	delete(t.byHash, h)
	for other, y := range t.clash { // one that has the same hash takes the place
		if other.Hash() == h {
			delete(t.clash, other)
			t.byHash[h] = y
			return
		}
	}
}

// all yields each connection once.
func (t *connIndex) all() iter.Seq[*conn] {
	return func(yield func(*conn) bool) {
		for h, x := range t.byHash {
			if x.stored.Forward.Hash() == h && t.clash[x.stored.Forward] == nil && !yield(x) {
				return
			}
		}
		for k, x := range t.clash {
			if x.stored.Forward == k && !yield(x) {
				return
			}
		}
	}
}

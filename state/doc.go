// Package state keeps the shared database: the desired objects, where vports live, what was learnt, and which edges are alive,
// in etcd (embedded or a cluster), with one writer that groups commits and one watcher that turns prefixes into snapshots (K3, E7).
//
// A change goes one way:
//
//	Apply, Bind, Learn…  →  transaction or Writer  →  etcd  →  Watcher (whole revisions, in order)  →  View  →  Store.Watch callbacks
//
// Nobody reads its own writes from memory: what is in a View has been in etcd first.
//
// Cold values are JSON that one can read with etcdctl; hot values (learnt MACs, neighbours) are compact binary with a version byte.
// The key layout is in keys.go, and nowhere else.
package state

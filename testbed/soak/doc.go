// Package soak has the reliability tests: a network under traffic, while its configuration changes and its parts fail by a schedule that a seed gives, and
// what must hold of it all the while, and afterwards.
//
// What fails: agents (as by SIGKILL, and as by SIGTERM), targets (restarted, with empty tables), their P4Runtime streams (cut, silent), the members of the
// etcd cluster (killed, stopped, slow by short stops; two at once, so that nothing can be written), an edge's ways to it (cut, slow), history (compacted),
// frames (duplicated, reordered, lost), clocks.
//
// Clocks: times of an agent and its engine are differences of Go's monotonic clock (core.now), as are those of etcd's leases and of gRPC; no jump of the wall
// clock reaches them. Those that are injected jump here: that of the state store, of which only differences matter, and that of the target, by which it
// finds entries idle.
package soak

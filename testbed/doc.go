// Package testbed is the network kit of labs, the demo and tests: hosts with real TCP/IP
// stacks, a routed underlay and cables, all in memory and without privileges.
//
// wire is the cable, nic an interface of a userspace stack on a cable, host a machine with
// one interface, fabric the underlay between edges, scenario the txtar language of labs,
// randnet random networks and packets for property tests.
package testbed

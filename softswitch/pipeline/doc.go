// Package pipeline executes a compiled bmv2 JSON program (p4c, architecture
// v1model): parser, ingress, packet replication, egress and deparser, with the
// semantics of the simple_switch target. Nothing in it knows any one P4
// program: tables, actions and headers are all taken from the JSON.
//
// Load compiles a program, New makes a machine that runs it, Machine.Process
// takes one packet from its ingress port to every port it leaves by. All
// control-plane calls are safe at the same time as Process.
package pipeline

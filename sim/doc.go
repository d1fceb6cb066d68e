// Package sim walks a packet through the virtual network in one go, from the exterior vport where it came in to where it leaves (K4), and boils the walk
// down to one rule: the bits that were read, one rewrite, a destination (K5, K6).
//
// Simulate is a pure function of a snapshot, a packet, its ingress vport and a time: no goroutine, lock, clock, log or I/O. Header fields are read through
// the accessors of read.go only, which record the bits. Packets that the pipeline punts ahead of its flow tables (ARP, ND, ICMP errors) are told apart
// without recording: no flow entry ever meets them. What they lead to is not installable.
package sim

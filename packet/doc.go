// Package packet reads and writes Ethernet frames in place: one parse into offsets by the rules of p4src/v1model/parser.p4,
// accessors and checked views on top, and append-style builders for what a virtual network answers itself (ARP, ND, ICMP).
//
// Frame borrows the bytes that it was parsed from; views and addresses are copies. Nothing here allocates except to grow a destination slice.
// Built frames are untagged: the pipeline adds the tag of the vport that a frame leaves by.
package packet

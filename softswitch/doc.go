// Package softswitch is a P4 target in Go, a drop-in for bmv2's simple_switch_grpc: it
// runs a compiled bmv2 program between its ports and serves P4Runtime 1.5 to
// controllers, keeping to the specification to the letter.
//
// A packet's way: port.Recv (forward.go) → Machine.Process on the same goroutine → emit
// → port.Send, or, at the CPU port, packet-in (packetio.go) → the primary's queue
// (session.go) → StreamChannel. A controller's way: StreamChannel (stream.go) →
// arbitration (arbitration.go); Write (write.go) → one file per kind of entity → the
// pipeline's tables; Read (read.go) the other way round.
//
// The target forgets everything when its process ends, as bmv2 does: a controller sees
// that no forwarding pipeline is set.
package softswitch

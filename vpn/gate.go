package vpn

import (
	"encoding/binary"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/tun"
)

// gate is where all packets of a WireGuard pass, on either side of it: what comes by the transport, and what it gives to the private port. WireGuard tells nobody what it drops, nor that a peer is there; here it is seen.
//
//	transport ─▶ gate: no message, or of no session of ours: dropped, counted
//	              └─▶ wireguard-go ─▶ outlet ─▶ private port
//	                    └─▶ heard: its log tells of what comes to a good end without that, and of what the peer may not send
//	what came, and was neither given nor heard of, was dropped: fates
type gate struct {
	conn.Bind
	counts     *counts
	greeted    chan struct{} // cap 1: the message of a handshake came
	sessions   sessions
	ages       ages
	handshakes fates
	data       fates
}

// Messages of WireGuard, by the first four bytes (its paper, section 5.4), and their lengths.
const (
	msgInitiation, initiationLen = 1, 148
	msgResponse, responseLen     = 2, 92
	msgCookie, cookieLen         = 3, 64
	msgData, minDataLen          = 4, 32
)

// verdict is what becomes of a packet at the gate.
type verdict int

const (
	malformed verdict = iota
	strange           // of no session of ours
	shakesHands
	hasData
)

// judge says what a packet of the transport is.
func (g *gate) judge(p []byte) verdict {
	if len(p) < minDataLen {
		return malformed
	}
	ofOurs := func(at int, is verdict) verdict {
		if !g.sessions.has(binary.LittleEndian.Uint32(p[at:])) {
			return strange
		}
		return is
	}
	switch kind := binary.LittleEndian.Uint32(p); {
	case kind == msgData:
		return ofOurs(4, hasData)
	case kind == msgInitiation && len(p) == initiationLen:
		return shakesHands
	case kind == msgResponse && len(p) == responseLen:
		return ofOurs(8, shakesHands)
	case kind == msgCookie && len(p) == cookieLen:
		return ofOurs(4, shakesHands)
	}
	return malformed
}

// Open implements conn.Bind.
func (g *gate) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	receive, port, err := g.Bind.Open(port)
	for i, f := range receive {
		receive[i] = func(bufs [][]byte, sizes []int, from []conn.Endpoint) (int, error) {
			n, err := f(bufs, sizes, from)
			g.pass(bufs[:n], sizes)
			return n, err
		}
	}
	return receive, port, err
}

// pass judges packets that came together. What is dropped has no length then, which WireGuard passes over.
func (g *gate) pass(bufs [][]byte, sizes []int) {
	generation := g.ages.now.Load()
	var seen [hasData + 1]int64
	for i, buf := range bufs {
		is := g.judge(buf[:sizes[i]])
		seen[is]++
		if is == malformed || is == strange {
			sizes[i] = 0
		}
		buf[len(buf)-1] = byte(generation) // for the outlet: no datagram is as long as a buffer of WireGuard's
	}
	if n := seen[hasData]; n > 0 {
		g.data.came[generation].Add(n)
	}
	if n := seen[malformed]; n > 0 {
		g.counts.malformed.Add(uint64(n))
	}
	if n := seen[strange]; n > 0 {
		g.counts.unknownSession.Add(uint64(n))
	}
	if n := seen[shakesHands]; n > 0 {
		g.handshakes.came[generation].Add(n)
		select {
		case g.greeted <- struct{}{}:
		default:
		}
	}
}

// Send implements conn.Bind.
func (g *gate) Send(bufs [][]byte, to conn.Endpoint) error {
	for _, b := range bufs {
		if len(b) == initiationLen && b[0] == msgInitiation || len(b) == responseLen && b[0] == msgResponse {
			g.sessions.add(binary.LittleEndian.Uint32(b[4:]), time.Now())
		}
	}
	return g.Bind.Send(bufs, to)
}

// heard takes the format of a line of wireguard-go's log, which it writes for each packet that it is about.
func (g *gate) heard(format string) {
	switch format {
	case "%v - Received handshake initiation", "%v - Received handshake response", "Receiving cookie response from %s":
		g.handshakes.other.Add(1)
	case "Could not decrypt invalid cookie response": // behind the line above
		g.handshakes.other.Add(-1)
	case "%v - Receiving keepalive packet":
		g.data.other.Add(1)
	case "IPv4 packet with disallowed source address from %v", "IPv6 packet with disallowed source address from %v", "Packet with invalid IP version from %v":
		g.data.other.Add(1)
		g.counts.notAllowed.Add(1)
	}
}

// settle counts what was dropped, of a generation that is over.
func (g *gate) settle(generation uint32) {
	g.counts.badHandshake.Add(g.handshakes.settle(generation))
	g.counts.refused.Add(g.data.settle(generation))
}

// outlet is the private port of a gate's WireGuard.
type outlet struct {
	tun.Device
	gate *gate
}

// Write implements tun.Device. wireguard-go gives the buffers that the packets came in.
func (o *outlet) Write(bufs [][]byte, offset int) (int, error) {
	var of [2]int64
	for _, b := range bufs {
		of[b[:cap(b)][cap(b)-1]&1]++
	}
	for generation, n := range of {
		if n > 0 {
			o.gate.data.taken[generation].Add(n)
		}
	}
	return o.Device.Write(bufs, offset)
}

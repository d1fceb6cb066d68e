package engine

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"sync"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
)

// spokenWays are the ways by which packets of the speaker left a moment ago. The next ones of their kind leave so at once, whatever the agent's goroutine is busy with, which looks afterwards whether the way is still right:
// what neighbours await within milliseconds (BFD) does not wait behind first packets of flows.
type spokenWays struct {
	mu   sync.Mutex
	ways map[spokenKind]spokenWay
}

// spokenKind is what decides where a packet leaves, and by which neighbour.
type spokenKind struct {
	port     flow.VPortID
	src, dst netip.Addr
	proto    uint8
	ports    uint32 // of the transport
}

// spokenWay is where packets of a kind leave.
type spokenWay struct {
	macs [12]byte // destination and source
	dest flow.Dest
	at   time.Time // when the agent's goroutine had it last
}

// Bounds of ways.
const (
	spokenFresh = 2 * time.Second // how long one is right if nobody looks
	maxSpoken   = 1024            // anybody who sends a SYN makes one
)

func kindOf(port flow.VPortID, f *packet.Frame) spokenKind {
	return spokenKind{port, f.SrcAddr(), f.DstAddr(), f.Proto, uint32(f.SrcPort)<<16 | uint32(f.DstPort)}
}

// find writes the MACs of a packet's way into its frame, which is untagged, and returns where it leaves and its hash. False: that is not known.
func (w *spokenWays) find(port flow.VPortID, frame []byte) (dest flow.Dest, hash uint16, known bool) {
	var f packet.Frame
	if packet.ParseUntagged(frame, &f) != nil {
		return 0, 0, false
	}
	w.mu.Lock()
	way, known := w.ways[kindOf(port, &f)]
	w.mu.Unlock()
	if !known || time.Since(way.at) > spokenFresh {
		return 0, 0, false
	}
	copy(frame, way.macs[:])
	return way.dest, flow.Hash(&f), true
}

// learn takes what became of a packet: if it left as it is, once, those of its kind will.
func (w *spokenWays) learn(port flow.VPortID, frame []byte, res *sim.Result) {
	var f packet.Frame
	if packet.ParseUntagged(frame, &f) != nil {
		return
	}
	kind := kindOf(port, &f)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(res.Originated) != 1 || res.Originated[0].Kind != sim.OriginSpeaker || !bytes.Equal(res.Originated[0].Frame[packet.EthernetLen:], frame[packet.EthernetLen:]) {
		delete(w.ways, kind)
		return
	}
	if w.ways == nil || len(w.ways) >= maxSpoken {
		w.ways = map[spokenKind]spokenWay{}
	}
	w.ways[kind] = spokenWay{[12]byte(res.Originated[0].Frame), res.Originated[0].Dest, time.Now()}
}

// forget takes away the ways of a port.
func (w *spokenWays) forget(port flow.VPortID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for kind := range w.ways {
		if kind.port == port {
			delete(w.ways, kind)
		}
	}
}

// spokenFrame is a frame without MACs that has a copy of an IP packet.
func spokenFrame(ip []byte) []byte {
	frame := make([]byte, packet.EthernetLen, packet.EthernetLen+len(ip))
	etherType := uint16(packet.EtherTypeIPv4)
	if len(ip) > 0 && ip[0]>>4 == 6 {
		etherType = packet.EtherTypeIPv6
	}
	binary.BigEndian.PutUint16(frame[12:], etherType)
	return append(frame, ip...)
}

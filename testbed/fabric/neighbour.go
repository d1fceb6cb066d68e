package fabric

import (
	"bytes"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-sdn/weft/packet"
)

const (
	maxNeighbours = 1024                   // per link
	maxHeld       = 64                     // frames that wait for one neighbour
	askInterval   = 200 * time.Millisecond // between two requests for one neighbour
	askFor        = 3 * time.Second        // without answer, before packets are refused
)

// neighbours is the ARP and ND cache of one link. It has no timers: requests are repeated,
// and given up, as packets come.
//
//	(absent) --packet--> asking --answer--> known --other MAC heard--> known
//	                     asking --askFor--> failed: packets are refused, requests go on
type neighbours struct {
	mu      sync.RWMutex
	entries map[netip.Addr]*neighbour
}

type neighbour struct {
	mac          packet.MAC // zero: not known
	first, asked time.Time
	held         [][]byte
}

func newNeighbours() neighbours { return neighbours{entries: map[netip.Addr]*neighbour{}} }

// known returns the MAC of a neighbour.
func (n *neighbours) known(addr netip.Addr) (packet.MAC, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if e := n.entries[addr]; e != nil {
		return e.mac, !e.mac.IsZero()
	}
	return packet.MAC{}, false
}

// ask tells whether a request for a neighbour is due, and whether it was asked in vain.
func (n *neighbours) ask(addr netip.Addr, now time.Time) (due, failed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.entries[addr]
	if e == nil {
		if len(n.entries) >= maxNeighbours {
			return false, true
		}
		e = &neighbour{first: now}
		n.entries[addr] = e
	}
	if !e.mac.IsZero() {
		return false, false // answered meanwhile
	}
	if due = now.Sub(e.asked) >= askInterval; due {
		e.asked = now
	}
	if failed = now.Sub(e.first) >= askFor; failed {
		e.held = nil
	}
	return due, failed
}

// hold keeps a copy of frame until the neighbour answers, or returns its MAC if it has.
func (n *neighbours) hold(addr netip.Addr, frame []byte, overflow *atomic.Uint64) (packet.MAC, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.entries[addr]
	switch {
	case e == nil || len(e.held) >= maxHeld:
		overflow.Add(1)
		return packet.MAC{}, false
	case !e.mac.IsZero():
		return e.mac, true
	}
	e.held = append(e.held, bytes.Clone(frame))
	return packet.MAC{}, false
}

// learn sets a neighbour's MAC and returns the frames that waited for it.
func (n *neighbours) learn(addr netip.Addr, mac packet.MAC) [][]byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.entries[addr]
	if e == nil {
		if len(n.entries) >= maxNeighbours {
			return nil
		}
		e = new(neighbour)
		n.entries[addr] = e
	}
	e.mac = mac
	held := e.held
	e.held = nil
	return held
}

func (n *neighbours) reset() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.entries)
}

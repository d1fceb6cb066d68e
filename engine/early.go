package engine

import (
	"sync"

	"github.com/weft-sdn/weft/flow"
)

// maxEarly bounds the packet-ins that wait for an agent to have taken over.
const maxEarly = 4096

// phase is how far an agent has taken over what its target holds.
type phase uint8

const (
	unnumbered phase = iota // what a packet-in's number stands for is the predecessor's
	numbered                // it is known; connections are not yet
	taken
)

// early are packet-ins that came before the agent could know what they are about: first packets of flows, and the ends of connections that nobody sends again. They wait, milliseconds most
// often.
type early struct {
	mu      sync.Mutex
	phase   phase
	packets []earlyPacket
}

// earlyPacket is a packet-in that is not queued yet. It borrows its data.
type earlyPacket struct {
	port, vport uint16
	reason      flow.Reason
	tunnel      flow.Dest
	data        []byte
	answered    bool // as it came: what is queued is a copy (answer.go)
}

// needs is from when on a packet can be decided.
func needs(vport uint16, reason flow.Reason) phase {
	switch {
	case vport == 0:
		return unnumbered
	case reason == flow.ReasonTrackedEnd:
		return taken
	}
	return numbered
}

// take puts a packet-in into the queue, now or when its time has come.
func (a *Agent) take(p earlyPacket) {
	e := &a.early
	e.mu.Lock()
	if e.phase < needs(p.vport, p.reason) && len(e.packets) < maxEarly {
		p.data = append([]byte(nil), p.data...)
		e.packets = append(e.packets, p)
		e.mu.Unlock()
		return
	}
	e.mu.Unlock()
	a.queue.push(p)
}

// reach notes how far the agent has taken over, and has the packets go on that waited for it. It goes back while numbers are given anew.
func (a *Agent) reach(to phase) {
	e := &a.early
	e.mu.Lock()
	defer e.mu.Unlock()
	e.phase = to
	all := e.packets
	e.packets = nil
	for _, p := range all {
		if e.phase < needs(p.vport, p.reason) {
			e.packets = append(e.packets, p)
			continue
		}
		a.queue.push(p)
	}
}

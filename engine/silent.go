package engine

import (
	"net/netip"
	"slices"
)

// silentAfter is how many questions in a row a gateway leaves unanswered until that is told: about as many seconds.
const silentAfter = 5

// silence counts the questions to gateways that never answered. Owned by decide.
type silence struct {
	asked map[netip.Addr]int
	// told is told of a gateway that does not answer, and when it does after all.
	told func(port uint16, gateway netip.Addr, answers bool)
}

func (s *silence) ask(l *Uplink, g netip.Addr) {
	if s.asked[g]++; s.asked[g] == silentAfter {
		s.told(l.Port, g, false)
	}
}

func (s *silence) answer(l *Uplink, g netip.Addr) {
	if s.asked[g] >= silentAfter {
		s.told(l.Port, g, true)
	}
	delete(s.asked, g)
}

// silent is told of a gateway that does not answer, or does after all: a wrong port or cable shows in nothing else.
func (a *Agent) silent(port uint16, gateway netip.Addr, answers bool) {
	a.mu.Lock()
	a.mute = slices.DeleteFunc(a.mute, func(g netip.Addr) bool { return g == gateway })
	if !answers {
		a.mute = append(a.mute, gateway)
	}
	silent := len(a.mute)
	a.mu.Unlock()
	all := 0
	for i := range a.cfg.Links {
		all += len(a.cfg.Links[i].Gateway)
	}
	a.core.speaking.cutOff(silent == all)
	if answers {
		a.cfg.Logger.Info("gateway answers", "gateway", gateway, "port", port)
		return
	}
	a.cfg.Logger.Warn("gateway doesn't answer ARP or ND: does the target have the uplink's port, is its link up, are the addresses those of the link?",
		"gateway", gateway, "port", port)
}

// Silent are the gateways that have not answered yet, though asked again and again.
func (a *Agent) Silent() []netip.Addr {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.mute)
}

package topology

import "github.com/weft-sdn/weft/flow"

// PortLink is whether the link of an exterior port's interface is down, as the edge tells where it lives. A port of which nothing is told is not.
type PortLink struct {
	Port flow.VPortID
	Down bool
}

// LinkDown reports whether the link of an exterior port's interface is known to be down: no route leads through it then. It is part of what VPortDep is about.
func (s *Snapshot) LinkDown(port flow.VPortID) bool {
	_, down := s.down.get(port)
	return down
}

// learnLinks takes what edges tell of links.
func (e *edit) learnLinks(links []PortLink) {
	ed := shardEdit[flow.VPortID, struct{}]{target: &e.s.down}
	for _, l := range links {
		if e.s.LinkDown(l.Port) == l.Down {
			continue
		}
		if l.Down {
			ed.set(l.Port, struct{}{})
		} else {
			ed.remove(l.Port)
		}
		e.note(VPortDep(l.Port))
		if p := e.s.VPort(l.Port); p != nil && p.Kind == DeviceRouter {
			e.announce(p.Device)
		}
	}
}

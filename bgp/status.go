package bgp

import (
	"fmt"
	"net/netip"
	"time"

	msg "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

// Status is how a session is. JSON for operators.
type Status struct {
	Session      string            `json:"session"` // TENANT/NAME
	Router       topology.DeviceID `json:"router"`
	Port         flow.VPortID      `json:"port"`
	VPort        string            `json:"vport"` // TENANT/NAME of the port
	LocalAS      uint32            `json:"localAS"`
	PeerAS       uint32            `json:"peerAS"`
	Local        netip.Addr        `json:"localAddress,omitzero"`
	Peer         netip.Addr        `json:"peerAddress"`
	LocalID      netip.Addr        `json:"localID"`
	PeerID       netip.Addr        `json:"peerID,omitzero"` // BGP identifier, of the last time that it was up
	Multihop     uint8             `json:"multihop,omitempty"`
	Passive      bool              `json:"passive,omitempty"`
	Secret       string            `json:"passwordSecret,omitempty"` // that segments are signed with
	State        State             `json:"state"`
	Since        time.Time         `json:"since,omitzero"`
	Why          string            `json:"why,omitempty"`          // it is not up
	Flaps        uint64            `json:"flaps"`                  // how often it was lost since this process carries it out
	LastLost     time.Time         `json:"lastLost,omitzero"`      // of these, the last time
	LastWhy      string            `json:"lastWhy,omitempty"`      // and why
	Hold         int               `json:"holdTime"`               // seconds, as agreed on; while it is not up, as asked for
	Keepalive    int               `json:"keepalive"`              // the same
	ConnectRetry int               `json:"connectRetry"`           // seconds
	Restart      int               `json:"restartTime"`            // seconds that the neighbour takes at most to restart gracefully; 0: it does not
	Stack        string            `json:"stack,omitempty"`        // kernel or userspace
	Families     []string          `json:"families"`               // ipv4, ipv6
	PeerFamilies []string          `json:"peerFamilies"`           // that the neighbour has, of the last time that the session was up
	Received     uint64            `json:"received"`               // prefixes that the neighbour tells
	Routes       int               `json:"routes"`                 // of these, in the router's table
	Pending      int               `json:"pending"`                // not in the database yet
	Advertised   int               `json:"advertised"`             // prefixes that the neighbour is told
	Withheld     int               `json:"withheld"`               // prefixes that it would be told but for a reason, such as that nobody is there
	MaxPrefixes  uint32            `json:"maxPrefixes"`            // of each family; 0: any number
	WarnOnMax    bool              `json:"warnOnMaxPrefixes"`      // else more of them stop the session
	RestartAfter int               `json:"restartAfter,omitempty"` // seconds after which it begins again when that stopped it; 0: not by itself
	Written      int               `json:"written"`                // blocks of routes written to the database, or removed, since the session began
	Damped       int               `json:"damped"`                 // prefixes that are held back, for they change too often
	DampedTotal  uint64            `json:"dampedTotal"`            // how often one began to be
	Exceeded     uint64            `json:"exceeded"`               // how often the neighbour began to tell more
	Warning      string            `json:"warning,omitempty"`      // it is up, and tells more prefixes than it may
	BFD          *BFD              `json:"bfd,omitempty"`          // nothing watches the way to the neighbour: absent
	Problem      string            `json:"problem,omitempty"`      // it is not carried out, and why
}

// status tells how the session is. It costs the same however many prefixes there are.
func (s *session) status() Status {
	s.mu.Lock()
	spec, l, exceeded, advertised, withheld := s.spec, s.life, s.exceeded, s.advertised, s.withheld
	s.mu.Unlock()
	st := StatusOf(s.port.Load(), spec)
	st.Exceeded = exceeded
	st.Damped, st.DampedTotal = s.damper.counts()
	st.State, st.Since, st.Why, st.Flaps, st.LastLost, st.LastWhy, st.PeerID = l.state, l.since, l.why, l.flaps, l.lostAt, l.lostWhy, l.id
	st.Restart, st.PeerFamilies = int(l.restart/time.Second), names(l.families)
	if err := s.relay.LastError(); err != nil && l.state == Connecting {
		st.Why = err.Error()
	}
	s.watch.status(st.BFD)
	r := s.rib.Stats()
	st.Routes, st.Pending, st.Written = r.Routes, r.Pending, r.Puts+r.Deletes
	if l.state == Established {
		st.Advertised, st.Withheld, st.Hold, st.Keepalive = advertised, withheld, l.agreed.hold, l.agreed.keepalive
	}
	v4, v6 := s.heard.counts()
	st.Received = uint64(v4 + v6)
	if n, over := s.heard.overLimit(spec); over {
		st.Warning = fmt.Sprintf("%d prefixes of one family are more than maxPrefixes, %d", n, spec.MaxPrefixes)
	}
	return st
}

// StatusOf is what follows from a session's object, and its port.
func StatusOf(port *topology.VPort, s *topology.BGPSession) Status {
	return Status{
		Session: s.Name, Router: port.Device, Port: port.ID, VPort: port.Tenant + "/" + port.Name, LocalAS: s.LocalAS, PeerAS: s.PeerAS, Local: s.Local(port), Peer: s.PeerAddress,
		LocalID: routerID(port.Device), Multihop: s.Multihop, Passive: s.Passive, Secret: s.PasswordSecret, State: Idle,
		Hold: int(s.HoldTime / time.Second), Keepalive: int(s.Keepalive / time.Second), ConnectRetry: int(s.ConnectRetry / time.Second),
		Families: names(families(s)), PeerFamilies: []string{}, MaxPrefixes: s.MaxPrefixes, WarnOnMax: s.WarnOnMaxPrefixes, RestartAfter: int(s.RestartAfter / time.Second), BFD: bfdOf(port, s),
	}
}

func names(families []msg.Family) []string {
	list := []string{}
	for _, f := range families {
		list = append(list, map[msg.Family]string{msg.RF_IPv4_UC: "ipv4", msg.RF_IPv6_UC: "ipv6"}[f])
	}
	return list
}

package bgp

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	msg "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

// Status is how a session is. JSON for operators.
type Status struct {
	Session     string            `json:"session"` // TENANT/NAME
	Router      topology.DeviceID `json:"router"`
	Port        flow.VPortID      `json:"port"`
	VPort       string            `json:"vport"` // name of the port
	LocalAS     uint32            `json:"localAS"`
	PeerAS      uint32            `json:"peerAS"`
	Local       netip.Addr        `json:"localAddress"`
	Peer        netip.Addr        `json:"peerAddress"`
	LocalID     netip.Addr        `json:"localID"`
	PeerID      netip.Addr        `json:"peerID,omitzero"` // BGP identifier, of the last time that it was up
	State       State             `json:"state"`
	Since       time.Time         `json:"since"`
	Flaps       uint64            `json:"flaps"`            // how often it was lost since this process carries it out
	Why         string            `json:"why,omitempty"`    // it is not up, or was lost last
	Hold        int               `json:"holdTime"`         // seconds, as agreed on; while it is not up, as asked for
	Restart     int               `json:"restartTime"`      // seconds that the neighbour takes at most to restart gracefully; 0: it does not
	Stack       string            `json:"stack,omitempty"`  // kernel or userspace
	Families    []string          `json:"families"`         // ipv4, ipv6
	Received    uint64            `json:"received"`         // prefixes that the neighbour tells
	Routes      int               `json:"routes"`           // of these, in the router's table
	Pending     int               `json:"pending"`          // not in the database yet
	Advertised  int               `json:"advertised"`       // prefixes that the neighbour is told
	MaxPrefixes uint32            `json:"maxPrefixes"`      // of each family; 0: any number
	Problem     string            `json:"problem,omitzero"` // it is not carried out, and why
}

// Route is a prefix that a neighbour tells, or is told.
type Route struct {
	Prefix    netip.Prefix `json:"prefix"`
	Via       netip.Addr   `json:"via"`
	ASPath    []uint32     `json:"asPath"`
	MED       uint32       `json:"med"`
	LocalPref uint32       `json:"localPref"`
	Origin    string       `json:"origin"`  // igp, egp or incomplete
	Verdict   Verdict      `json:"verdict"` // of what the neighbour tells
}

// status tells how the session is.
func (s *session) status(ctx context.Context) Status {
	s.mu.Lock()
	spec, l := s.spec, s.life
	s.mu.Unlock()
	st := statusOf(s.port, spec)
	st.State, st.Since, st.Flaps, st.Why, st.PeerID = l.state, l.since, l.flaps, l.why, l.id
	st.Restart = int(l.restart / time.Second)
	if err := s.relay.LastError(); err != nil && l.state == Connecting {
		st.Why = err.Error()
	}
	r := s.rib.Stats()
	st.Routes, st.Pending, st.Advertised = r.Routes, r.Pending, len(advertised(spec))
	_ = s.server.ListPeer(ctx, &api.ListPeerRequest{}, func(p *api.Peer) {
		if t := p.GetTimers().GetState(); l.state == Established && t.GetNegotiatedHoldTime() > 0 {
			st.Hold = int(t.GetNegotiatedHoldTime())
		}
		for _, a := range p.AfiSafis {
			st.Received += a.GetState().GetReceived()
		}
	})
	return st
}

// statusOf is what follows from the session's object.
func statusOf(port *topology.VPort, s *topology.BGPSession) Status {
	st := Status{
		Session: s.Name, Router: port.Device, Port: port.ID, VPort: port.Name, LocalAS: s.LocalAS, PeerAS: s.PeerAS, Local: s.Local(port), Peer: s.PeerAddress,
		LocalID: routerID(port.Device), State: Idle, Hold: int(s.HoldTime / time.Second), MaxPrefixes: s.MaxPrefixes,
	}
	for _, f := range families(s) {
		st.Families = append(st.Families, map[msg.Family]string{msg.RF_IPv4_UC: "ipv4", msg.RF_IPv6_UC: "ipv6"}[f])
	}
	return st
}

// received lists what the neighbour tells, by prefix, with what becomes of each.
func (s *session) received() []Route {
	s.mu.Lock()
	spec := s.spec
	s.mu.Unlock()
	var routes []Route
	s.eachPath(func(p *apiutil.Path) {
		r, verdict := judge(spec, s.port, p)
		routes = append(routes, describe(p, r.Dst, verdict))
	})
	slices.SortFunc(routes, func(a, b Route) int { return a.Prefix.Compare(b.Prefix) })
	return routes
}

// sent lists what the neighbour is told, by prefix.
func (s *session) sent() []Route {
	s.mu.Lock()
	spec := s.spec
	s.mu.Unlock()
	routes := []Route{}
	for prefix, p := range advertised(spec) {
		routes = append(routes, Route{Prefix: prefix, Via: s.nextHop(prefix), MED: p.MED, LocalPref: defaultLocalPref, Origin: originName(msg.BGP_ORIGIN_ATTR_TYPE_IGP), ASPath: []uint32{}})
	}
	slices.SortFunc(routes, func(a, b Route) int { return a.Prefix.Compare(b.Prefix) })
	return routes
}

func describe(p *apiutil.Path, dst netip.Prefix, verdict Verdict) Route {
	a := readAttributes(p, 0)
	r := Route{Prefix: dst, Via: a.via, MED: a.med, LocalPref: a.localPref, Origin: originName(a.origin), Verdict: verdict, ASPath: []uint32{}}
	for _, x := range p.Attrs {
		if x, ok := x.(*msg.PathAttributeAsPath); ok {
			for _, segment := range x.Value {
				r.ASPath = append(r.ASPath, segment.GetAS()...)
			}
		}
	}
	return r
}

func originName(o uint8) string {
	switch o {
	case msg.BGP_ORIGIN_ATTR_TYPE_IGP:
		return "igp"
	case msg.BGP_ORIGIN_ATTR_TYPE_EGP:
		return "egp"
	}
	return "incomplete"
}

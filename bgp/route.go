package bgp

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	msg "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/weft-sdn/weft/rpki"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// Route is a prefix that a neighbour tells, or is told. JSON for operators.
type Route struct {
	Prefix    netip.Prefix `json:"prefix"`
	Via       netip.Addr   `json:"via,omitzero"` // next hop, as it is told
	ASPath    []uint32     `json:"asPath"`
	MED       uint32       `json:"med"`
	PathID    uint32       `json:"pathID,omitempty"`    // of a neighbour that tells several paths to a prefix
	LocalPref uint32       `json:"localPref,omitempty"` // of what an external neighbour is told there is none
	Origin    string       `json:"origin"`              // igp, egp or incomplete
	RPKI      rpki.State   `json:"rpki,omitempty"`      // what caches say of it; empty: the edge has none
	Verdict   Verdict      `json:"verdict,omitempty"`   // of what the neighbour tells
	Why       string       `json:"why,omitempty"`       // it is rejected, or not told
	From      string       `json:"from,omitempty"`      // of what the neighbour is told: what in the session has it told, and because of which object
}

// Choice chooses routes; the zero value has all.
type Choice struct {
	Within   netip.Prefix // if valid: it, and what is within it
	Covers   netip.Addr   // if valid: what covers it
	Rejected bool         // only those that are no routes of the router, of what the neighbour tells; of what it is told, those that it is not
}

// ParseChoice reads a prefix, which is meant with what is within it, or an address, which is meant with what covers it; nothing: all.
func ParseChoice(text string) (c Choice, err error) {
	if text == "" {
		return c, nil
	}
	if c.Covers, err = netip.ParseAddr(text); err == nil {
		c.Covers = c.Covers.WithZone("").Unmap()
		return c, nil
	}
	if c.Within, err = netip.ParsePrefix(text); err != nil || c.Within.Addr().Is4In6() {
		return Choice{}, fmt.Errorf("%q is neither a prefix nor an address; use one such as 203.0.113.0/24 or 2001:db8::1", text)
	}
	c.Within = c.Within.Masked()
	return c, nil
}

// has reports whether a prefix is chosen, by what it is.
func (c *Choice) has(p netip.Prefix) bool {
	return (!c.Covers.IsValid() || p.Contains(c.Covers)) && (!c.Within.IsValid() || c.Within.Contains(p.Addr()) && c.Within.Bits() <= p.Bits())
}

// received lists what the neighbour tells, by prefix, with what becomes of each.
func (s *session) received(c Choice) ([]Route, error) {
	s.mu.Lock()
	spec := s.spec
	s.mu.Unlock()
	routes := []Route{}
	err := s.eachPath(covering(c.Covers), func(paths []*apiutil.Path) {
		for _, d := range s.describeAll(spec, paths) {
			if c.has(d.Prefix) && (!c.Rejected || d.Verdict != Accepted) {
				routes = append(routes, d)
			}
		}
	})
	slices.SortFunc(routes, func(a, b Route) int { return cmp.Or(a.Prefix.Compare(b.Prefix), cmp.Compare(a.PathID, b.PathID)) })
	return routes, err
}

// describeAll describes the paths to one prefix, with what becomes of each.
func (s *session) describeAll(spec *topology.BGPSession, paths []*apiutil.Path) []Route {
	list, ribs := make([]Route, 0, len(paths)), make([]state.RIBRoute, len(paths))
	var accepted []state.RIBRoute
	for i, p := range paths {
		r, verdict, rule := judge(spec, s.port.Load(), p, s.origins)
		held, is := s.damper.holds(r.Dst, time.Now())
		if is = is && verdict == Accepted; is {
			verdict = RejectedDamped
		}
		d := describe(p, r.Dst, verdict)
		if d.Why = why(spec, verdict, rule, d.Via); is {
			d.Why = held
		}
		s.addRPKI(spec, p, &d, rule)
		if spec.AddPaths {
			d.PathID = p.RemoteID
		}
		if ribs[i] = r; verdict == Accepted {
			accepted = append(accepted, r)
		}
		list = append(list, d)
	}
	unable, taken := s.whyUnable(), bestOfEach(accepted)
	for i := range list {
		d, isWay := &list[i], func(r state.RIBRoute) bool { return r.Via == ribs[i].Via }
		switch {
		case d.Verdict != Accepted:
		case ribs[i].Metric > taken[0].Metric:
			d.Verdict, d.Why = RejectedWorse, "another path of the neighbour is better"
		case !slices.ContainsFunc(taken, isWay):
			d.Verdict, d.Why = RejectedWorse, fmt.Sprintf("%d other paths of the neighbour are as good", len(taken))
		case unable != "":
			d.Verdict, d.Why = RejectedUnable, unable
		}
	}
	return list
}

// sent lists what the neighbour is told while the session is up, by prefix; with Choice.Rejected what it is not, and why.
func (s *session) sent(c Choice) ([]Route, error) {
	s.mu.Lock()
	spec, told := s.spec, s.told
	s.mu.Unlock()
	routes := []Route{}
	for prefix, x := range told {
		if !c.has(prefix) || c.Rejected != (x.Why != "") {
			continue
		}
		r := Route{Prefix: prefix, Via: nextHop(s.port.Load(), spec, prefix), MED: x.MED, Origin: originName(msg.BGP_ORIGIN_ATTR_TYPE_IGP), ASPath: []uint32{}, From: x.From, Why: x.Why}
		if spec.Internal() {
			r.LocalPref = defaultLocalPref
		} else {
			r.ASPath = slices.Repeat([]uint32{spec.LocalAS}, 1+int(x.Prepend))
		}
		routes = append(routes, r)
	}
	slices.SortFunc(routes, func(a, b Route) int { return a.Prefix.Compare(b.Prefix) })
	return routes, nil
}

// addRPKI adds what RPKI caches say of what the neighbour tells, and if the rule that denies it asks for that, why they do.
func (s *session) addRPKI(spec *topology.BGPSession, p *apiutil.Path, r *Route, rule int) {
	if s.origins == nil {
		return
	}
	from := readAttributes(p, spec.LocalAS).from
	validity, vrp := s.origins.Validate(r.Prefix, from)
	if r.RPKI = validity; r.Verdict != RejectedFilter || rule == noRule || spec.Import[rule].RPKI == "" {
		return
	}
	switch {
	case validity != rpki.Invalid:
	case from == rpki.NoOrigin:
		r.Why += ": the path ends in a set"
	case vrp.AS == from:
		r.Why += fmt.Sprintf(": of AS %d to /%d", vrp.AS, vrp.MaxLen)
	default:
		r.Why += fmt.Sprintf(": of AS %d, not %d", vrp.AS, from)
	}
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

// why says in words why a session rejects a prefix; rule is that of judge.
func why(s *topology.BGPSession, v Verdict, rule int, via netip.Addr) string {
	switch v {
	case RejectedFilter:
		if rule == noRule {
			return "no import rule fits"
		}
		return fmt.Sprintf("import[%d] denies %s", rule, ruleText(&s.Import[rule]))
	case RejectedLoop:
		return fmt.Sprintf("own AS %d on the path", s.LocalAS)
	case RejectedOwn:
		return "it is the router's own, told back by a route reflector"
	case RejectedVia:
		if !via.IsValid() {
			return "no next hop"
		}
		return "next hop not on the link"
	case RejectedPrefix:
		return "no unicast destination outside"
	case RejectedFamily:
		return "a family that is not the session's"
	}
	return ""
}

// ruleText is what a rule fits.
func ruleText(r *topology.BGPRule) string {
	n := uint8(r.Prefix.Bits())
	text := r.Prefix.String()
	switch {
	case r.GE == n && r.LE == n:
	case r.GE == n:
		text = fmt.Sprintf("%s le %d", r.Prefix, r.LE)
	default:
		text = fmt.Sprintf("%s ge %d le %d", r.Prefix, r.GE, r.LE)
	}
	if (r.Community != topology.Community{}) {
		text += " community " + r.Community.String()
	}
	if r.RPKI != "" {
		text += " rpki " + string(r.RPKI)
	}
	return text
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

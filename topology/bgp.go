package topology

import (
	"cmp"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/weft-sdn/weft/flow"
)

// Names of the families of routes.
const (
	familyV4 = "ipv4"
	familyV6 = "ipv6"
)

// Defaults of a session's timers, in seconds.
const (
	defaultHoldTime     = 90
	defaultConnectRetry = 10
	defaultRestartTime  = 120

	defaultMaxPrefixesIdle = 300
)

// BGPSession is a session of a router with a neighbour. Read-only.
type BGPSession struct {
	Name              string // TENANT/NAME
	Port              flow.VPortID
	LocalAS, PeerAS   uint32
	PeerAddress       netip.Addr
	LocalAddress      netip.Addr // invalid: see Local
	V4, V6            bool       // families
	Passive           bool
	HoldTime          time.Duration
	Keepalive         time.Duration
	ConnectRetry      time.Duration
	RestartTime       time.Duration // 0: no routes are kept beyond the session
	Multihop          uint8         // 0: the neighbour is on the link
	TTLSecurity       bool
	PasswordSecret    string // "": segments are not signed
	BFD               BFD
	MaxPrefixes       uint32 // of each family; 0: any number
	DefaultOriginate  bool
	NoDamping         bool
	AddPaths          bool          // several paths to a prefix are taken
	WarnOnMaxPrefixes bool          // else the session is stopped
	RestartAfter      time.Duration // it begins again then; 0: when MaxPrefixes is another
	Import, Export    BGPFilter
	Advertise         []BGPPrefix
	Redistribute      []BGPRedistributeSpec

	ref  Ref
	spec *BGPSessionSpec
}

// Local returns the router's end of the session: of a neighbour that has a link-local address, the port's, too, if no other is given. p is the session's port.
func (b *BGPSession) Local(p *VPort) netip.Addr {
	switch {
	case b.LocalAddress.IsValid():
		return b.LocalAddress
	case b.PeerAddress.Is6() && b.PeerAddress.IsLinkLocalUnicast():
		return p.LinkLocal
	}
	for _, a := range p.Addrs {
		if a.Addr().Is4() == b.PeerAddress.Is4() {
			return a.Addr()
		}
	}
	return netip.Addr{}
}

// Internal reports whether both ends are of one AS.
func (b *BGPSession) Internal() bool { return b.LocalAS == b.PeerAS }

// BGPFilter chooses prefixes: by the first rule that fits, none if none does. The zero value has all.
type BGPFilter []BGPRule

// BGPRule fits prefixes within one, of lengths from GE to LE.
type BGPRule struct {
	Permit    bool
	Prefix    netip.Prefix
	GE, LE    uint8
	Community Community // which a prefix has to come with; zero: none is asked for
	RPKI      Validity  // what has to be said of a prefix; "": anything
	LocalPref uint32    // 0: as it is
}

// Told is what is said of a prefix besides.
type Told struct {
	With []Community
	RPKI Validity
}

// Permits reports whether a prefix is chosen of which t is told, nil if nothing, and by which rule; -1: there is none, or none fits.
func (f BGPFilter) Permits(p netip.Prefix, t *Told) (yes bool, rule int) {
	for i := range f {
		r := &f[i]
		if r.fits(p, t) {
			return r.Permit, i
		}
	}
	return len(f) == 0, -1
}

func (r *BGPRule) fits(p netip.Prefix, t *Told) bool {
	n := uint8(p.Bits())
	if n < r.GE || n > r.LE || !r.Prefix.Contains(p.Addr()) {
		return false
	}
	return (r.Community == Community{} || t != nil && slices.Contains(t.With, r.Community)) && (r.RPKI == "" || t != nil && r.RPKI == t.RPKI)
}

// AsksRPKI reports whether what RPKI caches say matters to a filter.
func (f BGPFilter) AsksRPKI() bool {
	return slices.ContainsFunc(f, func(r BGPRule) bool { return r.RPKI != "" })
}

func newBGPFilter(specs []BGPRuleSpec) BGPFilter {
	if len(specs) == 0 {
		return nil
	}
	f := make(BGPFilter, len(specs))
	for i := range specs {
		s := &specs[i]
		f[i] = BGPRule{Permit: s.Action == "permit", Prefix: s.Prefix, RPKI: s.RPKI, LocalPref: s.LocalPref}
		f[i].Community, _ = s.Community.Parse() // checked
		f[i].GE, f[i].LE = s.lengths()
	}
	return f
}

// lengths returns the least and greatest length of the prefixes that a rule fits.
func (s *BGPRuleSpec) lengths() (ge, le uint8) {
	ge, le = uint8(s.Prefix.Bits()), uint8(s.Prefix.Bits())
	if s.GE != 0 {
		ge, le = s.GE, uint8(s.Prefix.Addr().BitLen())
	}
	if s.LE != 0 {
		le = s.LE
	}
	return ge, le
}

// families returns the families of the routes of a session.
func (s *BGPSessionSpec) families() (v4, v6 bool) {
	if len(s.Families) == 0 {
		return s.PeerAddress.Is4(), s.PeerAddress.Is6()
	}
	return slices.Contains(s.Families, familyV4), slices.Contains(s.Families, familyV6)
}

func newBGPSession(o *Object, spec *BGPSessionSpec) *BGPSession {
	hold := cmp.Or(spec.HoldTime, defaultHoldTime)
	b := &BGPSession{
		Name: o.Tenant() + "/" + o.Metadata.Name, Port: flow.VPortID(o.Status.Uses[o.VPortRef(spec.VPort).String()]), ref: o.Ref(), spec: spec,
		LocalAS: spec.LocalAS, PeerAS: spec.PeerAS, PeerAddress: spec.PeerAddress, LocalAddress: spec.LocalAddress, Passive: spec.Passive, AddPaths: spec.AddPaths, NoDamping: spec.NoDamping, DefaultOriginate: spec.DefaultOriginate,
		HoldTime: time.Duration(hold) * time.Second, Keepalive: time.Duration(cmp.Or(spec.Keepalive, hold/3)) * time.Second,
		ConnectRetry: time.Duration(cmp.Or(spec.ConnectRetry, defaultConnectRetry)) * time.Second,
		Multihop:     spec.Multihop, TTLSecurity: spec.TTLSecurity, PasswordSecret: spec.PasswordSecret, BFD: newBFD(spec.BFD), MaxPrefixes: spec.MaxPrefixes, WarnOnMaxPrefixes: spec.MaxPrefixesAction == "warn",
		Import: newBGPFilter(spec.Import), Export: newBGPFilter(spec.Export), Advertise: spec.Advertise, Redistribute: spec.Redistribute,
	}
	if !spec.NoGracefulRestart {
		b.RestartTime = time.Duration(cmp.Or(spec.RestartTime, defaultRestartTime)) * time.Second
	}
	if spec.MaxPrefixesAction == "restart" {
		b.RestartAfter = time.Duration(cmp.Or(spec.MaxPrefixesIdle, defaultMaxPrefixesIdle)) * time.Second
	}
	b.V4, b.V6 = spec.families()
	return b
}

// BGPSessions returns the sessions that go through a port, by name.
func (s *Snapshot) BGPSessions(port flow.VPortID) []*BGPSession { return s.bgp[port] }

// putBGP adds or replaces a session. No flow relies on one: who speaks for the port is told.
func (e *edit) putBGP(o *Object, spec *BGPSessionSpec) {
	b := newBGPSession(o, spec)
	if at := slices.IndexFunc(e.s.bgp[b.Port], func(x *BGPSession) bool { return x.ref == b.ref }); at >= 0 && reflect.DeepEqual(e.s.bgp[b.Port][at].spec, spec) {
		return
	}
	e.dropBGP(b.ref)
	next := cloneSessions(e.s.bgp)
	next[b.Port] = append(slices.Clone(next[b.Port]), b)
	slices.SortFunc(next[b.Port], func(a, b *BGPSession) int { return cmp.Compare(a.Name, b.Name) })
	e.s.bgp = next
	e.note(BindingDep(b.Port))
}

// dropBGP takes a session out.
func (e *edit) dropBGP(ref Ref) {
	for port, sessions := range e.s.bgp {
		at := slices.IndexFunc(sessions, func(b *BGPSession) bool { return b.ref == ref })
		if at < 0 {
			continue
		}
		next := cloneSessions(e.s.bgp)
		if next[port] = slices.Delete(slices.Clone(sessions), at, at+1); len(next[port]) == 0 {
			delete(next, port)
		}
		e.s.bgp = next
		e.note(BindingDep(port))
		return
	}
}

// forgetBGP takes the sessions of a port out that is not loaded any more.
func (e *edit) forgetBGP(port flow.VPortID) {
	if len(e.s.bgp[port]) > 0 {
		e.s.bgp = cloneSessions(e.s.bgp)
		delete(e.s.bgp, port)
	}
}

func cloneSessions(m map[flow.VPortID][]*BGPSession) map[flow.VPortID][]*BGPSession {
	if m == nil {
		return map[flow.VPortID][]*BGPSession{}
	}
	return maps.Clone(m)
}

// Same reports whether a session is to be as another is, filters and what is advertised included.
func (b *BGPSession) Same(o *BGPSession) bool {
	x, y := *b, *o
	x.ref, y.ref, x.spec, y.spec = Ref{}, Ref{}, nil, nil
	return reflect.DeepEqual(x, y)
}

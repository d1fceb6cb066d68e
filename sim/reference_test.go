package sim

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/testbed/randnet"
	"github.com/weft-sdn/weft/topology"
)

// model decides as Simulate does, from the network as it is written, with no table, cache, mask or trick: for each packet it reads all routes of a router,
// one after the other. Where a router spreads flows, it tells all ways that they may go.
type model struct {
	w    *randnet.World
	byID map[uint32]*topology.Object
}

func newModel(w *randnet.World) *model {
	m := &model{w: w, byID: map[uint32]*topology.Object{}}
	for _, o := range w.Objects() {
		m.byID[o.Status.ID] = o
	}
	return m
}

func (m *model) port(id flow.VPortID) *topology.VPortSpec {
	return m.byID[uint32(id)].Spec.(*topology.VPortSpec)
}

// named returns a port by its name.
func (m *model) named(name string) (flow.VPortID, *topology.VPortSpec) {
	for id, o := range m.byID {
		if s, ok := o.Spec.(*topology.VPortSpec); ok && o.Metadata.Name == name {
			return flow.VPortID(id), s
		}
	}
	return 0, nil
}

// device returns the device of a port.
func (m *model) device(p *topology.VPortSpec) *topology.Object {
	for _, o := range m.byID {
		if p.Device == "bridge/"+o.Metadata.Name && o.Kind == topology.KindBridge || p.Device == "router/"+o.Metadata.Name && o.Kind == topology.KindRouter {
			return o
		}
	}
	return nil
}

// flooded is an end that is not the model's business: a bridge floods the packet.
var flooded = []end{{}}

// walk returns all ends that a packet may find.
func (m *model) walk(s sent) []end {
	p := m.port(s.in)
	if s.devices == 0 && s.src.IsValid() && s.src == s.dst {
		return dropped(DropLand)
	}
	s.devices++
	switch dev := m.device(p); {
	case p.AdminDown:
		return dropped(DropPortDown)
	case s.devices > MaxDevices:
		return dropped(DropTooFar)
	case dev.Kind == topology.KindRouter:
		return m.route(s, dev, p)
	default:
		return m.bridge(s, dev, p)
	}
}

func (m *model) bridge(s sent, dev *topology.Object, p *topology.VPortSpec) []end {
	spec := dev.Spec.(*topology.BridgeSpec)
	if ends := m.chains(&s, 0, p.Filters.Ingress, spec.Filters.Ingress); ends != nil {
		return ends
	}
	if s.to.IsMulticast() {
		return flooded
	}
	out, known := m.w.Snap.Bridge(topology.DeviceID(dev.Status.ID)).FDB(s.to)
	switch {
	case !known && spec.UnknownUnicast == "drop":
		return dropped(DropUnknownMAC)
	case !known:
		return flooded
	case out == s.in:
		return dropped(DropSamePort)
	}
	if ends := m.chains(&s, out, spec.Filters.Egress, m.port(out).Filters.Egress); ends != nil {
		return ends
	}
	return m.send(s, out)
}

func (m *model) send(s sent, out flow.VPortID) []end {
	p := m.port(out)
	if p.AdminDown {
		return dropped(DropPortDown)
	}
	if p.IsExterior() {
		return []end{{verdict: Forward, out: out, from: s.from, to: s.to, ttl: s.ttl, src: s.src, dst: s.dst, sport: s.sport, dport: s.dport}}
	}
	s.in, _ = m.named(p.Peer)
	return m.walk(s)
}

// refRoute is a route as the model sees it.
type refRoute struct {
	dst, src netip.Prefix // src invalid: all
	via      netip.Addr
	port     string
	kind     string
	origin   int // the least wins
}

func (x refRoute) match(s sent) bool {
	return x.dst.Addr().Is4() == s.dst.Is4() && x.dst.Contains(s.dst) && (!x.src.IsValid() || x.src.Contains(s.src))
}

func whole(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// ways are all routes that a router has of itself and by its spec.
func (m *model) ways(dev *topology.Object) (all []refRoute) {
	for _, never := range []string{"127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32", "::/127", "fe80::/10", "ff00::/8"} {
		all = append(all, refRoute{dst: netip.MustParsePrefix(never), kind: "unforwardable", origin: 9})
	}
	for _, o := range m.byID {
		p, ok := o.Spec.(*topology.VPortSpec)
		if !ok || p.Device != "router/"+dev.Metadata.Name {
			continue
		}
		all = append(all, refRoute{dst: whole(topology.LinkLocal(p.MAC)), kind: "local"})
		for _, a := range p.Addresses {
			connected := refRoute{dst: a.Masked(), port: o.Metadata.Name, kind: "port", origin: 2}
			own := a.Addr()
			if p.SingleHost {
				own = a.Masked().Addr().Next()
				all = append(all, refRoute{dst: whole(a.Addr()), port: o.Metadata.Name, kind: "port", origin: 2})
				connected = refRoute{dst: a.Masked(), kind: "nohost", origin: 2}
			}
			all = append(all, refRoute{dst: whole(own), kind: "local"})
			if !a.IsSingleIP() {
				all = append(all, connected)
			}
		}
	}
	return append(all, specWays(dev.Spec.(*topology.RouterSpec).Routes)...)
}

func specWays(routes []topology.RouteSpec) (all []refRoute) {
	for _, r := range routes {
		x := refRoute{dst: r.Dst, via: r.Via, port: r.Port, kind: cmp.Or(r.Kind, "port"), origin: 1}
		if r.Src.Bits() > 0 {
			x.src = r.Src
		}
		all = append(all, x)
	}
	return all
}

// best returns the ways that a packet may go: of those that match, and whose links are up, the equally good ones. down: there is none because of links.
func (m *model) best(all []refRoute, s sent) (best []refRoute, down bool) {
	rank := func(a, b refRoute) int {
		bits := func(p netip.Prefix) int { return max(p.Bits(), 0) }
		port := func(x refRoute) int { return map[bool]int{true: 0, false: 1}[x.kind == "port"] }
		return cmp.Or(b.dst.Bits()-a.dst.Bits(), bits(b.src)-bits(a.src), a.origin-b.origin, port(a)-port(b), cmp.Compare(order(a.kind), order(b.kind)))
	}
	for _, x := range all {
		switch {
		case !x.match(s):
			continue
		case x.kind == "port" && !m.up(x.port):
			down = true
			continue
		}
		switch {
		case len(best) == 0 || rank(x, best[0]) < 0:
			best = []refRoute{x}
		case rank(x, best[0]) == 0 && !slices.Contains(best, x):
			best = append(best, x)
		}
	}
	return best, down
}

// order is that of kinds among equal routes.
func order(kind string) int {
	return slices.Index([]string{"port", "reject", "blackhole", "local", "unforwardable", "nohost"}, kind)
}

func (m *model) up(name string) bool {
	_, p := m.named(name)
	if p.AdminDown {
		return false
	}
	if p.IsExterior() {
		return true
	}
	_, q := m.named(p.Peer)
	return q != nil && !q.AdminDown
}

func (m *model) route(s sent, dev *topology.Object, p *topology.VPortSpec) []end {
	switch {
	case s.to.IsMulticast():
		return dropped(DropMulticast)
	case s.to != p.MAC:
		return dropped(DropNotOurMAC)
	case !s.dst.IsValid():
		return dropped(DropNotIP)
	}
	spec := dev.Spec.(*topology.RouterSpec)
	if ends := m.chains(&s, 0, p.Filters.Ingress, spec.Filters.Ingress); ends != nil {
		return ends
	}
	own := m.ways(dev)
	best, down := m.best(own, s)
	if first := m.unlinked(own, s); first != "local" && first != "unforwardable" {
		if by, decided := m.policies(s, dev); decided {
			best = by
		}
	}
	switch {
	case len(best) == 0 && down:
		return rejected(DropPortDown)
	case len(best) == 0:
		return rejected(DropNoRoute)
	}
	var ends []end
	for _, x := range best {
		ends = append(ends, m.follow(s, spec, p, x)...)
	}
	return ends
}

// unlinked returns the kind of the best route, whatever links are down.
func (m *model) unlinked(all []refRoute, s sent) string {
	always := make([]refRoute, len(all))
	for i, x := range all {
		always[i] = x
		if x.kind == "port" {
			always[i].kind, always[i].port = "up", x.port
		}
	}
	best, _ := m.best(always, s)
	if len(best) == 0 {
		return ""
	}
	return best[0].kind
}

// policies returns the ways that the first policy with a way gives a packet.
func (m *model) policies(s sent, dev *topology.Object) ([]refRoute, bool) {
	spec := dev.Spec.(*topology.RouterSpec)
	list := slices.Clone(spec.Policies)
	slices.SortStableFunc(list, func(a, b topology.PolicySpec) int { return cmp.Compare(a.Priority, b.Priority) })
	for _, p := range list {
		if !m.meets(&s, 0, &p.Match, &p.Not) {
			continue
		}
		var ways []refRoute
		switch p.Action {
		case "main":
			return nil, false
		case "table":
			ways = specWays(spec.Tables[0].Routes)
		case "reroute":
			for _, n := range p.NextHops {
				if n.Via.Is4() == s.dst.Is4() {
					ways = append(ways, refRoute{dst: everything(s.dst), via: n.Via, port: n.Port, kind: "port"})
				}
			}
		default:
			ways = []refRoute{{dst: everything(s.dst), kind: map[string]string{"drop": "blackhole", "reject": "reject"}[p.Action]}}
		}
		if best, _ := m.best(ways, s); len(best) > 0 {
			return best, true
		}
	}
	return nil, false
}

func everything(a netip.Addr) netip.Prefix {
	p, _ := a.Prefix(0)
	return p
}

// follow takes a packet along a route.
func (m *model) follow(s sent, r *topology.RouterSpec, p *topology.VPortSpec, x refRoute) []end {
	switch x.kind {
	case "local":
		return dropped(DropLocal) // no packet of these is a ping
	case "unforwardable":
		return dropped(DropUnforwardable)
	case "reject":
		return rejected(DropRejectRoute)
	case "blackhole":
		return dropped(DropBlackhole)
	case "nohost":
		return rejected(DropNoNeighbour)
	}
	out, q := m.named(x.port)
	if !m.beside(s, p, q, x) {
		if s.flaw != DropNone {
			return dropped(s.flaw)
		}
		if s.ttl <= 1 {
			return dropped(DropTTL)
		}
		s.ttl--
	}
	if ends := m.chains(&s, out, r.Filters.Egress, q.Filters.Egress); ends != nil {
		return ends
	}
	if mtu := int(m.w.Snap.VPort(out).MTU); s.len > mtu {
		if s.df || s.dst.Is6() {
			return dropped(DropTooBig)
		}
		s.len, s.room = mtu, mtu
	} else if s.room > mtu {
		return dropped(DropFrameLength)
	}
	next := x.via
	if !next.IsValid() {
		next = s.dst
		if last := lastOf(x.dst); x.dst.Addr().Is4() && x.dst.Bits() > 0 && x.dst.Bits() <= 30 && next == last {
			return dropped(DropUnforwardable)
		}
	}
	return m.hand(s, out, q, next)
}

// beside reports whether two ports have single hosts of one prefix, and the packet is for the one at q.
func (m *model) beside(s sent, p, q *topology.VPortSpec, x refRoute) bool {
	if !p.SingleHost || !q.SingleHost || p == q || x.via.IsValid() {
		return false
	}
	return slices.ContainsFunc(q.Addresses, func(a netip.Prefix) bool { return a.Addr() == s.dst }) &&
		slices.ContainsFunc(p.Addresses, func(a netip.Prefix) bool { return a.Contains(s.dst) })
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// hand gives a packet to its next hop.
func (m *model) hand(s sent, out flow.VPortID, q *topology.VPortSpec, next netip.Addr) []end {
	var to packet.MAC
	known := false
	if !q.IsExterior() {
		_, peer := m.named(q.Peer)
		if dev := m.device(peer); dev.Kind == topology.KindRouter {
			own := func(a netip.Prefix) bool { return a.Addr() == next }
			if !slices.ContainsFunc(peer.Addresses, own) && next != topology.LinkLocal(peer.MAC) {
				return rejected(DropNoNeighbour)
			}
			to, known = peer.MAC, true
		} else {
			to, known = m.w.Snap.Bridge(topology.DeviceID(dev.Status.ID)).Neighbour(next)
		}
	}
	if !known {
		mac, state := m.w.Snap.Neighbour(out, next)
		if to = mac; state != topology.NeighbourOK {
			return []end{{verdict: Incomplete}}
		}
	}
	s.from, s.to = q.MAC, to
	return m.send(s, out)
}

// TestModel: in random networks, Simulate does with random packets what the model does: verdict, reason, vport, MACs, TTL, addresses and ports. Where flows are
// spread, or an address is drawn, it does one of the things that the model allows. What answers to a translated packet comes back to its sender as if nothing
// had been translated.
func TestModel(t *testing.T) {
	cases := envInt(t, "WEFT_CASES", 20_000)
	seed := uint64(envInt(t, "WEFT_SOUNDNESS_SEED", 1))
	sim := Simulator{Exemplar: true} // what the frames have beside their keys is not made to fit
	var f packet.Frame
	var r Result
	seen := map[string]int{}
	for n := 0; n < cases; n += 40 {
		w := randnet.New(seed*5_000_011 + uint64(n))
		m := newModel(w)
		for i := range 40 {
			shot := w.Shot()
			if err := packet.Parse(shot.Frame(nil), &f); err != nil {
				t.Fatal(err)
			}
			conns := table{}
			sim.Conns = conns
			sim.Simulate(w.Snap, &f, shot.Key.Ingress, 0, &r)
			if r.Track.Ports { // a rule asks a fragment for ports, or it is to be translated
				seen["fragment"]++
				continue
			}
			s := sentOf(&f, shot.Key.Ingress)
			s.steps = slices.Clone(sim.conns.fresh.Steps())
			want := m.walk(s)
			if slices.ContainsFunc(want, func(e end) bool { return e == end{} }) {
				continue
			}
			got := endOf(&r, &s)
			if !slices.Contains(want, got) || len(r.Outcomes) != 1 {
				explain(t, w, &sim, shot)
				t.Fatalf("seed %d world %d packet %d: %+v, want one of %+v", seed, n, i, got, want)
			}
			tell(seen, "translated", r.Track.Commit && r.Track.New.Translates())
			if r.Track.Commit {
				tell(seen, "to a member", slices.ContainsFunc(r.Track.New.Steps(), func(x conntrack.Step) bool { return x.Pool != 0 }))
				m.answer(t, &sim, conns, shot, &r, got, seen)
			}
			tallyModel(seen, m, s, want, got)
		}
	}
	t.Log(seen)
	for what, atLeast := range map[string]int{
		"forward": 100, "routed": 100, "spread": 8, "incomplete": 20, "beside": 1, "drop no route": 20, "drop port down": 4, "drop reject route": 10, "drop blackhole": 10,
		"drop local address": 10, "drop source is destination": 20, "drop filtered": 40, "drop no member": 1, "translated": 30, "to a member": 1, "answered": 7, "translated back": 5, "drop ttl expired": 10, "drop too big": 4, "drop no neighbour": 10, "drop not our mac": 20,
	} {
		if seen[what]*10_000 < atLeast*cases {
			t.Errorf("too few packets were %s: %v", what, seen)
		}
	}
}

func tell(seen map[string]int, what string, yes bool) {
	if yes {
		seen[what]++
	}
}

func tallyModel(seen map[string]int, m *model, s sent, want []end, got end) {
	what := got.verdict.String()
	if got.verdict == Drop {
		what = fmt.Sprintf("drop %v", got.drop)
	}
	seen[what]++
	if got.verdict == Forward && got.from != s.from {
		tell(seen, "routed", got.ttl < s.ttl)
		tell(seen, "beside", got.ttl == s.ttl)
		tell(seen, "spread", len(want) > 1)
	}
}

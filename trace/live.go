package trace

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// Bounds of a live trace.
const (
	DefaultPackets = 10
	DefaultSeconds = 30
	beginTime      = 5 * time.Second // that the vport's edge has to say that it follows
	endTime        = 3 * time.Second // that edges have to tell what they counted, once it is over
)

// Live follows real packets: BeginLive, and Run.
func Live(ctx context.Context, store *state.Store, r client.LiveRequest, fn func(client.LiveEvent) error) error {
	l, err := BeginLive(ctx, store, r)
	if err != nil {
		return err
	}
	return l.Run(ctx, fn)
}

// BeginLive asks for real packets to be followed. What is wrong with the request is a *topology.FieldError, of a field of client.LiveRequest. Run goes on with it; without that it ends by itself, soon.
func BeginLive(ctx context.Context, store *state.Store, r client.LiveRequest) (*LiveTrace, error) {
	l, ask, err := newLive(store, r)
	if err != nil {
		return nil, err
	}
	if l.hold, err = store.BeginTrace(ctx, ask); errors.Is(err, state.ErrTraced) {
		return nil, fail("vport", r.VPort, "is traced by somebody", "wait until that ends, which takes five minutes at most")
	}
	return l, err
}

// Run calls fn with what is found and what the network says should have become of the packets (O2). It ends by itself, with client.LiveEnded as its last event, or when fn fails, which it
// returns, or ctx ends.
func (l *LiveTrace) Run(ctx context.Context, fn func(client.LiveEvent) error) error {
	defer l.hold.End(ctx)
	running, stop := context.WithCancel(ctx)
	defer stop()
	l.conns = stored{ctx: ctx, store: l.store}
	l.fn, l.stop = fn, stop
	late := time.AfterFunc(beginTime, stop)
	defer late.Stop()
	over := time.AfterFunc(l.hold.For+beginTime+endTime, stop)
	defer over.Stop()
	err := l.hold.Run(running, func(rec state.TraceRecord) error {
		if rec.Kind == state.TraceBegan {
			late.Stop()
		}
		return l.take(&rec)
	})
	switch {
	case errors.Is(err, errOver):
		err = nil
	case err == nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return err
	case !l.began:
		return fmt.Errorf("edge %s does not say that it follows packets of %s: its agent is away, or busy", l.edge, portName(l.store.View().Topology, l.vport.ID))
	}
	return l.finish()
}

// errOver ends a trace that has told all.
var errOver = errors.New("it is over")

// LiveTrace is a live trace that has begun.
type LiveTrace struct {
	store *state.Store
	hold  *state.TraceHold
	conns stored
	vport *topology.VPort
	most  int
	edge  string // where packets come in
	place string
	fn    func(client.LiveEvent) error
	stop  func()

	began  bool
	told   int // packets
	first  []state.TraceEntry
	last   *state.TraceRecord // ended
	here   map[string]*state.TraceRecord
	there  map[string]*state.TraceRecord
	goesTo map[string]bool // edges to which packets went
}

// newLive reads a request.
func newLive(store *state.Store, r client.LiveRequest) (*LiveTrace, state.LiveTrace, error) {
	v := store.View()
	var ask state.LiveTrace
	port, err := findVPort(v.Topology, r.VPort)
	if err != nil {
		return nil, ask, err
	}
	m, err := matchOf(&r.Match)
	if err != nil {
		return nil, ask, err
	}
	r.Packets, r.Seconds = cmp.Or(r.Packets, DefaultPackets), cmp.Or(r.Seconds, DefaultSeconds)
	if r.Packets < 1 || r.Packets > state.MaxTracePackets {
		return nil, ask, fail("packets", fmt.Sprint(r.Packets), "is out of range", fmt.Sprintf("use 1 to %d", state.MaxTracePackets))
	}
	if most := int(state.MaxTraceTime / time.Second); r.Seconds < 1 || r.Seconds > most {
		return nil, ask, fail("seconds", fmt.Sprint(r.Seconds), "is out of range", fmt.Sprintf("use 1 to %d", most))
	}
	b, bound := v.Bindings.Get(port.ID)
	switch {
	case !bound:
		return nil, ask, fail("vport", r.VPort, "is bound nowhere: no packets come in by it", "bind it to an interface of an edge")
	case !v.Edges.Has(b.Edge):
		return nil, ask, fail("vport", r.VPort, "lives at an edge that is away, "+b.Edge, "start its agent")
	}
	ask = state.LiveTrace{VPort: port.ID, Match: m, Packets: r.Packets, For: time.Duration(r.Seconds) * time.Second}
	l := &LiveTrace{
		store: store, vport: port, most: r.Packets, edge: b.Edge, place: placeOf(&b),
		here: map[string]*state.TraceRecord{}, there: map[string]*state.TraceRecord{}, goesTo: map[string]bool{},
	}
	return l, ask, nil
}

// placeOf is an interface of an edge in short: nic1:eth1, or nic1:eth1.100 for a VLAN.
func placeOf(b *state.Binding) string {
	text := b.Edge + ":" + b.Interface
	if b.VLAN != 0 {
		text += fmt.Sprintf(".%d", b.VLAN)
	}
	return text
}

// matchOf reads which packets are wanted.
func matchOf(m *client.LiveMatch) (out state.TraceMatch, err error) {
	prefix := func(field, text string) netip.Prefix {
		p, bad := netip.ParsePrefix(text)
		if text != "" && !strings.Contains(text, "/") {
			var a netip.Addr
			if a, bad = netip.ParseAddr(text); bad == nil {
				p = netip.PrefixFrom(a, a.BitLen())
			}
		}
		if text != "" && err == nil && (bad != nil || p.Addr().Zone() != "" || p.Addr().Is4In6()) {
			err = fail(field, text, "is neither an IP address nor a prefix", "use one such as 10.0.0.12, 10.0.0.0/24 or fd00:10::/64")
		}
		return p.Masked()
	}
	out = state.TraceMatch{Src: prefix("match.src", m.Src), Dst: prefix("match.dst", m.Dst), SPort: m.SPort, DPort: m.DPort}
	if err != nil {
		return out, err
	}
	switch m.Family {
	case "":
	case "ipv4":
		out.V4 = true
	case "ipv6":
		out.V6 = true
	default:
		return out, fail("match.family", m.Family, "is no family", "use ipv4 or ipv6")
	}
	if len(out.EtherTypes()) == 0 {
		return out, fail("match.dst", m.Dst, "is of another IP family than the rest of the match", "use one family")
	}
	if m.Proto == "" {
		if m.SPort != 0 || m.DPort != 0 {
			return out, fail("match.proto", "", "is missing, and ports are those of a protocol", "use tcp, udp or sctp")
		}
		return out, nil
	}
	proto, err := (&probe{client.Packet{Proto: m.Proto}}).protocol(false)
	if err != nil || proto == protocolARP || proto == 0 {
		return out, fail("match.proto", m.Proto, "is no protocol of packets that can be followed", "use icmp, tcp, udp, sctp or a number from 1 to 255")
	}
	if m.Proto == "icmpv6" || m.Proto == "icmp6" {
		proto = packet.ProtoICMPv6
	}
	if (m.SPort != 0 || m.DPort != 0) && proto != packet.ProtoTCP && proto != packet.ProtoUDP && proto != packet.ProtoSCTP {
		return out, fail("match.proto", m.Proto, "has no ports", "leave sport and dport out, or use tcp, udp or sctp")
	}
	out.Proto = uint8(proto)
	return out, nil
}

// take takes what an edge tells.
func (l *LiveTrace) take(r *state.TraceRecord) error {
	switch r.Kind {
	case state.TraceBegan:
		if l.began { // its agent has begun anew, and goes on
			return nil
		}
		l.began, l.first = true, r.Entries
		e := client.LiveEvent{Kind: client.LiveBegan, At: r.At, Edge: r.Edge, Place: l.place, Counting: r.Counting, Entries: l.entries(r.Entries, nil)}
		return l.fn(e)
	case state.TracePacket:
		if r.Packet == nil || l.told >= l.most {
			return nil
		}
		l.told++
		e := client.LiveEvent{Kind: client.LivePacket, At: r.At, Edge: r.Edge, Packet: l.packet(r.Packet)}
		for _, o := range r.Packet.Outcomes {
			if o.Tunnel != "" {
				l.goesTo[o.Edge] = true
			}
		}
		return l.fn(e)
	case state.TraceHere:
		l.here[r.Edge] = r
		return l.fn(client.LiveEvent{Kind: client.LiveArrive, At: r.At, Edge: r.Edge, Arrivals: l.arrivals(r, nil)})
	case state.TraceThere:
		l.there[r.Edge] = r
	case state.TraceEnded:
		l.last = r
		time.AfterFunc(endTime, l.stop)
	}
	if l.last == nil {
		return nil
	}
	for edge := range l.goesTo {
		if l.there[edge] == nil {
			return nil
		}
	}
	return errOver
}

// finish tells the end.
func (l *LiveTrace) finish() error {
	e := client.LiveEvent{Kind: client.LiveEnded, At: time.Now().UTC(), Edge: l.edge, Packets: l.told, Why: "edge " + l.edge + " does not tell how it ended"}
	if r := l.last; r != nil {
		e.At, e.Why, e.Passed, e.Entries = r.At, r.Why, r.Passed, l.entries(r.Entries, l.first)
	}
	for _, edge := range slices.Sorted(maps.Keys(l.goesTo)) {
		switch here, there := l.here[edge], l.there[edge]; {
		case there != nil:
			e.Arrivals = append(e.Arrivals, l.arrivals(there, here)...)
		default:
			e.Arrivals = append(e.Arrivals, client.LiveArrival{Edge: edge, Error: "it does not tell"})
		}
	}
	return l.fn(e)
}

// entries are entries with names, and what they counted since before.
func (l *LiveTrace) entries(all, before []state.TraceEntry) (out []client.LiveEntry) {
	for i := range all {
		x := l.entry(&all[i])
		for j := range before {
			if b := &before[j]; b.Table == all[i].Table && b.Match == all[i].Match && b.Packets <= all[i].Packets && b.Bytes <= all[i].Bytes {
				x.MorePackets, x.MoreBytes = all[i].Packets-b.Packets, all[i].Bytes-b.Bytes
			}
		}
		var f packet.Frame
		if packet.ParseUntagged(all[i].Frame, &f) == nil {
			x.Simulation = l.simulate(&f)
		}
		out = append(out, x)
	}
	return out
}

func (l *LiveTrace) entry(e *state.TraceEntry) client.LiveEntry {
	x := client.LiveEntry{Table: e.Table, Match: e.Match, Action: e.Action, Rewrite: e.Rewrite, Packets: e.Packets, Bytes: e.Bytes, Absent: e.Absent}
	if e.Action == "forward" {
		x.To = destName(l.store.View().Topology, e.Dest)
	}
	return x
}

// packet joins what an edge did with a packet and what the network says.
func (l *LiveTrace) packet(p *state.TracedPacket) *client.FollowedOne {
	out := &client.FollowedOne{N: l.told, Sends: p.Sends, Outcomes: []client.LiveEnd{}}
	if p.Entry != nil {
		e := l.entry(p.Entry)
		out.Entry = &e
	}
	for i := range p.Outcomes {
		out.Outcomes = append(out.Outcomes, l.end(&p.Outcomes[i]))
	}
	var f packet.Frame
	if err := packet.ParseUntagged(whole(p), &f); err != nil {
		out.Text = fmt.Sprintf("%d bytes: %v", p.Len, err)
		return out
	}
	out.Text = packetText(&f)
	if out.Simulation = l.simulate(&f); out.Simulation != nil {
		out.Differs = differs(out)
	}
	return out
}

// maxFrame bounds what a frame is made up to.
const maxFrame = 1 << 16

// whole is a packet with as much payload as it had, all of it zeros.
func whole(p *state.TracedPacket) []byte {
	b := slices.Clone(p.Frame)
	if p.Len > len(b) && p.Len <= maxFrame {
		b = append(b, make([]byte, p.Len-len(b))...)
	}
	return b
}

// end is what an edge did with a packet, with names.
func (l *LiveTrace) end(o *state.TraceSent) client.LiveEnd {
	v := l.store.View()
	out := client.LiveEnd{TraceEnd: client.TraceEnd{Verdict: o.Verdict, Reason: o.Reason, Rewrite: o.Rewrite, Text: o.Verdict}}
	switch o.Verdict {
	case "drop":
		out.Text += ": " + o.Reason
	case "forward":
		out.To = destName(v.Topology, o.Dest)
		out.Text += " to " + out.To
		if b, ok := v.Bindings.Get(o.Dest.VPort()); ok && !v.Topology.IsGroup(o.Dest) {
			out.Place = placeOf(&b)
		}
	}
	if o.Tunnel != "" {
		out.Tunnel = fmt.Sprintf("%s %v → %v by port %d", o.Tunnel, o.Src, o.Dst, o.Port)
	}
	return out
}

// differs says how what an edge did is not what the network says; "": it is.
func differs(p *client.FollowedOne) string {
	words := func(e *client.TraceEnd) string {
		text := strings.Join(strings.Fields(e.Verdict+" "+e.To+" "+e.Reason), " ")
		if e.Rewrite != "" && e.Rewrite != "none" {
			text += ", " + e.Rewrite
		}
		return text
	}
	var did, says []string
	for i := range p.Outcomes {
		did = append(did, words(&p.Outcomes[i].TraceEnd))
	}
	for i := range p.Simulation.Outcomes {
		says = append(says, words(&p.Simulation.Outcomes[i]))
	}
	if a, b := strings.Join(did, "; "), strings.Join(says, "; "); a != b {
		return fmt.Sprintf("the edge did: %s; the network says: %s", a, b)
	}
	return ""
}

// arrivals are what an edge has for packets that come by tunnel, and counted since before.
func (l *LiveTrace) arrivals(r, before *state.TraceRecord) (out []client.LiveArrival) {
	for _, a := range r.Arrivals {
		x := client.LiveArrival{Edge: r.Edge, VPort: portName(l.store.View().Topology, a.VPort), Port: a.Port, VLAN: a.VLAN, Absent: a.Absent}
		if r.Tunnel != nil {
			x.Error = r.Tunnel.Error
		}
		if before != nil && before.Tunnel != nil && r.Tunnel != nil && before.Tunnel.Passed <= r.Tunnel.Passed {
			x.Passed = r.Tunnel.Passed - before.Tunnel.Passed
			for why, n := range r.Tunnel.Lost {
				if n > before.Tunnel.Lost[why] {
					if x.Lost == nil {
						x.Lost = map[string]uint64{}
					}
					x.Lost[why] = n - before.Tunnel.Lost[why]
				}
			}
		}
		out = append(out, x)
	}
	return out
}

// simulate is what the network says of a packet, as it is now; nil: nothing, as the vport is gone.
func (l *LiveTrace) simulate(f *packet.Frame) *client.Trace {
	snap := l.store.View().Topology
	v := snap.VPort(l.vport.ID)
	if v == nil {
		return nil
	}
	return l.conns.follow(snap, f, v)
}

package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

// A live trace (O2) is asked for, carried out and told in the database, all of it under the lease of who asks: when he ends, or is gone, nothing is left of it, and the edges take their entries back.
//
//	who asks ── ask/<vport> ──▶ the vport's edge: entries in its target; packets come up, are decided and sent on
//	         ◀─ told/<vport>/<edge>/<n> ──┤                  (TraceRecord)
//	                                      └─ ask/<vport>/to/<edge> ──▶ edges where they go
//	         ◀─ told/<vport>/<edge>/<n> ──────────────────────────────┘  what their targets count

const (
	traceTTL = 5 * time.Second // of who asks: how long a trace outlives him

	// Bounds of a live trace.
	MaxTracePackets = 1000
	MaxTraceTime    = 5 * time.Minute
)

// TraceMatch says which packets of a vport are followed. Zero fields match any.
type TraceMatch struct {
	Src   netip.Prefix `json:"src,omitzero"` // of the same family, if both are there
	Dst   netip.Prefix `json:"dst,omitzero"`
	V4    bool         `json:"v4,omitempty"` // of IPv4 alone
	V6    bool         `json:"v6,omitempty"`
	Proto uint8        `json:"proto,omitempty"` // 1 and 58 are one: ICMP of the packet's family
	SPort uint16       `json:"sport,omitempty"` // of TCP, UDP and SCTP
	DPort uint16       `json:"dport,omitempty"`
}

// EtherTypes are those of packets that may match.
func (m *TraceMatch) EtherTypes() []uint16 {
	v4, v6 := !m.V6, !m.V4
	for _, p := range []netip.Prefix{m.Src, m.Dst} {
		if p.IsValid() {
			v4, v6 = v4 && p.Addr().Is4(), v6 && p.Addr().Is6()
		}
	}
	var out []uint16
	if v4 {
		out = append(out, packet.EtherTypeIPv4)
	}
	if v6 {
		out = append(out, packet.EtherTypeIPv6)
	}
	return out
}

// WithoutAddrs is the match that does not look at addresses, but for their family.
func (m *TraceMatch) WithoutAddrs() TraceMatch {
	types := m.EtherTypes()
	out := TraceMatch{Proto: m.Proto, SPort: m.SPort, DPort: m.DPort}
	if len(types) == 1 {
		out.V4, out.V6 = types[0] == packet.EtherTypeIPv4, types[0] == packet.EtherTypeIPv6
	}
	return out
}

// ProtoOf is the protocol that packets of a family must have; 0: any.
func (m *TraceMatch) ProtoOf(etherType uint16) uint8 {
	if m.Proto == packet.ProtoICMP || m.Proto == packet.ProtoICMPv6 {
		if etherType == packet.EtherTypeIPv6 {
			return packet.ProtoICMPv6
		}
		return packet.ProtoICMP
	}
	return m.Proto
}

// Meets reports whether packets that agree with a key in the bits of a mask may match: of a packet itself, all bits count.
func (m *TraceMatch) Meets(k *flow.Key, mask *flow.Mask) bool {
	family := false
	for _, t := range m.EtherTypes() {
		family = family || mask.EtherType == 0 || t == k.EtherType
	}
	proto := m.ProtoOf(k.EtherType)
	return family &&
		(proto == 0 || (proto^k.Proto)&mask.Proto == 0) &&
		(m.SPort == 0 || (m.SPort^k.SrcPort)&mask.SrcPort == 0) &&
		(m.DPort == 0 || (m.DPort^k.DstPort)&mask.DstPort == 0) &&
		meets(m.Src, k.Src, mask.Src) && meets(m.Dst, k.Dst, mask.Dst)
}

// meets reports whether an address in a prefix agrees with another in the bits of a mask.
func meets(p netip.Prefix, a, mask flow.Addr) bool {
	if !p.IsValid() {
		return true
	}
	want, bits := flow.AddrOf(p.Addr()), p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	for i := range 16 {
		own := byte(0xff)
		if n := bits - 8*i; n <= 0 {
			own = 0
		} else if n < 8 {
			own <<= 8 - n
		}
		if (want[i]^a[i])&mask[i]&own != 0 {
			return false
		}
	}
	return true
}

// LiveTrace asks for real packets that come in by a vport to be followed.
type LiveTrace struct {
	VPort   flow.VPortID     `json:"vport"`
	Match   TraceMatch       `json:"match"`
	Packets int              `json:"packets"` // after which it ends
	For     time.Duration    `json:"for"`     // after which it ends
	Lease   clientv3.LeaseID `json:"lease"`   // of who asks: what is told of it is under the same
	// To has the edges to which its packets go, and the vports that they go to there.
	To map[string][]flow.VPortID `json:"-"`
	// Run tells two traces of a vport apart.
	Run int64 `json:"-"`
}

// inBounds reports whether it can be carried out.
func (t *LiveTrace) inBounds() bool {
	return t.VPort != 0 && t.Packets > 0 && t.Packets <= MaxTracePackets && t.For > 0 && t.For <= MaxTraceTime && len(t.Match.EtherTypes()) > 0
}

// Kinds of trace records.
const (
	TraceBegan  = "began"  // the vport's edge follows packets, or counters alone
	TracePacket = "packet" // a packet
	TraceEnded  = "ended"  // the vport's edge does not follow any more
	TraceHere   = "here"   // an edge where packets go: what its target has for them, and counts
	TraceThere  = "there"  // the same at the end
)

// TraceRecord is what an edge tells of a live trace.
type TraceRecord struct {
	Edge string    `json:"edge"`
	N    int       `json:"n"` // of the edge's records
	Kind string    `json:"kind"`
	At   time.Time `json:"at"`
	// Counting says why packets are not brought up: the flows are told by their counters. Of began.
	Counting string         `json:"counting,omitempty"`
	Why      string         `json:"why,omitempty"`     // ended
	Passed   uint64         `json:"passed,omitempty"`  // ended: packets that came up with those that match, and are not followed
	Entries  []TraceEntry   `json:"entries,omitempty"` // began and ended: those that matching packets would meet
	Packet   *TracedPacket  `json:"packet,omitempty"`
	Arrivals []TraceArrival `json:"arrivals,omitempty"` // here and there
	Tunnel   *TraceTunnel   `json:"tunnel,omitempty"`   // here and there
}

// TraceEntry is a flow entry of a target.
type TraceEntry struct {
	Table   string       `json:"table"`
	Match   string       `json:"match"`
	Action  string       `json:"action"` // forward, drop or punt
	Dest    flow.Dest    `json:"dest,omitempty"`
	Rewrite string       `json:"rewrite,omitempty"`
	Packets uint64       `json:"packets"`
	Bytes   uint64       `json:"bytes"`
	Absent  bool         `json:"absent,omitempty"` // the target does not have it
	Frame   []byte       `json:"frame,omitempty"`  // the shortest that would meet it
	VPort   flow.VPortID `json:"vport,omitempty"`
}

// TracedPacket is a real packet: what it was, and what became of it.
type TracedPacket struct {
	Frame    []byte        `json:"frame"` // headers; the payload is nobody's business
	Len      int           `json:"len"`   // of the whole frame
	Hash     uint16        `json:"hash"`
	Reason   flow.Reason   `json:"reason"`          // why it came up
	Entry    *TraceEntry   `json:"entry,omitempty"` // that it would have met; nil: none, it came up as the first of its flow
	Outcomes []TraceSent   `json:"outcomes,omitempty"`
	Sends    int           `json:"sends,omitempty"` // packets that devices sent because of it
	Took     time.Duration `json:"took,omitempty"`
}

// TraceSent is what became of a packet, or of a copy of it.
type TraceSent struct {
	Verdict string     `json:"verdict"`
	Dest    flow.Dest  `json:"dest,omitempty"`
	Reason  string     `json:"reason,omitempty"`
	Rewrite string     `json:"rewrite,omitempty"`
	Edge    string     `json:"edge,omitempty"`   // where it left the network, or was sent to
	Port    uint16     `json:"port,omitempty"`   // of the edge that tells, by which it left
	Tunnel  string     `json:"tunnel,omitempty"` // to another edge: kind
	Src     netip.Addr `json:"src,omitzero"`     // and ends
	Dst     netip.Addr `json:"dst,omitzero"`
}

// TraceArrival is what a target has for what comes by tunnel for a vport.
type TraceArrival struct {
	VPort  flow.VPortID `json:"vport"`
	Port   uint16       `json:"port"`   // by which it leaves
	VLAN   uint16       `json:"vlan"`   // 0: untagged
	Absent bool         `json:"absent"` // the target does not have the entry, or the vport is not here any more
}

// TraceTunnel counts what came to a target by tunnel, of all vports.
type TraceTunnel struct {
	Passed uint64            `json:"passed"`          // went on
	Lost   map[string]uint64 `json:"lost,omitempty"`  // dropped, by reason
	Error  string            `json:"error,omitempty"` // the target was not read
}

func traceAskKey(v flow.VPortID) string { return traceAskPrefix + strconv.FormatUint(uint64(v), 10) }

func traceToKey(v flow.VPortID, edge string) string { return traceAskKey(v) + "/to/" + edge }

func traceToldPrefix(v flow.VPortID) string {
	return traceToldBase + strconv.FormatUint(uint64(v), 10) + "/"
}

// ErrTraced: a vport is traced already.
var ErrTraced = errors.New("its packets are followed already: wait until that ends, or end it")

// TraceHold is a live trace that was asked for.
type TraceHold struct {
	leaseKeeper
	LiveTrace
	rev int64
}

// BeginTrace asks for a live trace. Run keeps it, and End ends it.
func (s *Store) BeginTrace(ctx context.Context, t LiveTrace) (*TraceHold, error) {
	if !t.inBounds() {
		return nil, fmt.Errorf("state: live trace of vport %v: out of bounds", t.VPort)
	}
	h := &TraceHold{leaseKeeper: leaseKeeper{s.client, traceTTL, "live trace"}, LiveTrace: t}
	grant, err := s.client.Grant(ctx, int64(traceTTL/time.Second))
	if err != nil {
		return nil, fmt.Errorf("state: live trace: lease: %w", advised(err))
	}
	h.Lease = grant.ID
	value, err := json.Marshal(h.LiveTrace)
	if err == nil {
		var tx txn
		tx.unchanged(traceAskKey(t.VPort), 0)
		tx.ops = append(tx.ops, clientv3.OpPut(traceAskKey(t.VPort), string(value), clientv3.WithLease(h.Lease)))
		h.rev, err = tx.commit(ctx, s.client)
	}
	if err != nil {
		h.leave(ctx, h.Lease)
		if errors.Is(err, ErrConflict) {
			err = ErrTraced
		}
		return nil, fmt.Errorf("state: live trace: %w", err)
	}
	return h, nil
}

// Run keeps the trace, and calls fn with what edges tell of it, until ctx ends (nil), fn fails, or the trace is gone.
func (h *TraceHold) Run(ctx context.Context, fn func(TraceRecord) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	renewing := make(chan error, 1)
	go func() { renewing <- h.renew(ctx, h.Lease, make(chan struct{}, 1)) }()
	err := h.records(ctx, fn, renewing)
	stop()
	<-renewing
	return err
}

// records calls fn with each record as it is stored.
func (h *TraceHold) records(ctx context.Context, fn func(TraceRecord) error, renewing chan error) error {
	watch, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	stream := h.client.Watch(watch, traceToldPrefix(h.VPort), clientv3.WithPrefix(), clientv3.WithRev(h.rev), clientv3.WithFilterDelete())
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-renewing:
			renewing <- err
			if ctx.Err() != nil {
				return nil
			}
			return err
		case resp, ok := <-stream:
			if !ok || resp.Err() != nil {
				if ctx.Err() != nil {
					return nil
				}
				return fmt.Errorf("state: live trace: the database does not answer: %w", errors.Join(resp.Err(), errTraceWatch))
			}
			for _, ev := range resp.Events {
				var r TraceRecord
				if json.Unmarshal(ev.Kv.Value, &r) != nil || clientv3.LeaseID(ev.Kv.Lease) != h.Lease {
					continue // of another trace, or of another version
				}
				if err := fn(r); err != nil {
					return err
				}
			}
		}
	}
}

var errTraceWatch = errors.New("the watch ended")

// End takes the trace back: all that is stored of it goes, and the edges take away what they have for it.
func (h *TraceHold) End(ctx context.Context) { h.leave(ctx, h.Lease) }

// FollowTraces calls fn with all live traces, by vport, each time that they are others, until ctx ends.
func (s *Store) FollowTraces(ctx context.Context, fn func(map[flow.VPortID]LiveTrace)) error {
	asks, to := map[string]Event{}, map[string]Event{}
	return s.Follow(traceAskPrefix).Run(ctx, func(b Batch) error {
		if len(b.Listed) > 0 {
			clear(asks)
			clear(to)
		}
		for _, e := range b.Events {
			of := asks
			if strings.Contains(strings.TrimPrefix(e.Key, traceAskPrefix), "/") {
				of = to
			}
			if of[e.Key] = e; e.Deleted {
				delete(of, e.Key)
			}
		}
		if len(b.Listed)+len(b.Events) > 0 {
			fn(liveTraces(asks, to))
		}
		return nil
	})
}

// liveTraces reads the traces. What can't be read is none.
func liveTraces(asks, to map[string]Event) map[flow.VPortID]LiveTrace {
	all := map[flow.VPortID]LiveTrace{}
	for key, e := range asks {
		var t LiveTrace
		if json.Unmarshal(e.Value, &t) == nil && traceAskKey(t.VPort) == key && t.inBounds() {
			t.Run = e.ModRevision
			all[t.VPort] = t
		}
	}
	for key, e := range to {
		of, edge, _ := strings.Cut(strings.TrimPrefix(key, traceAskPrefix), "/to/")
		id, err := strconv.ParseUint(of, 10, 24)
		t, there := all[flow.VPortID(id)]
		var vports []flow.VPortID
		if err != nil || !there || json.Unmarshal(e.Value, &vports) != nil {
			continue
		}
		if t.To == nil {
			t.To = map[string][]flow.VPortID{}
			all[t.VPort] = t
		}
		t.To[edge] = vports
	}
	return all
}

// TellTrace stores what an edge tells of a live trace, as long as that is there.
func (s *Store) TellTrace(ctx context.Context, t *LiveTrace, r TraceRecord) error {
	value, err := json.Marshal(r)
	if err == nil {
		_, err = s.client.Put(ctx, fmt.Sprintf("%s%s/%08d", traceToldPrefix(t.VPort), r.Edge, r.N), string(value), clientv3.WithLease(t.Lease))
	}
	if err != nil {
		return fmt.Errorf("state: live trace: %w", err)
	}
	return nil
}

// LeadTrace tells an edge to which vports there packets of a live trace go; none: they go there no more.
func (s *Store) LeadTrace(ctx context.Context, t *LiveTrace, edge string, vports []flow.VPortID) (err error) {
	if len(vports) == 0 {
		_, err = s.client.Delete(ctx, traceToKey(t.VPort, edge))
	} else {
		var value []byte
		if value, err = json.Marshal(vports); err == nil {
			_, err = s.client.Put(ctx, traceToKey(t.VPort, edge), string(value), clientv3.WithLease(t.Lease))
		}
	}
	if err != nil {
		return fmt.Errorf("state: live trace: %w", err)
	}
	return nil
}

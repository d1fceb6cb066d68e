package softswitch

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
)

const (
	versusAccess   = 1
	versusUnderlay = 256
	versusFlows    = 10_000
	versusMasks    = 50
)

// be is a canonical value.
func be(v uint64) []byte { return canonical(binary.BigEndian.AppendUint64(nil, v)) }

// tenantFrame is a UDP frame of flow i, size bytes long.
func tenantFrame(i, size int) []byte {
	f := append([]byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0}, 0x45, 0)
	f = binary.BigEndian.AppendUint16(f, uint16(size-14))
	f = append(f, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1)
	f = binary.BigEndian.AppendUint32(f, uint32(10<<24+1000+i))
	sumHeader(f[14:])
	f = append(f, 4000>>8, 4000&0xff, 0, 53)
	f = binary.BigEndian.AppendUint16(f, uint16(size-34))
	return append(f, make([]byte, size-len(f))...)
}

// tunnelFlows teaches the project's program to send frames of a vport on port 1 to
// another edge by VXLAN, all but the flow tables.
func (c *controller) tunnelFlows() {
	c.t.Helper()
	mac := func(b byte) []byte { return []byte{2, 0, 0, 0, 0, b} }
	do := func(action string, params ...[]byte) *p4v1.TableAction { return direct(c.action(action, params...)) }
	updates := []*p4v1.Update{
		insert(c.entry("port_map", do("set_vport", be(7)), exact(1, 1), exact(2, 0), exact(3, 0))),
		insert(c.entry("src_class", do("known_source"), exact(1, 7), exact(2, mac(1)...))),
		insert(c.entry("dst_class", do("set_scope", be(9)), exact(1, 7), exact(2, mac(2)...))),
		insert(c.entry("l2_guard", do("set_mtu", be(1500)), exact(1, 5))),
		insert(c.entry("l2_rewrite", do("set_macs", mac(3), mac(4), be(0)), exact(1, 5))),
		insert(c.entry("location", do("to_peer", be(3)), exact(1, be(500)...), exact(2, 0))),
		insert(c.entry("underlay", do("encap_v4", be(1), be(0xc0a80001), be(0xc0a80002), mac(5), mac(6), be(1950)), exact(1, 11))),
	}
	for b := range uint64(16) {
		updates = append(updates, insert(c.entry("peer", do("set_path", be(11), be(versusUnderlay)), exact(1, 3), exact(2, be(b)...))))
	}
	c.write(updates...)
}

// exactFlows are entries for versusFlows flows.
func (c *controller) exactFlows() {
	var updates []*p4v1.Update
	forward := direct(c.action("forward_flow_exact_v4", be(500), be(5), be(1), be(0), be(0)))
	for i := range versusFlows {
		updates = append(updates, insert(c.entry("flow_exact_v4", forward, exact(1, 9), exact(2, 10, 0, 0, 1), exact(3, be(uint64(10<<24+1000+i))...),
			exact(4, 17), exact(5, be(4000)...), exact(6, 53), exact(7, 0))))
	}
	c.write(updates...)
}

// wildFlows are as many ternary entries, under versusMasks masks and with priorities in no
// order, of which one matches: the last.
func (c *controller) wildFlows() {
	var updates []*p4v1.Update
	scope := ternary(1, be(9), be(0xffff))
	for i := range uint64(versusFlows) {
		n := i % versusMasks
		src, dst := 8+n%5*6, 31-n/5%5
		masks := [2]uint64{0xffffffff << (32 - src) & 0xffffffff, 0xffffffff << (32 - dst) & 0xffffffff}
		match := []*p4v1.FieldMatch{scope, ternary(2, be(i<<12&masks[0]), be(masks[0])), ternary(3, be(i*0x9e3779b1&masks[1]), be(masks[1]))}
		if n >= versusMasks/2 {
			match = append(match, ternary(5, be(1000+i), be(0xffff)))
		}
		e := c.entry("flow_wild_v4", direct(c.action("drop_flow_wild_v4")), match...)
		e.Priority = int32(2 + (i*7919)%versusFlows)
		updates = append(updates, insert(e))
	}
	last := c.entry("flow_wild_v4", direct(c.action("forward_flow_wild_v4", be(500), be(5), be(1))), scope)
	last.Priority = 1
	c.write(append(updates, insert(last))...)
}

// flowProgram is the project's program with room for the ternary entries.
func flowProgram(b testing.TB) *p4v1.ForwardingPipelineConfig {
	config := weftConfig(b)
	for _, t := range config.GetP4Info().GetTables() {
		if t.GetPreamble().GetAlias() == "flow_wild_v4" {
			t.Size = 2 * versusFlows
		}
	}
	config.P4DeviceConfig = enlarge(b, config.GetP4DeviceConfig(), "ingress.flow_wild_v4", 2*versusFlows)
	return config
}

// rate is what a switch did in a while.
type rate struct {
	kpps float64       // that left it
	cpu  time.Duration // of its process, per packet
	lost float64       // share of what was sent
}

// flight is what is under way through a switch: sent, came, or given up.
type flight struct {
	*peer
	sent, came, lost int64
}

const (
	look  = 20 * time.Microsecond // how often a sender that waits looks for what has come
	given = 100 * time.Millisecond
)

// wait waits until no more than n frames are under way; those that don't come in a while
// are lost.
func (f *flight) wait(n int64) {
	last := time.Now()
	for {
		came := f.tallies[versusUnderlay].count(f.t)
		if came != f.came {
			f.came, last = came, time.Now()
		}
		under := f.sent - f.came - f.lost
		if under <= n {
			return
		}
		if time.Since(last) > given {
			f.lost += under
			return
		}
		time.Sleep(look) // a sender that spins would take a core from the switch
	}
}

// pump keeps window frames in the switch for a while. A window, not a rate: bmv2 does less,
// not more, when it gets more than it can take.
func (f *flight) pump(frames [][]byte, window int64, d time.Duration) rate {
	f.t.Helper()
	begun, cpu := time.Now(), f.cpu()
	before := *f
	for next := 0; time.Since(begun) < d; {
		f.wait(window / 2)
		for n := window - (f.sent - f.came - f.lost); n > 0; {
			taken, err := f.wires[versusAccess].Send(frames[next:min(next+int(n), len(frames))])
			if err != nil {
				f.t.Fatal(err)
			}
			f.sent += int64(taken)
			n -= int64(taken)
			if next += taken; next == len(frames) {
				next = 0
			}
		}
	}
	f.wait(0)
	took, used := time.Since(begun), f.cpu()-cpu
	sent, came, lost := f.sent-before.sent, f.came-before.came, f.lost-before.lost
	if came == 0 {
		f.t.Fatal("no frame came through")
	}
	return rate{kpps: float64(came) / took.Seconds() / 1e3, cpu: used / time.Duration(came), lost: float64(lost) / float64(sent)}
}

// window is the largest number of frames under way at which a switch still gains: bmv2's
// queue to a port holds 64 frames.
func (f *flight) window(frames [][]byte) (window int64) {
	f.t.Helper()
	f.pump(frames, 32, 200*time.Millisecond)
	best := 0.0
	for _, w := range []int64{16, 56, 256, 512} {
		r := f.pump(frames, w, 500*time.Millisecond)
		f.t.Logf("window %d: %.1f kpps, %v of processor time a packet, %.2f %% lost", w, r.kpps, r.cpu, r.lost*100)
		if r.kpps > best {
			window, best = w, r.kpps
		}
	}
	return window
}

// BenchmarkVersusBMv2 sends the same frames through simple_switch_grpc and through this
// switch, each a process of its own with AF_PACKET ports on veth pairs, one after the other
// on the same cores: the project's program, VXLAN out, 10k flows in turn, mixed sizes. The
// sender runs on the same cores too, which favours the slower switch.
func BenchmarkVersusBMv2(b *testing.B) {
	program := needBMv2(b)
	sizes := []int{64, 128, 256, 576, 1024, 1500}
	frames := make([][]byte, versusFlows)
	for i := range frames {
		frames[i] = tenantFrame(i, sizes[i%len(sizes)])
	}
	for _, way := range []struct {
		name  string
		flows func(*controller)
	}{{"exact", (*controller).exactFlows}, {"ternary", (*controller).wildFlows}} {
		b.Run(fmt.Sprintf("%s/10kFlows/veth", way.name), func(b *testing.B) {
			var flights [2]*flight
			var windows [2]int64
			for i, path := range []string{program, ""} {
				p := newPeer(b, path, versusAccess, versusUnderlay)
				config := flowProgram(b)
				p.info = config.GetP4Info()
				p.push(commitNow, config)
				p.tunnelFlows()
				way.flows(p.controller)
				p.wires[versusUnderlay].Close() // a second reader would cost
				flights[i] = &flight{peer: p}
				windows[i] = flights[i].window(frames)
			}
			const rounds = 10 // they take turns, so that both see the same machine
			var kpps, cpu [2]float64
			for b.Loop() {
				kpps, cpu = [2]float64{}, [2]float64{}
				for range rounds {
					for i, f := range flights {
						r := f.pump(frames, windows[i], 300*time.Millisecond)
						kpps[i] += r.kpps / rounds
						cpu[i] += float64(r.cpu) / rounds / 1e3
					}
				}
			}
			for i, name := range []string{"bmv2", "softswitch"} {
				b.ReportMetric(kpps[i], name+"_veth_"+way.name+":kpps")
				b.ReportMetric(cpu[i], name+"_cpu_us/packet")
			}
			b.ReportMetric(cpu[0]/cpu[1], "softswitch_vs_bmv2_"+way.name+"_cpu:x")
			b.ReportMetric(kpps[1]/kpps[0], "softswitch_vs_bmv2_"+way.name+":x")
		})
	}
}

package softswitch

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
)

// connections teaches the project's program to route flows from port 1 to port 2, every second one translated and every third one tracked: of five protocols,
// whole, first and later fragments, between four addresses of a family.
func (c *controller) connections() {
	c.t.Helper()
	do := func(action string, params ...[]byte) *p4v1.TableAction { return direct(c.action(action, params...)) }
	updates := []*p4v1.Update{
		insert(&p4v1.CloneSessionEntry{SessionId: 1, Replicas: []*p4v1.Replica{{PortKind: &p4v1.Replica_Port{Port: be(labCPU)}}}}),
		insert(c.entry("port_map", do("set_vport", be(7)), exact(1, 1), exact(2, 0), exact(3, 0))),
		insert(c.entry("l2_guard", do("set_mtu", be(1500)), exact(1, 5))),
		insert(c.entry("l2_rewrite", do("set_macs", be(0x020000000011), be(0x020000000012), be(0)), exact(1, 5))),
		insert(c.entry("location", do("to_port", be(2), be(8), be(0), be(0)), exact(1, be(500)...), exact(2, 0))),
	}
	for n := range uint64(3) {
		updates = append(updates, insert(c.entry("src_class", do("known_source"), exact(1, 7), exact(2, be(0x020000000001+n)...))),
			insert(c.entry("dst_class", do("set_scope", be(9)), exact(1, 7), exact(2, be(0x020000000001+n)...))))
	}
	for n := range uint64(200) {
		x := 0xc6336400 + n*0x10301
		updates = append(updates, insert(c.entry("nat_v4", do("translate_v4", be(x), be(x*3&0xffffffff), be(40000+n), be(n*257)), exact(1, be(1+n)...))),
			insert(c.entry("nat_v6", do("translate_v6", append([]byte{0x20}, wide(x)...), append([]byte{0xfd}, wide(x*3)...), be(40000+n), be(n*257)), exact(1, be(1+n)...))))
	}
	for i := range uint64(len(connectionProtos) * 3 * 16) {
		src, dst, frag := 10<<24+1+i%4, 10<<24+1+i/4%4, i/16%3
		proto := connectionProtos[i/48]
		sport, dport := uint64(4000), uint64(53)
		switch {
		case frag == 2 || proto == 50:
			sport, dport = 0, 0
		case proto == 1:
			sport, dport = 8<<8, 7
		}
		nat := (1 + i) * (i % 2)
		for _, family := range []string{"v4", "v6"} {
			if family == "v6" && proto == 1 {
				proto, sport = 58, 128<<8*min(sport, 1)
			}
			forward := do("forward_flow_exact_"+family, be(500), be(5), be(1), be(nat%201), be(min(i%3, 1)^1))
			updates = append(updates, insert(c.entry("flow_exact_"+family, forward, exact(1, 9), exact(2, be(src)...), exact(3, be(dst)...),
				exact(4, be(proto)...), exact(5, be(sport)...), exact(6, be(dport)...), exact(7, be(frag)...))))
		}
	}
	c.write(updates...)
}

var connectionProtos = []uint64{6, 17, 1, 132, 50}

// wide is a number in the last 15 bytes of an IPv6 address.
func wide(v uint64) []byte { return binary.BigEndian.AppendUint64(make([]byte, 7), v) }

// connection is a frame of a flow of connections, more often than not.
func (r *small) connection(uint16) []byte {
	proto := r.one(connectionProtos...)
	l4 := make([]byte, 20+r.IntN(40))
	for i := range l4 {
		l4[i] = byte(r.Uint32())
	}
	v6 := r.IntN(2) == 0
	copy(l4, []byte{4000 >> 8, 4000 & 0xff, 0, 53})
	switch proto {
	case 6:
		l4[13] = byte(r.one(0, 1, 2, 4, 16, 17))
	case 17:
		if r.IntN(3) == 0 {
			l4[6], l4[7] = 0, 0
		}
	case 1:
		copy(l4, []byte{8, 0, l4[2], l4[3], 0, 7})
		if v6 {
			proto, l4[0] = 58, 128
		}
	}
	if v6 {
		return append(r.ethernet(0x86dd), r.ipv6(proto, l4)...)
	}
	return append(r.ethernet(0x0800), r.ipv4(proto, l4)...)
}

// TestConnectionsSameAsBMv2: simple_switch_grpc and this switch translate alike, to the byte, and copy alike what ends a tracked connection.
func TestConnectionsSameAsBMv2(t *testing.T) {
	program := needBMv2(t)
	ports := []uint16{1, 2}
	config := weftConfig(t)
	s := &sameRun{t: t, theirs: newPeer(t, program, ports...), ours: newTwin(t, config, ports), ports: ports[:1],
		random: &small{Rand: rand.New(rand.NewPCG(3, 7)), ports: ports}}
	s.theirs.info = config.GetP4Info()
	s.theirs.push(commitNow, config)
	s.theirs.listen()
	s.theirs.connections()
	s.ours.connections()
	forwarded, copies := 0, 0
	s.each = func(text string) {
		switch {
		case strings.HasPrefix(text, "port 2"):
			forwarded++
		case strings.Contains(text, " 3=12"): // REASON_TRACKED_END
			copies++
		}
	}
	s.frame = s.random.connection
	for range 2 * sameRounds {
		s.round()
	}
	t.Logf("%d frames: %d forwarded, %d copies", s.frames, forwarded, copies)
	if forwarded < s.frames/4 || copies < 5 {
		t.Errorf("of %d frames only %d were forwarded and %d copied", s.frames, forwarded, copies)
	}
}

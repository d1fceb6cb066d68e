package lab_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/weft-sdn/weft/testbed/lab"
	"github.com/weft-sdn/weft/testbed/scenario"
)

// TestCaptures: the files of a lab show tunnel packets whose key is the vport that they are for (E9), in the encapsulation that the edge asked for, and
// what hosts sent and received.
func TestCaptures(t *testing.T) {
	for encap, key := range map[string]func(gopacket.Packet) (uint32, bool){
		"vxlan": func(p gopacket.Packet) (uint32, bool) {
			l, ok := p.Layer(layers.LayerTypeVXLAN).(*layers.VXLAN)
			return vni(ok, func() uint32 { return l.VNI })
		},
		"geneve": func(p gopacket.Packet) (uint32, bool) {
			l, ok := p.Layer(layers.LayerTypeGeneve).(*layers.Geneve)
			return vni(ok, func() uint32 { return l.VNI })
		},
		"gre": func(p gopacket.Packet) (uint32, bool) {
			l, ok := p.Layer(layers.LayerTypeGRE).(*layers.GRE)
			return vni(ok && l.KeyPresent, func() uint32 { return l.Key })
		},
	} {
		t.Run(encap, func(t *testing.T) {
			text, err := os.ReadFile("testdata/bridge.txtar")
			if err != nil {
				t.Fatal(err)
			}
			edges := "-- edges --\ne1 encap=" + encap + "\ne2 encap=" + encap + "\n-- hosts --"
			s, err := scenario.Parse("bridge.txtar", []byte(strings.Replace(string(text), "-- hosts --", edges, 1)))
			if err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "captures")
			l := start(t, lab.Config{Scenario: s, Pcap: dir})
			runScenario(t, s, l)
			vm2, err := l.VPortID("red/vm2")
			if err != nil {
				t.Fatal(err)
			}
			toVM2 := 0
			for _, p := range packets(t, filepath.Join(dir, "underlay-e1.pcap")) {
				if k, ok := key(p); ok && k == vm2 && inner(p) == "02:00:00:00:00:02" {
					toVM2++
				}
			}
			if toVM2 < 100 {
				t.Errorf("%d packets to vm2 in tunnel packets with its vport's key %d, want those of a transfer", toVM2, vm2)
			}
			if n := len(packets(t, filepath.Join(dir, "access-e2-vm2.pcap"))); n < toVM2 {
				t.Errorf("%d frames on vm2's cable, less than the %d tunnel packets", n, toVM2)
			}
		})
	}
}

func vni(ok bool, value func() uint32) (uint32, bool) {
	if !ok {
		return 0, false
	}
	return value(), true
}

// inner is the destination MAC of the innermost Ethernet header.
func inner(p gopacket.Packet) string {
	mac := ""
	for _, l := range p.Layers() {
		if eth, ok := l.(*layers.Ethernet); ok {
			mac = eth.DstMAC.String()
		}
	}
	return mac
}

// packets decodes a capture that may still be written to.
func packets(t *testing.T, file string) (all []gopacket.Packet) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for {
		data, _, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, gopacket.NewPacket(data, layers.LayerTypeEthernet, gopacket.Default))
	}
}

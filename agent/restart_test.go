package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/softswitch/cli"
	"github.com/weft-sdn/weft/softswitch/port"
	"github.com/weft-sdn/weft/state"
)

// record is a log that can be read while it is written.
type record struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (r *record) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(b)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// gateways answers ARP and ND at the other end of an uplink, whatever is asked for, until the test ends.
func gateways(t *testing.T, path string) {
	t.Helper()
	p, err := port.OpenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	mac := packet.MustParseMAC("02:fe:00:00:00:01")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		frame, size := [][]byte{make([]byte, port.MaxFrame)}, []int{0}
		for {
			if _, err := p.Recv(frame, size); err != nil {
				return
			}
			var f packet.Frame
			if packet.Parse(frame[0][:size[0]], &f) != nil {
				continue
			}
			var answer []byte
			if a, err := f.ARP(); err == nil && a.Op == packet.ARPRequest {
				answer = packet.AppendARPReply(nil, &a, mac)
			} else if n, err := f.ND(); err == nil && n.Type == packet.ICMPv6NeighSol {
				answer = packet.AppendNA(nil, &n, f.Src(), mac, true)
			}
			if answer != nil {
				_, _ = p.Send([][]byte{answer})
			}
		}
	}()
	t.Cleanup(func() { p.Close(); <-ended })
}

var reconciled = regexp.MustCompile(`target reconciled" edge=nic1 kept=(\d+) inserted=(\d+) modified=(\d+) deleted=(\d+)`)

// TestRestart: an agent that starts again finds its target as it left it, and writes nothing: the network, and the ways to other edges, are known before
// what the target holds is compared with them.
func TestRestart(t *testing.T) {
	dir := shortDir(t)
	endpoint, _ := startDatabase(t, state.EmbeddedConfig{})
	c := oneEdge(t, dir, fmt.Sprintf(`{endpoints: [%q]}`, endpoint), "{}")
	store := openStore(t, c.Etcd)
	startSwitch(t, dir, "unix:"+dir+"/sw", cli.TLS{})
	gateways(t, dir+"/up")
	other, err := store.RegisterEdge(state.EdgeInfo{ID: "nic2", Encaps: []string{"vxlan"}, MTU: 1600, VTEPs: []netip.Addr{
		netip.MustParseAddr("198.51.100.2"), netip.MustParseAddr("2001:db8::2"),
	}}, state.EdgeConfig{})
	if err != nil {
		t.Fatal(err)
	}
	live := running(t, other.Run)
	defer live()
	apply(t, store, strings.Replace(network, "edge: nic1, interface: p2", "edge: nic2, interface: p2", 1))

	for i := range 4 {
		log := new(record)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- Run(ctx, c, slog.New(slog.NewTextHandler(log, nil))) }()
		until(t, func() string {
			if i == 0 { // has its ways: nic2 alone is not live in the end, as nobody runs it
				if v := store.View(); v.Edges.Of("nic1").Applied < v.Conf {
					return "the configuration is not applied"
				}
				return wayMissing(t, c)
			}
			if !reconciled.MatchString(log.String()) {
				return "not reconciled: " + log.String()
			}
			return ""
		})
		if i > 0 {
			// The first one may have ended before its last writes, so that the second begins with other ways than it had.
			if m := reconciled.FindStringSubmatch(log.String()); m[1] == "0" || i > 1 && m[2]+m[3]+m[4] != "000" {
				t.Errorf("restart %d: kept %s, inserted %s, modified %s, deleted %s; want all kept", i, m[1], m[2], m[3], m[4])
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
}

// wayMissing says what the first agent still lacks: that both families' gateways have been heard.
func wayMissing(t *testing.T, c *Config) string {
	t.Helper()
	client, err := NewClient(c.Listen, TLS{})
	if err != nil {
		t.Fatal(err)
	}
	stats, err := client.Stats(t.Context())
	if err != nil {
		return err.Error()
	}
	if len(stats.Edges) == 0 || stats.Edges[0].Stats.Underlay < 2 {
		return fmt.Sprintf("gateways have not answered: %+v", stats)
	}
	return ""
}

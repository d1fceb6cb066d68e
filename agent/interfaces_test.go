package agent

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weft-sdn/weft/softswitch/cli"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/telemetry"
)

// TestInterfaceMetrics: all that a switch can tell is a metric; of a stale interface that it is one, of an unknown link no state.
func TestInterfaceMetrics(t *testing.T) {
	full := telemetry.Interface{Name: "eth1", Port: 256, Link: telemetry.Up, Speed: 25e9, LastChange: time.Unix(7, 5e8), Flaps: 2, Resets: 3}
	for c := range full.Counters {
		full.Counters[c] = telemetry.Count{Value: uint64(100 + c), Known: true}
	}
	all := []telemetry.Interface{full, {Name: "eth2", Port: 1, Link: telemetry.Unknown}, {Name: "eth3", Port: 2, Link: telemetry.Unknown, Stale: true, Speed: 1}}
	got := gathered(t, func(out chan<- prometheus.Metric) {
		edgeInterfaces(out, &Edge{ID: "nic1", Interfaces: map[string]uint16{"vm1": 1}}, telemetry.Status{Connected: true, Counts: telemetry.Counts{Malformed: 9}}, all)
	}, func(name string, labels [][2]string) string {
		for _, l := range labels {
			if l[0] != "edge" {
				name += " " + l[1]
			}
		}
		return strings.TrimPrefix(name, "weft_edge_")
	})
	for key, want := range map[string]float64{
		"telemetry_connected": 1, "telemetry_malformed_total": 9, "telemetry_refusals_total": 0,
		"interface_up uplink eth1 256": 1, "interface_stale uplink eth1 256": 0, "interface_speed_bits_per_second uplink eth1 256": 25e9,
		"interface_last_change_timestamp_seconds uplink eth1 256": 7.5, "interface_flaps_total uplink eth1 256": 2, "interface_counter_resets_total uplink eth1 256": 3,
		"interface_in_octets_total uplink eth1 256": 100, "interface_carrier_transitions_total uplink eth1 256": 115,
		"interface_stale vm1 eth2 1": 0, "interface_stale  eth3 2": 1,
	} {
		if v, ok := got[key]; !ok || v != want {
			t.Errorf("%s is %v, %t; want %v", key, v, ok, want)
		}
	}
	for _, key := range []string{"interface_up vm1 eth2 1", "interface_up  eth3 2", "interface_speed_bits_per_second  eth3 2"} {
		if v, ok := got[key]; ok {
			t.Errorf("%s is %v, want none", key, v)
		}
	}
	given := map[string]bool{}
	for key := range got {
		given["weft_edge_"+strings.Split(key, " ")[0]] = true
	}
	for name := range documentedMetrics(t) {
		if (strings.HasPrefix(name, "weft_edge_interface_") || strings.HasPrefix(name, "weft_edge_telemetry_")) && !given[name] {
			t.Errorf("docs/operations.md has %s, which is not given", name)
		}
	}
}

// TestHangingSwitch: an edge whose switch takes connections for gNMI and never says a word serves all the same, and tells that nothing is known.
func TestHangingSwitch(t *testing.T) {
	dir := shortDir(t)
	endpoint, _ := startDatabase(t, state.EmbeddedConfig{})
	hanging, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	running(t, func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() { hanging.Close() })
		defer stop()
		var all []net.Conn
		for {
			conn, err := hanging.Accept()
			if err != nil {
				for _, c := range all {
					c.Close()
				}
				return ctx.Err()
			}
			all = append(all, conn)
		}
	})
	c := oneEdge(t, dir, fmt.Sprintf(`{endpoints: [%q]}`, endpoint), "{}")
	c.Edges[0].GNMI = GNMI{Address: hanging.Addr().String(), Interval: 1, Ports: map[string]uint16{"up": 256}}
	startSwitch(t, dir, "unix:"+dir+"/sw", cli.TLS{})
	client, _ := startAgent(t, c)
	untilState(t, client, "nic1", Serving)
	list, err := client.Interfaces(t.Context(), "nic1")
	if err != nil || len(list.Interfaces) != 0 || len(list.Telemetry) != 1 || list.Telemetry[0].Connected {
		t.Errorf("%+v, %v", list, err)
	}
	if _, body := read(t, client, pathMetrics); !strings.Contains(body, `weft_edge_telemetry_connected{edge="nic1"} 0`) || !strings.Contains(body, `weft_edge_links_down{edge="nic1"} 0`) {
		t.Errorf("metrics:\n%s", body)
	}
}

// TestInterfaces: an agent whose switch has gNMI tells of its interfaces, by the names that bindings have; one without says that there are none.
func TestInterfaces(t *testing.T) {
	dir := shortDir(t)
	endpoint, _ := startDatabase(t, state.EmbeddedConfig{})
	c := oneEdge(t, dir, fmt.Sprintf(`{endpoints: [%q]}`, endpoint), "{}")
	c.Edges[0].GNMI = GNMI{Address: "unix:" + dir + "/sw", Interval: 1}
	startSwitch(t, dir, "unix:"+dir+"/sw", cli.TLS{})
	client, _ := startAgent(t, c)
	untilState(t, client, "nic1", Serving)
	var list InterfaceList
	until(t, func() string {
		var err error
		list, err = client.Interfaces(t.Context(), "nic1")
		if err != nil {
			return err.Error()
		}
		for _, i := range list.Interfaces {
			if i.State == "unknown" {
				return fmt.Sprintf("%+v", i)
			}
		}
		if len(list.Interfaces) != 3 {
			return fmt.Sprintf("%+v", list)
		}
		return ""
	})
	as := map[string]uint16{}
	for _, i := range list.Interfaces {
		as[i.As] = i.Port
	}
	if as["p1"] != 1 || as["p2"] != 2 || as["uplink"] != 256 {
		t.Errorf("%+v", list.Interfaces)
	}
	if tl := list.Telemetry; len(tl) != 1 || !tl[0].Connected || tl[0].Mode != string(telemetry.OnChange) || tl[0].Edge != "nic1" {
		t.Errorf("%+v", tl)
	}
	if _, body := read(t, client, pathMetrics); !strings.Contains(body, `weft_edge_interface_stale{as="uplink",edge="nic1",`) {
		t.Errorf("no metric of an interface in\n%s", body)
	}
}

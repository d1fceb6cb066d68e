package agent

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/telemetry"
)

// Interface is what an edge's switch tells of one of its interfaces.
type Interface struct {
	Edge       string            `json:"edge"`
	Name       string            `json:"name"`               // at the switch
	Port       uint16            `json:"port"`               // of P4Runtime
	As         string            `json:"as"`                 // uplink, or the name in bindings
	State      string            `json:"state"`              // up, down or unknown
	Held       bool              `json:"held,omitempty"`     // it is up, and does not count as up yet: it flaps
	Stale      bool              `json:"stale,omitempty"`    // nothing was told for too long
	Admin      string            `json:"admin,omitempty"`    // as the switch has it
	Oper       string            `json:"oper,omitempty"`     // the same
	Speed      uint64            `json:"speed_bps,omitzero"` // bits a second
	LastChange time.Time         `json:"last_change,omitzero"`
	Updated    time.Time         `json:"updated,omitzero"`
	Flaps      uint64            `json:"flaps"`
	Resets     uint64            `json:"counter_resets"`
	Rates      *Rates            `json:"rates,omitempty"`
	Counters   map[string]uint64 `json:"counters,omitempty"` // by OpenConfig's names; they only grow
}

// Rates are those between the last two samples.
type Rates struct {
	InBits     float64 `json:"in_bps"`
	OutBits    float64 `json:"out_bps"`
	InPackets  float64 `json:"in_pps"`
	OutPackets float64 `json:"out_pps"`
}

// Telemetry is how an edge's switch is asked for its interfaces.
type Telemetry struct {
	Edge      string           `json:"edge"`
	Address   string           `json:"address"`
	Connected bool             `json:"connected"`
	Synced    bool             `json:"synced"`
	Error     string           `json:"error,omitempty"`
	Mode      string           `json:"mode,omitempty"`     // how changes come
	Encoding  string           `json:"encoding,omitempty"` // of values
	Version   string           `json:"gnmi_version,omitempty"`
	Since     time.Time        `json:"since,omitzero"` // of connected, or its end
	Counts    telemetry.Counts `json:"counts"`
}

// InterfaceList is the answer of /v1/interfaces.
type InterfaceList struct {
	Interfaces []Interface `json:"interfaces"`
	Telemetry  []Telemetry `json:"telemetry"`
	Errors     []EdgeError `json:"errors,omitempty"`
}

// interfaces tells what the switches of all edges tell of their interfaces, or of the one that is asked for.
func (s *service) interfaces(w http.ResponseWriter, r *http.Request) {
	list := InterfaceList{Interfaces: []Interface{}, Telemetry: []Telemetry{}}
	var found bool
	list.Errors, found = s.each(r, func(id string, agent edgeAgent, _ *state.View) error {
		if c := agent.Telemetry(); c != nil {
			cfg := s.edge(id)
			list.Interfaces = append(list.Interfaces, namedInterfaces(cfg, c.Interfaces())...)
			list.Telemetry = append(list.Telemetry, telemetryOf(cfg, c.Status()))
		}
		return nil
	})
	answerAbout(w, r, list, list.Errors, found)
}

// edge is the configuration of an edge.
func (s *service) edge(id string) *Edge {
	for _, r := range s.runners {
		if r.cfg.ID == id {
			return &r.cfg
		}
	}
	return &Edge{ID: id}
}

func telemetryOf(e *Edge, s telemetry.Status) Telemetry {
	return Telemetry{
		Edge: e.ID, Address: e.GNMI.Address, Connected: s.Connected, Synced: s.Synced, Error: s.Error, Mode: string(s.Mode), Encoding: s.Encoding, Version: s.Version,
		Since: s.Since, Counts: s.Counts,
	}
}

// namedInterfaces gives interfaces of a switch the names that bindings have for them.
func namedInterfaces(e *Edge, all []telemetry.Interface) []Interface {
	names := map[uint16]string{}
	for name, port := range e.Interfaces {
		names[port] = name
	}
	out := make([]Interface, 0, len(all))
	for _, i := range all {
		x := Interface{
			Edge: e.ID, Name: i.Name, Port: i.Port, As: names[i.Port], State: i.Link.String(), Held: i.Held, Stale: i.Stale, Admin: i.Admin, Oper: i.Oper, Speed: i.Speed,
			LastChange: i.LastChange, Updated: i.Updated, Flaps: i.Flaps, Resets: i.Resets,
		}
		if i.Port >= offload.FirstUnderlay {
			x.As = "uplink"
		}
		for c, n := range i.Counters {
			if !n.Known {
				continue
			}
			if x.Counters == nil {
				x.Counters = map[string]uint64{}
			}
			x.Counters[telemetry.Counter(c).String()] = n.Value
		}
		if !i.Stale && x.Counters != nil {
			x.Rates = &Rates{i.Rates.InBits, i.Rates.OutBits, i.Rates.InPackets, i.Rates.OutPackets}
		}
		out = append(out, x)
	}
	return out
}

// Interfaces returns what the switch of one edge tells of its interfaces, or of all edges that the agent runs if edge is empty.
func (c *Client) Interfaces(ctx context.Context, edge string) (InterfaceList, error) {
	var list InterfaceList
	return list, c.get(ctx, of(pathInterfaces, edge), &list)
}

// edgeInterfaces gives what an edge's switch tells: states, and the counters of openconfig-interfaces by their names there. Of an interface that is stale it gives that alone.
func edgeInterfaces(out chan<- prometheus.Metric, e *Edge, status telemetry.Status, all []telemetry.Interface) {
	truth := map[bool]float64{true: 1}
	connected := desc("edge_telemetry_connected", "Whether the edge's switch tells how its interfaces are, by gNMI.", "edge")
	out <- prometheus.MustNewConstMetric(connected, prometheus.GaugeValue, truth[status.Connected], e.ID)
	n := status.Counts
	for _, c := range []struct {
		name, help string
		value      uint64
	}{
		{"notifications", "Notifications of the edge's switch.", n.Notifications},
		{"malformed", "Values in these that can't be read, or are of the wrong type.", n.Malformed},
		{"out_of_order", "Values in these that were older than what was told before.", n.OutOfOrder},
		{"foreign", "Values in these that were not asked for.", n.Foreign},
		{"connects", "Subscriptions that the edge's switch took.", n.Connects},
		{"failures", "Connections and subscriptions that ended, or did not come about.", n.Failures},
		{"refusals", "Kinds of subscription that the edge's switch did not take.", n.Refusals},
	} {
		out <- prometheus.MustNewConstMetric(desc("edge_telemetry_"+c.name+"_total", c.help, "edge"), prometheus.CounterValue, float64(c.value), e.ID)
	}
	for _, x := range namedInterfaces(e, all) {
		labels := []string{"edge", "interface", "port", "as"}
		values := []string{e.ID, x.Name, strconv.Itoa(int(x.Port)), x.As}
		give := func(kind prometheus.ValueType, name, help string, v float64) {
			out <- prometheus.MustNewConstMetric(desc("edge_interface_"+name, help, labels...), kind, v, values...)
		}
		give(prometheus.GaugeValue, "stale", "Whether nothing was told of the interface for too long.", truth[x.Stale])
		give(prometheus.CounterValue, "flaps_total", "How often the interface's link went down.", float64(x.Flaps))
		give(prometheus.CounterValue, "counter_resets_total", "How often a counter of the interface began anew.", float64(x.Resets))
		if x.Stale {
			continue
		}
		if x.State != telemetry.Unknown.String() {
			give(prometheus.GaugeValue, "up", "Whether the interface's link is up, and does not flap.", truth[x.State == telemetry.Up.String()])
		}
		if x.Speed > 0 {
			give(prometheus.GaugeValue, "speed_bits_per_second", "Speed of the interface.", float64(x.Speed))
		}
		if !x.LastChange.IsZero() {
			give(prometheus.GaugeValue, "last_change_timestamp_seconds", "When the interface's status changed last, by the switch's clock.", float64(x.LastChange.UnixNano())/1e9)
		}
		for leaf, n := range x.Counters {
			give(prometheus.CounterValue, strings.ReplaceAll(leaf, "-", "_")+"_total", "The counter "+leaf+" of openconfig-interfaces; it only grows.", float64(n))
		}
	}
}

package api

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/topology"
)

// fillIn gives all fields a value, be they new ones: texts by text, of their path.
func fillIn(v reflect.Value, path string, text func(path string) string) {
	if at, ok := v.Addr().Interface().(*time.Time); ok {
		*at = time.Unix(7, 0)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillIn(v.Elem(), path, text)
	case reflect.Struct:
		for i := range v.NumField() {
			fillIn(v.Field(i), strings.TrimPrefix(path+"."+v.Type().Field(i).Name, "."), text)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fillIn(v.Index(0), path, text)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
	case reflect.String:
		v.SetString(text(path))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(7)
	case reflect.Float64:
		v.SetFloat(7)
	default:
		panic("a field of a kind that this test does not know: " + path)
	}
}

// toldFields are the paths of fields that have a value, but what stands for another's.
func toldFields(v reflect.Value, path string) (paths []string) {
	if v.Type() == reflect.TypeFor[time.Time]() {
		return []string{path}
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return toldFields(v.Elem(), path)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			paths = append(paths, toldFields(v.Field(i), strings.TrimPrefix(path+"."+v.Type().Field(i).Name, "."))...)
		}
	case reflect.Slice:
		for i := range v.Len() {
			paths = append(paths, toldFields(v.Index(i), path)...)
		}
	default:
		if !v.IsZero() && v.String() != access.Anothers && v.String() != "goes on there" && !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	return paths
}

func tells(t *testing.T, what string, told any, want string) {
	t.Helper()
	got := toldFields(reflect.ValueOf(told), "")
	slices.Sort(got)
	wanted := strings.Fields(want)
	slices.Sort(wanted)
	if !slices.Equal(got, wanted) {
		t.Errorf("%s: a tenant is told\n%q, want\n%q", what, got, wanted)
	}
}

// TestTenantTrace: a tenant is told of a trace what is named here. A field that is new is not told until it is.
func TestTenantTrace(t *testing.T) {
	show := access.Concealed(callers[access.TenantViewer], new(topology.Set))
	made := func(device string) *client.Trace {
		tr := new(client.Trace)
		fillIn(reflect.ValueOf(tr).Elem(), "", func(path string) string {
			if path == "Steps.Device" {
				return device
			}
			return "text of " + path
		})
		return tr
	}
	tells(t, "own", tenantTrace(made("bridge acme/lan"), "acme", show), `Assumed.Field Assumed.Value Assumed.Why Packet Steps.Device Steps.Port Steps.What Outcomes.Verdict Outcomes.To Outcomes.Reason Outcomes.Rewrite
		Outcomes.Fragment Outcomes.Text Match Guards Installable Kept Effects Originated Read Depends`)
	tells(t, "through another's", tenantTrace(made("router globex/gw"), "acme", show), `Assumed.Field Assumed.Value Assumed.Why Packet Outcomes.Verdict Outcomes.To Outcomes.Reason Outcomes.Fragment Outcomes.Text
		Installable Kept Effects Originated`)
	tr := made("bridge acme/lan")
	tr.Outcomes[0].Text, tr.Effects[0], tr.Steps[0].What = "forward to globex/vm", "router globex/gw learns", "asks globex/vm"
	told := tenantTrace(tr, "acme", show)
	if told.Outcomes[0].Text != "forward to "+access.Anothers || len(told.Effects) != 0 || told.Steps[0].What != "asks "+access.Anothers {
		t.Errorf("%+v", told)
	}
}

// TestTenantLive: the same of live traces.
func TestTenantLive(t *testing.T) {
	show := access.Concealed(callers[access.TenantViewer], new(topology.Set))
	made := func(device, to string) *client.LiveEvent {
		e := new(client.LiveEvent)
		fillIn(reflect.ValueOf(e).Elem(), "", func(path string) string {
			switch path[strings.LastIndexByte(path, '.')+1:] {
			case "Device":
				return device
			case "To", "VPort":
				return to
			}
			return "text of " + path
		})
		return e
	}
	fields := func(at string, names string) (all string) {
		for _, name := range strings.Fields(names) {
			all += at + name + " "
		}
		return all
	}
	const always, counted = "Kind At Edge Place Counting Why Packets Passed Packet.N Packet.Text Packet.Sends Packet.Differs ", "Table Action Packets Bytes MorePackets MoreBytes Absent "
	const traced, seen = "Packet Installable Kept Effects Originated Assumed.Field Assumed.Value Assumed.Why ", "Outcomes.Verdict Outcomes.Reason Outcomes.Text Outcomes.Fragment "
	hidden := always + fields("Packet.Outcomes.TraceEnd.", "Verdict Reason Text Fragment")
	for _, at := range []string{"Entries.", "Packet.Entry."} {
		hidden += fields(at, counted) + fields(at+"Simulation.", traced+seen)
	}
	hidden += fields("Packet.Simulation.", traced+seen)
	tells(t, "through another's", tenantLive(made("router globex/gw", "globex/vm"), "acme", show), hidden)
	shown := hidden + fields("Arrivals.", "Edge VPort Absent") + fields("Packet.Outcomes.", "TraceEnd.To TraceEnd.Rewrite Place")
	for _, at := range []string{"Entries.", "Packet.Entry."} {
		shown += fields(at, "To Match Rewrite")
	}
	for _, at := range []string{"Entries.Simulation.", "Packet.Entry.Simulation.", "Packet.Simulation."} {
		shown += fields(at, "Steps.Device Steps.Port Steps.What Outcomes.To Outcomes.Rewrite Match Guards Read Depends")
	}
	tells(t, "own", tenantLive(made("bridge acme/lan", "acme/vm"), "acme", show), shown)
}

// TestTenantFlow: the same of flows.
func TestTenantFlow(t *testing.T) {
	store := embedded(t)
	c := clientOf(t, serve(t, store, nil))
	r, err := c.Apply(t.Context(), client.Change{Put: objects(t, network+"---\n{apiVersion: weft/v1, kind: Router, metadata: {name: gw, tenant: globex}, spec: {}}\n")}, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.WaitRevision(t.Context(), r.Revision); err != nil {
		t.Fatal(err)
	}
	snap := store.View().Topology
	own, _ := snap.ID(ref(topology.KindBridge, "web"))
	foreign, _ := snap.ID(topology.Ref{Kind: topology.KindRouter, Tenant: "globex", Name: "gw"})
	made := func(to string, depends ...string) *agent.Flow {
		f := new(agent.Flow)
		fillIn(reflect.ValueOf(f).Elem(), "", func(path string) string { return "text of " + path })
		f.To.Name, f.Depends = to, depends
		return f
	}
	const always = "Edge VPort.ID VPort.Name Action Lane Packets Bytes AgeSeconds "
	mine := fmt.Sprintf("bridge %d fdb 02:00:00:00:00:01", own)
	tells(t, "own", tenantFlow(made("acme/vm2", mine), "acme", snap), always+"To.ID To.Name At Match Guards Rewrite")
	tells(t, "all of its own", tenantFlow(made("all of bridge acme/web", mine, fmt.Sprintf("group %d", own)), "acme", snap), always+"To.ID To.Name At Match Guards Rewrite")
	tells(t, "to another's", tenantFlow(made("globex/vm", mine), "acme", snap), always)
	for _, theirs := range []string{fmt.Sprintf("router %d route 10.0.0.0/24", foreign), fmt.Sprintf("device %d", foreign), "vport 99", "device 99", "a form that is new", ""} {
		tells(t, "through another's: "+theirs, tenantFlow(made("acme/vm2", mine, theirs), "acme", snap), always+"To.ID To.Name At")
	}
	tells(t, "of which it is not known", tenantFlow(made("acme/vm2"), "acme", snap), always+"To.ID To.Name At")
}

// TestTenantConnection: the same of connections.
func TestTenantConnection(t *testing.T) {
	made := func(leaves string) *client.Connection {
		c := new(client.Connection)
		fillIn(reflect.ValueOf(c).Elem(), "", func(path string) string { return "text of " + path })
		c.Leaves = leaves
		return c
	}
	const always = "Protocol Source Destination Enters State Forward Return "
	tells(t, "own", tenantConnection(made("acme/gw"), "acme"), always+"Leaves Becomes")
	for _, leaves := range []string{"globex/gw", "?", ""} {
		tells(t, "leaves another's "+leaves, tenantConnection(made(leaves), "acme"), always)
	}
}

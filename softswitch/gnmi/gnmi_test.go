package gnmi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmi/value"
	"github.com/openconfig/gnmic/pkg/api"
	gpath "github.com/openconfig/gnmic/pkg/api/path"
	gtarget "github.com/openconfig/gnmic/pkg/api/target"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/weft-sdn/weft/softswitch"
	"github.com/weft-sdn/weft/softswitch/port"
)

// gnmic's ONCE leaves a goroutine behind that nobody receives from.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/openconfig/gnmic/pkg/api/target.(*Target).SubscribeOnceChan.func1"))
}

// lab is a switch with ports p1 and p2 and a gnmic client.
type lab struct {
	t      *testing.T
	ctx    context.Context
	server *softswitch.Server
	ends   map[uint16]*port.End
	client *gtarget.Target
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, ends: map[uint16]*port.End{}}
	ports := map[uint16]port.Port{}
	for n := uint16(1); n <= 2; n++ {
		ports[n], l.ends[n] = port.NewLink(fmt.Sprintf("p%d", n), "host", 0)
	}
	var err error
	if l.server, err = softswitch.New(softswitch.Options{DeviceID: 77, Ports: ports, SweepInterval: 2 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0") // gnmic dials itself
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.server.Serve(ctx, lis) }()
	var stop context.CancelFunc
	l.ctx, stop = context.WithTimeout(context.Background(), 30*time.Second)
	if l.client, err = api.NewTarget(api.Name("switch"), api.Address(lis.Addr().String()), api.Insecure(true), api.Timeout(20*time.Second)); err != nil {
		t.Fatal(err)
	}
	if err = l.client.CreateGNMIClient(l.ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.client.Close()
		stop()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// flat are the updates of notifications by path.
func flat(t *testing.T, list ...*gpb.Notification) map[string]any {
	t.Helper()
	out := map[string]any{}
	for _, n := range list {
		for _, u := range n.GetUpdate() {
			var v any
			if b := append(u.GetVal().GetJsonVal(), u.GetVal().GetJsonIetfVal()...); len(b) > 0 {
				if err := json.Unmarshal(b, &v); err != nil {
					t.Fatal(err)
				}
			} else {
				v = must(value.ToScalar(u.GetVal()))
			}
			out["/"+gpath.GnmiPathToXPath(u.GetPath(), false)] = v
		}
	}
	return out
}

func (l *lab) get(opts ...api.GNMIOption) (map[string]any, error) {
	l.t.Helper()
	r, err := l.client.Get(l.ctx, must(api.NewGetRequest(opts...)))
	if err != nil {
		return nil, err
	}
	return flat(l.t, r.GetNotification()...), nil
}

func (l *lab) set(opts ...api.GNMIOption) error {
	l.t.Helper()
	_, err := l.client.Set(l.ctx, must(api.NewSetRequest(opts...)))
	return err
}

func TestCapabilities(t *testing.T) {
	l := newLab(t)
	r, err := l.client.Capabilities(l.ctx)
	if err != nil {
		t.Fatal(err)
	}
	var models []string
	for _, m := range r.GetSupportedModels() {
		models = append(models, m.GetName())
	}
	if !slices.Contains(models, "openconfig-interfaces") || !slices.Contains(r.GetSupportedEncodings(), gpb.Encoding_JSON_IETF) || r.GetGNMIVersion() == "" {
		t.Errorf("%v", r)
	}
}

func TestGet(t *testing.T) {
	l := newLab(t)
	for _, tc := range []struct {
		name string
		opts []api.GNMIOption
		want map[string]any
	}{
		{"leaf", []api.GNMIOption{api.Path("/interfaces/interface[name=p1]/state/oper-status"), api.EncodingPROTO()},
			map[string]any{"/interfaces/interface[name=p1]/state/oper-status": "UP"}},
		{"leaf in JSON", []api.GNMIOption{api.Path("/interfaces/interface[name=p2]/state/id"), api.EncodingJSON()},
			map[string]any{"/interfaces/interface[name=p2]/state/id": 2.0}},
		{"64 bits in JSON_IETF", []api.GNMIOption{api.Path("/interfaces/interface[name=p2]/state/counters/in-pkts"), api.EncodingJSON_IETF()},
			map[string]any{"/interfaces/interface[name=p2]/state/counters/in-pkts": "0"}},
		{"wildcard", []api.GNMIOption{api.Path("/interfaces/interface[name=*]/config/enabled"), api.EncodingPROTO()},
			map[string]any{"/interfaces/interface[name=p1]/config/enabled": true, "/interfaces/interface[name=p2]/config/enabled": true}},
		{"any depth", []api.GNMIOption{api.Path("/interfaces/.../out-pkts"), api.EncodingPROTO()},
			map[string]any{"/interfaces/interface[name=p1]/state/counters/out-pkts": uint64(0), "/interfaces/interface[name=p2]/state/counters/out-pkts": uint64(0)}},
		{"prefix", []api.GNMIOption{api.Prefix("/interfaces/interface[name=p1]"), api.Path("config/id"), api.EncodingPROTO()},
			map[string]any{"/interfaces/interface[name=p1]/config/id": uint64(1)}},
		{"module names", []api.GNMIOption{api.Path("/openconfig-interfaces:interfaces/interface[name=p1]/config/name"), api.EncodingPROTO()},
			map[string]any{"/interfaces/interface[name=p1]/config/name": "p1"}},
		{"node id", []api.GNMIOption{api.Path("/components/component[name=*]/integrated-circuit/state/node-id"), api.EncodingPROTO()},
			map[string]any{"/components/component[name=softswitch]/integrated-circuit/state/node-id": uint64(77)}},
		{"container", []api.GNMIOption{api.Path("/interfaces/interface[name=p1]/config"), api.EncodingJSON_IETF()},
			map[string]any{"/interfaces/interface[name=p1]/config": map[string]any{"name": "p1", "type": "ethernetCsmacd", "enabled": true, "id": 1.0}}},
		{"wildcard that matches nothing", []api.GNMIOption{api.Path("/interfaces/interface[name=*]/nothing"), api.EncodingPROTO()}, map[string]any{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := l.get(tc.opts...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	got, err := l.get(api.Path("/"), api.DataTypeCONFIG(), api.EncodingPROTO())
	if err != nil || len(got) != 2*11+2 {
		t.Errorf("%d config leaves, %v: %v", len(got), err, slices.Sorted(maps.Keys(got)))
	}
	tree, err := l.get(api.Path("/interfaces"), api.EncodingJSON())
	if err != nil {
		t.Fatal(err)
	}
	list := tree["/interfaces"].(map[string]any)["interface"].([]any)
	if len(list) != 2 || list[0].(map[string]any)["name"] != "p1" {
		t.Errorf("%v", tree)
	}
	for name, tc := range map[string]struct {
		opts []api.GNMIOption
		want codes.Code
	}{
		"no such path":      {[]api.GNMIOption{api.Path("/interfaces/interface[name=p1]/nothing"), api.EncodingJSON()}, codes.NotFound},
		"no such interface": {[]api.GNMIOption{api.Path("/interfaces/interface[name=p9]/config"), api.EncodingJSON()}, codes.NotFound},
		"encoding":          {[]api.GNMIOption{api.Path("/interfaces"), api.EncodingASCII()}, codes.Unimplemented},
		"origin":            {[]api.GNMIOption{api.Path("cli:/interfaces"), api.EncodingJSON()}, codes.InvalidArgument},
	} {
		if _, err := l.get(tc.opts...); status.Code(err) != tc.want {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}

func (l *lab) leaf(path string) any {
	l.t.Helper()
	got, err := l.get(api.Path(path), api.EncodingPROTO())
	if err != nil {
		l.t.Fatal(err)
	}
	return got[path]
}

const enabled1 = "/interfaces/interface[name=p1]/config/enabled"

func TestSetEnabled(t *testing.T) {
	l := newLab(t)
	for _, tc := range []struct {
		name string
		opt  api.GNMIOption
		want bool
	}{
		{"update", api.Update(api.Path(enabled1), api.Value(false, "json_ietf")), false},
		{"delete restores the default", api.Delete(enabled1), true},
		{"container", api.Update(api.Path("/interfaces/interface[name=p1]/config"), api.Value(map[string]any{"enabled": false, "name": "p1"}, "json")), false},
		{"bool", api.Update(api.Path(enabled1), api.Value(true, "bool")), true},
		{"list", api.Update(api.Path("/interfaces"), api.Value(map[string]any{"openconfig-interfaces:interface": []any{
			map[string]any{"name": "p1", "config": map[string]any{"enabled": false}}}}, "json_ietf")), false},
		{"replace of a container without it", api.Replace(api.Path("/interfaces/interface[name=p1]/config"), api.Value(map[string]any{"name": "p1"}, "json")), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := l.set(tc.opt); err != nil {
				t.Fatal(err)
			}
			if got := l.leaf(enabled1); got != tc.want {
				t.Errorf("enabled is %v, want %v", got, tc.want)
			}
			want := map[bool]string{true: "UP", false: "DOWN"}[tc.want]
			for _, leaf := range []string{"admin-status", "oper-status"} {
				if got := l.leaf("/interfaces/interface[name=p1]/state/" + leaf); got != want {
					t.Errorf("%s is %v, want %s", leaf, got, want)
				}
			}
		})
	}
	if got := l.leaf("/interfaces/interface[name=p2]/config/enabled"); got != true {
		t.Error("the other port was touched")
	}
}

func TestSetIsAllOrNothing(t *testing.T) {
	l := newLab(t)
	good := api.Update(api.Path(enabled1), api.Value(false, "json"))
	for name, tc := range map[string]struct {
		bad  api.GNMIOption
		want codes.Code
	}{
		"state":             {api.Update(api.Path("/interfaces/interface[name=p1]/state/oper-status"), api.Value("DOWN", "json")), codes.InvalidArgument},
		"type of value":     {api.Update(api.Path(enabled1), api.Value("maybe", "json")), codes.InvalidArgument},
		"no such interface": {api.Update(api.Path("/interfaces/interface[name=p9]/config/enabled"), api.Value(false, "json")), codes.NotFound},
		"range":             {api.Update(api.Path("/interfaces/interface[name=p1]/impairment/config/loss"), api.Value(2, "json")), codes.InvalidArgument},
		"nothing there":     {api.Delete("/interfaces/interface[name=p1]/state"), codes.InvalidArgument},
		"new name":          {api.Update(api.Path("/interfaces/interface[name=p1]/config/name"), api.Value("p3", "json")), codes.InvalidArgument},
	} {
		if err := l.set(good, tc.bad); status.Code(err) != tc.want {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
		if l.leaf(enabled1) != true {
			t.Fatalf("%s: half of it was done", name)
		}
	}
}

func TestSetImpairment(t *testing.T) {
	l := newLab(t)
	at := "/interfaces/interface[name=p2]/impairment/"
	if err := l.set(api.Update(api.Path(at+"config"), api.Value(map[string]any{"loss": 0.25, "delay": 1500, "seed": 7}, "json"))); err != nil {
		t.Fatal(err)
	}
	if err := l.set(api.Update(api.Path(at+"config/rate"), api.Value("1000000", "json_ietf"))); err != nil {
		t.Fatal(err)
	}
	for leaf, want := range map[string]any{"loss": 0.25, "delay": uint64(1500), "seed": uint64(7), "rate": uint64(1_000_000), "jitter": uint64(0)} {
		if got := l.leaf(at + "state/" + leaf); got != want {
			t.Errorf("%s is %v, want %v", leaf, got, want)
		}
	}
	for _, p := range l.server.PortStatus() {
		if got := p.Impairment.Delay; p.Number == 2 && got != 1500*time.Microsecond || p.Number == 1 && got != 0 {
			t.Errorf("port %d: %+v", p.Number, p.Impairment)
		}
	}
	if err := l.set(api.Delete(strings.TrimSuffix(at, "/"))); err != nil {
		t.Fatal(err)
	}
	if got := l.leaf(at + "state/loss"); got != 0.0 {
		t.Errorf("loss is %v after the delete", got)
	}
}

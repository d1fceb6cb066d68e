package openconfig_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmi/value"
	"github.com/openconfig/gnmic/pkg/api"
	gpath "github.com/openconfig/gnmic/pkg/api/path"
	gtarget "github.com/openconfig/gnmic/pkg/api/target"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/openconfig"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/wait"
	"github.com/weft-sdn/weft/topology"
)

// gnmic's ONCE leaves a goroutine behind that nobody receives from.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/openconfig/gnmic/pkg/api/target.(*Target).SubscribeOnceChan.func1"))
}

// guard knows who shows the name of a tenant, or "provider"; "nosy" is of acme, and may not see counters. What was revoked is nobody's.
type guard struct{ revoked chan struct{} }

func (g guard) Authenticate(r *http.Request) (access.Identity, error) {
	who := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	select {
	case <-g.revoked:
		who = ""
	default:
	}
	switch who {
	case "provider":
		return access.Identity{Subject: who, Role: access.ProviderAdmin}, nil
	case "acme", "globex":
		return access.Identity{Subject: who, Role: access.TenantViewer, Tenant: who}, nil
	case "nosy":
		return access.Identity{Subject: who, Role: access.TenantViewer, Tenant: "acme"}, nil
	}
	return access.Identity{}, access.ErrUnauthenticated
}

func (guard) Allow(_ context.Context, id access.Identity, a access.Action) error {
	if id.Subject == "nosy" && a.Kind == access.KindCounter {
		return access.ErrForbidden
	}
	return nil
}

const network = `
{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm, tenant: acme}, spec: {device: bridge/lan, mac: "02:00:00:00:00:01"}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: off, tenant: acme}, spec: {device: bridge/lan, adminDown: true}}
---
{apiVersion: weft/v1, kind: Router, metadata: {name: r, tenant: globex}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm, tenant: globex}, spec: {device: router/r, addresses: [10.0.0.1/24, "fd00::1/64"]}}
`

// lab is a server, and clients of it by who they are.
type lab struct {
	t     *testing.T
	store *state.Store
	guard guard
	addr  string
}

func running(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, guard: guard{make(chan struct{})}}
	var err error
	if l.store, err = state.Open(t.Context(), state.Config{Embedded: &state.EmbeddedConfig{Dir: t.TempDir(), FastTimers: true, UnsafeNoFsync: true}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.store.Close(); err != nil {
			t.Error(err)
		}
	})
	running(t, l.store.Run)
	l.apply(network)
	s := openconfig.New(l.store, l.guard)
	running(t, s.Run)
	server := grpc.NewServer()
	s.Register(server)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.addr = lis.Addr().String()
	done := make(chan error, 1)
	go func() { done <- server.Serve(lis) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l
}

func (l *lab) apply(text string) {
	l.t.Helper()
	objects, err := topology.Decode("net.yaml", []byte(text))
	if err != nil {
		l.t.Fatal(err)
	}
	revision, err := l.store.Apply(l.t.Context(), objects)
	if err != nil {
		l.t.Fatal(err)
	}
	l.until("the network is applied", func() bool { return l.store.View().Conf >= revision })
}

func (l *lab) until(what string, holds func() bool) {
	l.t.Helper()
	wait.Until(l.t, what, holds)
}

// as is a client of gnmic and the context of its calls.
func (l *lab) as(who string) (*gtarget.Target, context.Context) {
	l.t.Helper()
	c, err := api.NewTarget(api.Name("weft"), api.Address(l.addr), api.Insecure(true), api.Timeout(20*time.Second))
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), 60*time.Second)
	if err := c.CreateGNMIClient(ctx); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { c.Close(); stop() })
	return c, metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+who)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func flat(t *testing.T, list ...*gpb.Notification) map[string]any {
	t.Helper()
	out := map[string]any{}
	for _, n := range list {
		for _, u := range n.GetUpdate() {
			out["/"+gpath.GnmiPathToXPath(u.GetPath(), false)] = must(value.ToScalar(u.GetVal()))
		}
		for _, d := range n.GetDelete() {
			out["-/"+gpath.GnmiPathToXPath(d, false)] = true
		}
	}
	return out
}

func (l *lab) get(who, path string) (map[string]any, error) {
	l.t.Helper()
	c, ctx := l.as(who)
	r, err := c.Get(ctx, must(api.NewGetRequest(api.Path(path), api.EncodingPROTO())))
	if err != nil {
		return nil, err
	}
	return flat(l.t, r.GetNotification()...), nil
}

func names(leaves map[string]any, suffix string) (all []string) {
	for path := range leaves {
		if strings.HasSuffix(path, suffix) {
			all = append(all, path[:len(path)-len(suffix)])
		}
	}
	slices.Sort(all)
	return all
}

// TestScope: a tenant sees its own and no other, the provider all, nobody nothing; nor is it told what there is of others.
func TestScope(t *testing.T) {
	l := newLab(t)
	const iface = "/interfaces/interface[name=%s]"
	for who, want := range map[string][]string{
		"acme": {"acme/off", "acme/vm"}, "globex": {"globex/vm"}, "provider": {"acme/off", "acme/vm", "globex/vm"}, "nosy": {"acme/off", "acme/vm"},
	} {
		all, err := l.get(who, "/")
		if err != nil {
			t.Fatal(err)
		}
		var paths []string
		for _, name := range want {
			paths = append(paths, fmt.Sprintf(iface, name))
		}
		if got := names(all, "/state/oper-status"); !slices.Equal(got, paths) {
			t.Errorf("%s sees %v, want %v", who, got, paths)
		}
		for path, v := range all {
			if other := map[string]string{"acme": "globex", "nosy": "globex", "globex": "acme"}[who]; other != "" && strings.Contains(path+fmt.Sprint(v), other) {
				t.Errorf("%s is told of %s = %v", who, path, v)
			}
		}
		if counted := len(names(all, "/state/counters/in-pkts")); counted != len(want) && who != "nosy" || who == "nosy" && counted != 0 {
			t.Errorf("%s sees counters of %d ports", who, counted)
		}
	}
	_, err := l.get("acme", fmt.Sprintf(iface, "globex/vm"))
	_, none := l.get("acme", fmt.Sprintf(iface, "globex/xx"))
	if status.Code(err) != codes.NotFound || strings.ReplaceAll(err.Error(), "vm", "xx") != none.Error() {
		t.Errorf("another's port: %v; one that there is not: %v", err, none)
	}
	if _, err := l.get("stranger", "/"); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a stranger: %v", err)
	}
}

// TestStates: what ports and devices are said to be.
func TestStates(t *testing.T) {
	l := newLab(t)
	all, err := l.get("provider", "/")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]any{
		"/interfaces/interface[name=acme/vm]/state/oper-status": "NOT_PRESENT", "/interfaces/interface[name=acme/vm]/state/admin-status": "UP",
		"/interfaces/interface[name=acme/off]/state/oper-status": "DOWN", "/interfaces/interface[name=acme/off]/config/enabled": false,
		"/interfaces/interface[name=acme/vm]/ethernet/state/mac-address":                                                "02:00:00:00:00:01",
		"/interfaces/interface[name=acme/vm]/state/counters/in-octets":                                                  uint64(0),
		"/network-instances/network-instance[name=bridge/acme/lan]/state/type":                                          "openconfig-network-instance-types:L2VSI",
		"/network-instances/network-instance[name=router/globex/r]/config/type":                                         "openconfig-network-instance-types:L3VRF",
		"/network-instances/network-instance[name=router/globex/r]/interfaces/interface[id=globex/vm]/config/interface": "globex/vm",
	} {
		if all[path] != want {
			t.Errorf("%s is %v, want %v", path, all[path], want)
		}
	}
	l.apply(`{apiVersion: weft/v1, kind: Binding, metadata: {name: vm, tenant: acme}, spec: {vport: vm, edge: e1, interface: "1"}}`)
	l.until("a port at an edge of which nothing is known", func() bool {
		got, err := l.get("acme", "/interfaces/interface[name=acme/vm]/state/oper-status")
		return err == nil && got["/interfaces/interface[name=acme/vm]/state/oper-status"] == "UNKNOWN"
	})
	r, err := l.store.RegisterEdge(state.EdgeInfo{ID: "e1"}, state.EdgeConfig{})
	if err != nil {
		t.Fatal(err)
	}
	running(t, r.Run)
	l.until("a port at a live edge", func() bool {
		got, err := l.get("acme", "/interfaces/interface[name=acme/vm]/state/oper-status")
		return err == nil && got["/interfaces/interface[name=acme/vm]/state/oper-status"] == "UP"
	})
}

// TestCounters: a port's counters are those that usage has of it, of all edges.
func TestCounters(t *testing.T) {
	l := newLab(t)
	n, _ := l.store.View().Topology.ID(topology.Ref{Kind: topology.KindVPort, Tenant: "acme", Name: "vm"})
	var all []state.Usage
	for _, edge := range []string{"e1", "e2"} {
		all = append(all, state.Usage{Edge: edge, ID: flow.VPortID(n), Tenant: "acme", Name: "vm", UsageTotals: state.UsageTotals{In: state.Tally{Packets: 5, Bytes: 500}, Out: state.Tally{Packets: 2, Bytes: 200}}})
	}
	stored := make(chan error, len(all))
	l.store.SaveUsage(t.Context(), all, func(_ int, _ state.Usage, err error) { stored <- err })
	for range all {
		if err := <-stored; err != nil {
			t.Fatal(err)
		}
	}
	at := "/interfaces/interface[name=acme/vm]/state/counters/"
	l.until("counters", func() bool {
		got, err := l.get("acme", "/interfaces/interface[name=acme/vm]/state/counters")
		return err == nil && maps.Equal(got, map[string]any{at + "in-pkts": uint64(10), at + "in-octets": uint64(1000), at + "out-pkts": uint64(4), at + "out-octets": uint64(400)})
	})
}

// TestSubscribe: STREAM tells of ports that come, change and go, to whom may see them, and ends when who asks is nobody any more; ONCE and POLL tell all.
func TestSubscribe(t *testing.T) {
	l := newLab(t)
	c, ctx := l.as("acme")
	stream, err := c.Client.Subscribe(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(must(api.NewSubscribeRequest(api.SubscriptionListModeSTREAM(), api.EncodingPROTO(),
		api.Subscription(api.Path("/interfaces/interface[name=*]/state/oper-status"), api.SubscriptionModeON_CHANGE()),
		api.Subscription(api.Path("/interfaces/interface[name=*]/state/counters"), api.SubscriptionModeSAMPLE(), api.SampleInterval(time.Second))))); err != nil {
		t.Fatal(err)
	}
	seen := map[string]any{}
	follow := func(what string, holds func() bool) {
		t.Helper()
		for !holds() {
			r, err := stream.Recv()
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if r.GetSyncResponse() {
				seen["synced"] = true
			}
			for path, v := range flat(t, r.GetUpdate()) {
				if gone, deleted := strings.CutPrefix(path, "-"); deleted {
					delete(seen, gone)
				} else {
					seen[path] = v
				}
			}
		}
	}
	oper := func(name string) string { return "/interfaces/interface[name=" + name + "]/state/oper-status" }
	follow("the first values", func() bool { return seen["synced"] == true })
	if seen[oper("acme/vm")] != "NOT_PRESENT" || seen[oper("globex/vm")] != nil {
		t.Errorf("%v", seen)
	}
	l.apply(`
{apiVersion: weft/v1, kind: VPort, metadata: {name: more, tenant: acme}, spec: {device: bridge/lan}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: more, tenant: globex}, spec: {device: router/r, addresses: [10.0.1.1/24]}}
`)
	follow("a port that came", func() bool { return seen[oper("acme/more")] == "NOT_PRESENT" })
	l.apply(`{apiVersion: weft/v1, kind: VPort, metadata: {name: more, tenant: acme}, spec: {device: bridge/lan, adminDown: true}}`)
	follow("a port that was taken down", func() bool { return seen[oper("acme/more")] == "DOWN" })
	if _, err := l.store.Delete(t.Context(), topology.Ref{Kind: topology.KindVPort, Tenant: "acme", Name: "more"}); err != nil {
		t.Fatal(err)
	}
	follow("a port that is gone", func() bool { return seen[oper("acme/more")] == nil })
	for path := range seen {
		if strings.Contains(path, "globex") {
			t.Errorf("acme is told of %s", path)
		}
	}
	once, err := c.SubscribeOnce(ctx, must(api.NewSubscribeRequest(api.SubscriptionListModeONCE(), api.EncodingJSON_IETF(), api.Subscription(api.Path("/interfaces/interface[name=*]/state/name")))))
	if err != nil || len(once) == 0 || len(once[0].GetUpdate().GetUpdate()) != 2 {
		t.Errorf("once: %v, %v", once, err)
	}
	close(l.guard.revoked)
	for {
		if _, err := stream.Recv(); err != nil {
			if status.Code(err) != codes.Unauthenticated {
				t.Errorf("revoked: %v", err)
			}
			break
		}
	}
}

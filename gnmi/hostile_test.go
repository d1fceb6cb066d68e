package gnmi

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
)

// fixed is a tree that does not change.
type fixed []Leaf

func (f fixed) Leaves(context.Context) ([]Leaf, error) { return f, nil }

func elems(names ...string) (path []*gpb.PathElem) {
	for _, n := range names {
		path = append(path, &gpb.PathElem{Name: n})
	}
	return path
}

func iface(name string, names ...string) []*gpb.PathElem {
	return append([]*gpb.PathElem{{Name: "interfaces"}, {Name: "interface", Key: map[string]string{"name": name}}}, elems(names...)...)
}

var tree = fixed{
	NewLeaf(StateLeaf, "a", iface("a", "name")), NewLeaf(StateLeaf, uint32(7), iface("a", "state", "ifindex")), NewLeaf(StateLeaf, uint16(1500), iface("a", "state", "mtu")),
	NewLeaf(CounterLeaf, uint64(1<<60), iface("a", "state", "counters", "in-pkts")), NewLeaf(StateLeaf, "b", iface("b", "name")), NewLeaf(StateLeaf, true, iface("a", "state", "enabled")),
}

// client serves, and returns a client of that.
func client(t *testing.T, c Config) gpb.GNMIClient {
	t.Helper()
	l, server := bufconn.Listen(1<<16), grpc.NewServer()
	New(c).Register(server)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	conn, err := grpc.NewClient("passthrough:///tree", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return gpb.NewGNMIClient(conn)
}

// TestManyDots: paths whose ways to match grow without bound when their wildcards are taken one by one are matched at once, and mean what they say.
func TestManyDots(t *testing.T) {
	s := New(Config{Tree: tree})
	var dots, mixed []string
	for range 30 {
		dots, mixed = append(dots, "..."), append(mixed, "...", "*")
	}
	for name, test := range map[string]struct {
		path []string
		want int
	}{"dots": {append(dots, "ifindex"), 1}, "dots alone": {dots, len(tree)}, "deep": {[]string{"...", "*", "...", "*", "...", "in-pkts"}, 1}} {
		path, err := s.Join(nil, &gpb.Path{Elem: elems(test.path...)})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(below(path, tree)); got != test.want {
			t.Errorf("%s: %d leaves, want %d", name, got, test.want)
		}
	}
	if _, err := s.Join(nil, &gpb.Path{Elem: elems(mixed...)}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("30 times any depth: %v", err)
	}
	var long []string
	for range maxElems + 1 {
		long = append(long, "x")
	}
	if _, err := s.Join(nil, &gpb.Path{Elem: elems(long...)}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a path of %d elements: %v", len(long), err)
	}
}

// TestWidths: JSON_IETF has integers of 64 bits as strings and shorter ones as numbers (RFC 7951, section 6.1), whatever the order of leaves.
func TestWidths(t *testing.T) {
	c := client(t, Config{Tree: tree})
	r, err := c.Get(t.Context(), &gpb.GetRequest{Path: []*gpb.Path{{Elem: elems("interfaces")}}, Encoding: gpb.Encoding_JSON_IETF})
	if err != nil {
		t.Fatal(err)
	}
	var got any
	if err := json.Unmarshal(r.GetNotification()[0].GetUpdate()[0].GetVal().GetJsonIetfVal(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"interface": []any{
		map[string]any{"name": "a", "state": map[string]any{"ifindex": 7.0, "mtu": 1500.0, "enabled": true, "counters": map[string]any{"in-pkts": "1152921504606846976"}}},
		map[string]any{"name": "b"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	r, err = c.Get(t.Context(), &gpb.GetRequest{Path: []*gpb.Path{{Elem: iface("a", "state", "ifindex")}}, Encoding: gpb.Encoding_PROTO})
	if err != nil || r.GetNotification()[0].GetUpdate()[0].GetVal().GetUintVal() != 7 {
		t.Errorf("%v, %v", r, err)
	}
}

func subscribe(mode gpb.SubscriptionList_Mode, updatesOnly bool, subs ...*gpb.Subscription) *gpb.SubscribeRequest {
	return &gpb.SubscribeRequest{Request: &gpb.SubscribeRequest_Subscribe{Subscribe: &gpb.SubscriptionList{Mode: mode, UpdatesOnly: updatesOnly, Encoding: gpb.Encoding_PROTO, Subscription: subs}}}
}

// TestUpdatesOnly: ONCE and POLL have nothing but the sync_response then (gNMI, section 3.5.2.3).
func TestUpdatesOnly(t *testing.T) {
	c := client(t, Config{Tree: tree})
	for _, mode := range []gpb.SubscriptionList_Mode{gpb.SubscriptionList_ONCE, gpb.SubscriptionList_POLL} {
		stream, err := c.Subscribe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		send := []*gpb.SubscribeRequest{subscribe(mode, true, &gpb.Subscription{Path: &gpb.Path{}})}
		if mode == gpb.SubscriptionList_POLL {
			send = append(send, &gpb.SubscribeRequest{Request: &gpb.SubscribeRequest_Poll{Poll: &gpb.Poll{}}})
		}
		for _, r := range send {
			if err := stream.Send(r); err != nil {
				t.Fatal(err)
			}
		}
		if r, err := stream.Recv(); err != nil || !r.GetSyncResponse() {
			t.Errorf("%v: %v, %v", mode, r, err)
		}
	}
}

// growing is a tree that has ever more leaves.
type growing struct{ looks atomic.Int32 }

func (g *growing) Leaves(context.Context) ([]Leaf, error) {
	leaves := make(fixed, 10<<(2*g.looks.Add(1)))
	for i := range leaves {
		leaves[i] = NewLeaf(CounterLeaf, uint64(i), iface(strconv.Itoa(i), "state", "counters", "in-pkts"))
	}
	return leaves, nil
}

// TestTooDear: what takes too many comparisons is refused, at first or once there are too many leaves.
func TestTooDear(t *testing.T) {
	deep := &gpb.Path{Elem: elems("...", "*", "...", "*", "...", "x")}
	var many []*gpb.Path
	for range 512 {
		many = append(many, deep)
	}
	c := client(t, Config{Tree: make(fixed, 100)})
	if _, err := c.Get(t.Context(), &gpb.GetRequest{Path: many, Encoding: gpb.Encoding_PROTO}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a Get: %v", err)
	}
	c = client(t, Config{Tree: &growing{}})
	stream, err := c.Subscribe(t.Context())
	if err == nil {
		err = stream.Send(subscribe(gpb.SubscriptionList_STREAM, true, &gpb.Subscription{Path: deep, Mode: gpb.SubscriptionMode_SAMPLE, SampleInterval: uint64(minSample)}))
	}
	answers := 0
	for ; err == nil; answers++ {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.ResourceExhausted || answers == 0 {
		t.Errorf("a subscription ends after %d answers with %v", answers, err)
	}
}

// TestTooMuch: what a server is asked for is bounded, and says so.
func TestTooMuch(t *testing.T) {
	c := client(t, Config{Tree: tree, Least: time.Second, Most: 2})
	at := &gpb.Path{Elem: iface("a", "state")}
	sub := func(every time.Duration) *gpb.Subscription {
		return &gpb.Subscription{Path: at, Mode: gpb.SubscriptionMode_SAMPLE, SampleInterval: uint64(every)}
	}
	for name, test := range map[string]struct {
		req  *gpb.SubscribeRequest
		want codes.Code
	}{
		"too often":        {subscribe(gpb.SubscriptionList_STREAM, false, sub(time.Second-1)), codes.InvalidArgument},
		"beyond 63 bits":   {subscribe(gpb.SubscriptionList_STREAM, false, sub(-1)), codes.InvalidArgument},
		"too many":         {subscribe(gpb.SubscriptionList_ONCE, false, sub(0), sub(0), sub(0)), codes.InvalidArgument},
		"not one too many": {subscribe(gpb.SubscriptionList_ONCE, false, sub(0), sub(0)), codes.OK},
	} {
		stream, err := c.Subscribe(t.Context())
		if err == nil {
			err = stream.Send(test.req)
		}
		for err == nil {
			_, err = stream.Recv()
		}
		if fmt.Sprint(err) == "EOF" {
			err = nil
		}
		if status.Code(err) != test.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Get(t.Context(), &gpb.GetRequest{Path: []*gpb.Path{at, at, at}, Encoding: gpb.Encoding_PROTO}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("three paths: %v", err)
	}
}

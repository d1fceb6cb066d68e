package gnmi_test

import (
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmic/pkg/api"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// watch is a running subscription.
type watch struct {
	l      *lab
	stream gpb.GNMI_SubscribeClient
}

func (l *lab) watch(opts ...api.GNMIOption) *watch {
	l.t.Helper()
	stream, err := l.client.Client.Subscribe(l.ctx)
	if err != nil {
		l.t.Fatal(err)
	}
	if err := stream.Send(must(api.NewSubscribeRequest(opts...))); err != nil {
		l.t.Fatal(err)
	}
	return &watch{l, stream}
}

// next is the next notification; nil is the sync_response.
func (w *watch) next() map[string]any {
	w.l.t.Helper()
	r, err := w.stream.Recv()
	if err != nil {
		w.l.t.Fatal(err)
	}
	if r.GetSyncResponse() {
		return nil
	}
	return flat(w.l.t, r.GetUpdate())
}

// upTo gathers notifications until the sync_response.
func (w *watch) upTo() map[string]any {
	w.l.t.Helper()
	all := map[string]any{}
	for n := w.next(); n != nil; n = w.next() {
		maps.Copy(all, n)
	}
	return all
}

func oper(name string) string { return "/interfaces/interface[name=" + name + "]/state/oper-status" }

func TestOnce(t *testing.T) {
	l := newLab(t)
	rs, err := l.client.SubscribeOnce(l.ctx, must(api.NewSubscribeRequest(api.SubscriptionListModeONCE(), api.EncodingPROTO(), api.Target("my-switch"),
		api.Subscription(api.Path("/interfaces/interface[name=*]/state/oper-status")))))
	if err != nil {
		t.Fatal(err)
	}
	var list []*gpb.Notification
	for _, r := range rs {
		if n := r.GetUpdate(); n != nil {
			list = append(list, n)
			if n.GetPrefix().GetTarget() != "my-switch" {
				t.Errorf("target is not echoed: %v", n)
			}
		}
	}
	if diff := cmp.Diff(map[string]any{oper("p1"): "UP", oper("p2"): "UP"}, flat(t, list...)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w := l.watch(api.SubscriptionListModeONCE(), api.EncodingPROTO(), api.Subscription(api.Path(oper("p1"))))
	if first := w.upTo(); len(first) != 1 {
		t.Errorf("%v", first)
	}
	if _, err := w.stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("after the sync_response: %v", err)
	}
}

func TestOnChange(t *testing.T) {
	l := newLab(t)
	w := l.watch(api.SubscriptionListModeSTREAM(), api.EncodingPROTO(),
		api.Subscription(api.Path("/interfaces/interface[name=p1]/state"), api.SubscriptionModeON_CHANGE()))
	first := w.upTo()
	if first[oper("p1")] != "UP" || first["/interfaces/interface[name=p1]/state/counters/in-pkts"] != uint64(0) || first[oper("p2")] != nil {
		t.Errorf("first values %v", first)
	}
	l.ends[2].SetUp(false) // not subscribed to
	l.ends[1].SetUp(false)
	changed := w.next()
	if changed[oper("p1")] != "DOWN" || changed["/interfaces/interface[name=p1]/state/last-change"] == nil || len(changed) != 2 {
		t.Errorf("after the link went down: %v", changed)
	}
	if err := l.set(api.Update(api.Path(enabled1), api.Value(false, "json"))); err != nil {
		t.Fatal(err)
	}
	changed = w.next()
	if changed["/interfaces/interface[name=p1]/state/admin-status"] != "DOWN" || changed["/interfaces/interface[name=p1]/state/enabled"] != false || len(changed) != 2 {
		t.Errorf("after it was disabled: %v", changed)
	}
}

func TestUpdatesOnly(t *testing.T) {
	l := newLab(t)
	w := l.watch(api.SubscriptionListModeSTREAM(), api.EncodingJSON_IETF(), api.UpdatesOnly(true),
		api.Subscription(api.Path("/interfaces/interface[name=*]/state/oper-status"), api.SubscriptionModeON_CHANGE()))
	if first := w.upTo(); len(first) != 0 {
		t.Errorf("first values %v", first)
	}
	l.ends[2].SetUp(false)
	if got := w.next(); !cmp.Equal(got, map[string]any{oper("p2"): "DOWN"}) {
		t.Errorf("%v", got)
	}
}

const counter = "/interfaces/interface[name=p1]/state/counters/in-pkts"

func TestSample(t *testing.T) {
	l := newLab(t)
	w := l.watch(api.SubscriptionListModeSTREAM(), api.EncodingPROTO(),
		api.Subscription(api.Path(counter), api.SubscriptionModeSAMPLE(), api.SampleInterval(10*time.Millisecond)))
	if first := w.upTo(); first[counter] != uint64(0) {
		t.Errorf("first values %v", first)
	}
	for range 3 { // samples come though nothing changes
		if got := w.next(); got[counter] != uint64(0) {
			t.Errorf("%v", got)
		}
	}
	if n, err := l.ends[1].Send([][]byte{make([]byte, 64), make([]byte, 64)}); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	for w.next()[counter] != uint64(2) {
	}
}

func TestSuppressRedundant(t *testing.T) {
	l := newLab(t)
	w := l.watch(api.SubscriptionListModeSTREAM(), api.EncodingPROTO(), api.Subscription(api.Path("/interfaces/interface[name=p1]/state/counters"),
		api.SubscriptionModeSAMPLE(), api.SampleInterval(10*time.Millisecond), api.SuppressRedundant(true)))
	w.upTo()
	if n, err := l.ends[1].Send([][]byte{make([]byte, 64)}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	got := w.next()
	for len(got) < 3 { // the counters of one frame may come in two samples
		maps.Copy(got, w.next())
	}
	at := "/interfaces/interface[name=p1]/state/counters/"
	// Without a pipeline the frame is discarded.
	if diff := cmp.Diff(map[string]any{at + "in-pkts": uint64(1), at + "in-octets": uint64(64), at + "in-discards": uint64(1)}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestHeartbeat(t *testing.T) {
	l := newLab(t)
	w := l.watch(api.SubscriptionListModeSTREAM(), api.EncodingPROTO(),
		api.Subscription(api.Path(oper("p1")), api.SubscriptionModeON_CHANGE(), api.HeartbeatInterval(10*time.Millisecond)))
	w.upTo()
	for range 3 {
		if got := w.next(); got[oper("p1")] != "UP" {
			t.Errorf("%v", got)
		}
	}
}

func TestTargetDefined(t *testing.T) {
	l := newLab(t)
	w := l.watch(api.SubscriptionListModeSTREAM(), api.EncodingPROTO(), api.Subscription(api.Path("/interfaces/interface[name=p1]/state"),
		api.SubscriptionModeTARGET_DEFINED(), api.SampleInterval(10*time.Millisecond)))
	w.upTo()
	l.ends[1].SetUp(false)
	seen := map[string]bool{}
	for !seen["change"] || !seen["sample"] {
		for path := range w.next() {
			seen[map[bool]string{true: "sample", false: "change"}[strings.Contains(path, "/counters/")]] = true
		}
	}
}

func TestPoll(t *testing.T) {
	l := newLab(t)
	stream, err := l.client.Client.Subscribe(l.ctx)
	if err != nil {
		t.Fatal(err)
	}
	send := func(r *gpb.SubscribeRequest) {
		t.Helper()
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
	}
	poll := must(api.NewSubscribePollRequest())
	send(must(api.NewSubscribeRequest(api.SubscriptionListModePOLL(), api.EncodingPROTO(), api.Subscription(api.Path(oper("p1"))))))
	for _, up := range []bool{true, false, true} {
		l.ends[1].SetUp(up)
		send(poll)
		r, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if got, want := flat(t, r.GetUpdate())[oper("p1")], map[bool]string{true: "UP", false: "DOWN"}[up]; got != want {
			t.Errorf("%v, want %s", got, want)
		}
		if r, err := stream.Recv(); err != nil || !r.GetSyncResponse() {
			t.Fatal(r, err)
		}
	}
	send(must(api.NewSubscribeRequest(api.SubscriptionListModePOLL(), api.Subscription(api.Path("/")))))
	if _, err := stream.Recv(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a second list: %v", err)
	}
}

func TestBadSubscriptions(t *testing.T) {
	l := newLab(t)
	for name, opts := range map[string][]api.GNMIOption{
		"nothing subscribed to": {api.SubscriptionListModeONCE()},
		"counters on change":    {api.SubscriptionListModeSTREAM(), api.Subscription(api.Path(counter), api.SubscriptionModeON_CHANGE())},
		"samples too fast": {api.SubscriptionListModeSTREAM(),
			api.Subscription(api.Path(counter), api.SubscriptionModeSAMPLE(), api.SampleInterval(time.Microsecond))},
		"unknown origin": {api.SubscriptionListModeONCE(), api.Subscription(api.Path("cli:/x"))},
	} {
		stream, err := l.client.Client.Subscribe(l.ctx)
		if err != nil {
			t.Fatal(err)
		}
		req, err := api.NewSubscribeRequest(opts...)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(req); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v, want InvalidArgument", name, err)
		}
	}
	stream, err := l.client.Client.Subscribe(l.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(must(api.NewSubscribePollRequest())); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a Poll first: %v", err)
	}
}

// TestSlowSubscriber: one that does not read holds up nobody, and gets what is true when it does.
func TestSlowSubscriber(t *testing.T) {
	l := newLab(t)
	stream, err := l.client.Client.Subscribe(l.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(must(api.NewSubscribeRequest(api.SubscriptionListModeSTREAM(), api.EncodingPROTO(),
		api.Subscription(api.Path("/interfaces"), api.SubscriptionModeSAMPLE(), api.SampleInterval(10*time.Millisecond)),
		api.Subscription(api.Path("/interfaces/interface[name=*]/state/oper-status"), api.SubscriptionModeON_CHANGE())))); err != nil {
		t.Fatal(err)
	}
	for i := range 2001 { // more than any buffer holds
		if err := l.server.SetEnabled(1, i%2 == 1); err != nil {
			t.Fatal(err)
		}
	}
	last := ""
	for last != "DOWN" {
		r, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if v, ok := flat(t, r.GetUpdate())[oper("p1")].(string); ok {
			last = v
		}
	}
}

func TestPathsOfNotifications(t *testing.T) {
	l := newLab(t)
	w := l.watch(api.SubscriptionListModeSTREAM(), api.EncodingJSON(), api.Subscription(api.Path("/"), api.SubscriptionModeTARGET_DEFINED()))
	all := w.upTo()
	for _, path := range slices.Sorted(maps.Keys(all)) {
		if _, err := l.get(api.Path(path), api.EncodingJSON()); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if len(all) != 2*32+6 {
		t.Errorf("%d leaves", len(all))
	}
}

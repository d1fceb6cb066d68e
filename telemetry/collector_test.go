package telemetry_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	fake "github.com/openconfig/gnmi/testing/fake/gnmi"
	fpb "github.com/openconfig/gnmi/testing/fake/proto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/telemetry"
	"github.com/weft-sdn/weft/testbed/certs"
)

func leaf(iface string, names ...string) *gpb.Path {
	p := &gpb.Path{Elem: []*gpb.PathElem{{Name: "interfaces"}, {Name: "interface", Key: map[string]string{"name": iface}}}}
	for _, n := range names {
		p.Elem = append(p.Elem, &gpb.PathElem{Name: n})
	}
	return p
}

func word(s string) *gpb.TypedValue {
	return &gpb.TypedValue{Value: &gpb.TypedValue_StringVal{StringVal: s}}
}
func ietf(s string) *gpb.TypedValue {
	return &gpb.TypedValue{Value: &gpb.TypedValue_JsonIetfVal{JsonIetfVal: []byte(s)}}
}

func update(stamp time.Time, p *gpb.Path, v *gpb.TypedValue) *gpb.SubscribeResponse {
	return &gpb.SubscribeResponse{Response: &gpb.SubscribeResponse_Update{Update: &gpb.Notification{
		Timestamp: stamp.UnixNano(), Update: []*gpb.Update{{Path: p, Val: v}}}}}
}

var synced = &gpb.SubscribeResponse{Response: &gpb.SubscribeResponse_SyncResponse{SyncResponse: true}}

// goOn sends a status each few milliseconds until the subscription ends.
func goOn(stream gpb.GNMI_SubscribeServer, v func() *gpb.TypedValue) error {
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		select {
		case <-stream.Context().Done():
			return nil
		case <-tick.C:
			if err := stream.Send(update(time.Now(), leaf("eth1", "state", "oper-status"), v())); err != nil {
				return err
			}
		}
	}
}

func has(list *gpb.SubscriptionList, mode gpb.SubscriptionMode, name string) (found []*gpb.Subscription) {
	for _, s := range list.GetSubscription() {
		if e := s.GetPath().GetElem(); s.GetMode() == mode && e[len(e)-1].GetName() == name {
			found = append(found, s)
		}
	}
	return found
}

// TestFallback: what a target refuses is asked for in another way.
func TestFallback(t *testing.T) {
	const sample, change = gpb.SubscriptionMode_SAMPLE, gpb.SubscriptionMode_ON_CHANGE
	for name, tc := range map[string]struct {
		takes func(*gpb.SubscriptionList) bool
		mode  telemetry.Mode
		code  codes.Code
	}{
		"one speed": {func(l *gpb.SubscriptionList) bool { return len(has(l, sample, "negotiated-port-speed")) == 0 }, telemetry.OnChange, codes.InvalidArgument},
		"one mode a path": {func(l *gpb.SubscriptionList) bool {
			return len(has(l, sample, "oper-status")) == 0 && len(has(l, change, "oper-status")) == 1
		}, telemetry.OnChangeOnly, codes.InvalidArgument},
		"no ON_CHANGE": {func(l *gpb.SubscriptionList) bool { return len(has(l, change, "oper-status")) == 0 }, telemetry.SampledFast, codes.Unimplemented},
		"no fast samples": {func(l *gpb.SubscriptionList) bool {
			s := has(l, sample, "oper-status")
			return len(has(l, change, "oper-status")) == 0 && len(s) == 1 && s[0].GetSampleInterval() >= uint64(time.Second)
		}, telemetry.SampledSlow, codes.InvalidArgument},
		"containers only": {func(l *gpb.SubscriptionList) bool { return len(has(l, sample, "state")) == 1 }, telemetry.SampledTogether, codes.NotFound},
	} {
		s := &target{encodings: []gpb.Encoding{gpb.Encoding_JSON, gpb.Encoding_JSON_IETF}}
		s.subscribe = func(l *gpb.SubscriptionList, stream gpb.GNMI_SubscribeServer) error {
			if !tc.takes(l) || l.GetEncoding() != gpb.Encoding_JSON_IETF {
				return status.Error(tc.code, "not like this")
			}
			return goOn(stream, func() *gpb.TypedValue { return ietf(`"DOWN"`) })
		}
		c, links := collect(t, telemetry.Config{Address: serve(t, s), Ports: map[string]uint16{"eth1": 256}, Interval: time.Second})
		eventually(t, name, func() bool { return links.of("eth1") == telemetry.Down })
		if st := c.Status(); st.Mode != tc.mode || st.Encoding != "JSON_IETF" || st.Counts.Refusals != uint64(len(s.asked())-1) || ifaceOf(c, "eth1").Port != 256 {
			t.Errorf("%s: %+v after %d subscriptions", name, st, len(s.asked()))
		}
	}
}

// TestEncodings: a target's encodings are asked for, PROTO first; where it says nothing all are tried, where it has none in common that is told.
func TestEncodings(t *testing.T) {
	s := &target{}
	s.subscribe = func(l *gpb.SubscriptionList, stream gpb.GNMI_SubscribeServer) error {
		if l.GetEncoding() == gpb.Encoding_PROTO {
			return status.Error(codes.Unimplemented, "no such encoding")
		}
		return goOn(stream, func() *gpb.TypedValue { return ietf(`"UP"`) })
	}
	_, links := collect(t, telemetry.Config{Address: serve(t, s), Ports: map[string]uint16{"eth1": 1}})
	eventually(t, "JSON_IETF after PROTO", func() bool { return links.of("eth1") == telemetry.Up })
	c, _ := collect(t, telemetry.Config{Address: serve(t, &target{encodings: []gpb.Encoding{gpb.Encoding_ASCII}}), Ports: map[string]uint16{"eth1": 1}})
	eventually(t, "no encoding", func() bool { return strings.Contains(c.Status().Error, "offers the encodings [ASCII]") })
}

// TestDiscovery: the ports that a target names are asked for, each by its interface's name; a target that names none is told of.
func TestDiscovery(t *testing.T) {
	s := &target{encodings: []gpb.Encoding{gpb.Encoding_PROTO}}
	s.get = func(*gpb.GetRequest) (*gpb.GetResponse, error) {
		n := &gpb.Notification{}
		for name, id := range map[string]uint64{"eth1": 256, "eth1-twin": 256, "mgmt": 4000, "bad\x1b[2J": 7} {
			n.Update = append(n.Update, &gpb.Update{Path: leaf(name, "state", "id"), Val: &gpb.TypedValue{Value: &gpb.TypedValue_UintVal{UintVal: id}}})
		}
		return &gpb.GetResponse{Notification: []*gpb.Notification{n}}, nil
	}
	s.subscribe = func(_ *gpb.SubscriptionList, stream gpb.GNMI_SubscribeServer) error {
		return goOn(stream, func() *gpb.TypedValue { return word("UP") })
	}
	c, links := collect(t, telemetry.Config{Address: serve(t, s), Last: 511, Target: "leaf-7"})
	eventually(t, "the link is up", func() bool { return links.of("eth1") == telemetry.Up })
	if all := c.Interfaces(); len(all) != 1 || all[0].Port != 256 {
		t.Errorf("%+v", all)
	}
	if got := s.asked()[0].GetPrefix().GetTarget(); got != "leaf-7" {
		t.Errorf("target %q", got)
	}
	none := &target{encodings: []gpb.Encoding{gpb.Encoding_PROTO}, get: func(*gpb.GetRequest) (*gpb.GetResponse, error) { return &gpb.GetResponse{}, nil }}
	c, _ = collect(t, telemetry.Config{Address: serve(t, none)})
	eventually(t, "no ports", func() bool { return strings.Contains(c.Status().Error, "state/id") })
}

// TestSilent: a target that hangs, before it told anything or after it, is stale, and tried again.
func TestSilent(t *testing.T) {
	var calls atomic.Int32
	s := &target{encodings: []gpb.Encoding{gpb.Encoding_PROTO}}
	s.subscribe = func(_ *gpb.SubscriptionList, stream gpb.GNMI_SubscribeServer) error {
		switch calls.Add(1) {
		case 1: // says nothing at all
			<-stream.Context().Done()
			return nil
		case 2: // then that it is down, and never that that was all
			if err := stream.Send(update(time.Now(), leaf("eth1", "state", "oper-status"), word("DOWN"))); err != nil {
				return err
			}
			<-stream.Context().Done()
			return nil
		}
		return goOn(stream, func() *gpb.TypedValue { return word("UP") })
	}
	c, links := collect(t, telemetry.Config{Address: serve(t, s), Ports: map[string]uint16{"eth1": 256}, Interval: 10 * time.Millisecond})
	eventually(t, "it is down", func() bool { return links.of("eth1") == telemetry.Down })
	eventually(t, "it is stale, which is not down", func() bool { return links.of("eth1") == telemetry.Unknown })
	eventually(t, "it is up", func() bool { return links.of("eth1") == telemetry.Up })
	if st := c.Status(); st.Counts.Failures == 0 || st.Synced {
		t.Errorf("%+v", st)
	}
	hanging, _ := collect(t, telemetry.Config{Address: serve(t, &target{hangs: true}), Ports: map[string]uint16{"eth1": 256}})
	if hanging.Status().Connected || len(hanging.Interfaces()) != 0 { // ends with the test at once
		t.Error("it answers nothing")
	}
}

// TestLiar: garbage, unasked interfaces and wild clocks are counted, and what is true comes through.
func TestLiar(t *testing.T) {
	s := &target{encodings: []gpb.Encoding{gpb.Encoding_PROTO}}
	s.subscribe = func(_ *gpb.SubscriptionList, stream gpb.GNMI_SubscribeServer) error {
		far := time.Now().Add(1000 * time.Hour)
		for _, r := range []*gpb.SubscribeResponse{
			{}, synced, synced,
			update(far, leaf("eth1", "state", "counters"), ietf(`{"in-octets": "x", "out-octets": -1, "in-pkts": 1e99, "deep": `+strings.Repeat(`{"a":`, 200)+`1`+strings.Repeat(`}`, 200)+`}`)),
			update(far, leaf("eth9", "state", "oper-status"), word("DOWN")),
			update(far, leaf("eth1", "state", "oper-status"), &gpb.TypedValue{Value: &gpb.TypedValue_BytesVal{BytesVal: bytes.Repeat([]byte("x"), 1<<20)}}),
			update(time.Unix(0, -5), &gpb.Path{Elem: []*gpb.PathElem{{Name: "system"}}}, word("x")),
			{Response: &gpb.SubscribeResponse_Update{}},
			{Response: &gpb.SubscribeResponse_Update{Update: &gpb.Notification{Update: []*gpb.Update{{}, {Path: leaf("eth1")}}, Delete: []*gpb.Path{{Elem: []*gpb.PathElem{{Name: "..."}}}}}}},
		} {
			if err := stream.Send(r); err != nil {
				return err
			}
		}
		return goOn(stream, func() *gpb.TypedValue { return word("UP") })
	}
	c, links := collect(t, telemetry.Config{Address: serve(t, s), Ports: map[string]uint16{"eth1": 256}})
	eventually(t, "the link is up", func() bool { return links.of("eth1") == telemetry.Up })
	if st := c.Status(); st.Counts.Malformed < 5 || st.Counts.Foreign == 0 || st.Counts.Syncs != 2 || len(c.Interfaces()) != 1 {
		t.Errorf("%+v", st)
	}
}

// TestTooLarge: a message beyond the limit ends the connection, and nothing else.
func TestTooLarge(t *testing.T) {
	var calls atomic.Int32
	s := &target{encodings: []gpb.Encoding{gpb.Encoding_PROTO}}
	s.subscribe = func(_ *gpb.SubscriptionList, stream gpb.GNMI_SubscribeServer) error {
		if calls.Add(1) == 1 {
			return stream.Send(update(time.Now(), leaf("eth1", "state", "oper-status"), word(strings.Repeat("x", 8<<20))))
		}
		return goOn(stream, func() *gpb.TypedValue { return word("UP") })
	}
	_, links := collect(t, telemetry.Config{Address: serve(t, s), Ports: map[string]uint16{"eth1": 256}})
	eventually(t, "the link is up", func() bool { return links.of("eth1") == telemetry.Up })
}

// TestLogin: name and password go with each call, and over TLS only.
func TestLogin(t *testing.T) {
	ca, err := certs.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Issue("switch"); err != nil {
		t.Fatal(err)
	}
	server, err := agent.TLS{Cert: ca.Cert("switch"), Key: ca.Key("switch")}.Server()
	if err != nil {
		t.Fatal(err)
	}
	allowed := func(ctx context.Context) error {
		m, _ := metadata.FromIncomingContext(ctx)
		if !slices.Equal(m["username"], []string{"weft"}) || !slices.Equal(m["password"], []string{"warp"}) {
			return status.Error(codes.Unauthenticated, "who is that?")
		}
		return nil
	}
	s := &target{encodings: []gpb.Encoding{gpb.Encoding_PROTO}}
	s.subscribe = func(_ *gpb.SubscriptionList, stream gpb.GNMI_SubscribeServer) error {
		return goOn(stream, func() *gpb.TypedValue { return word("UP") })
	}
	addr := serve(t, s, grpc.Creds(credentials.NewTLS(server)),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if err := allowed(ctx); err != nil {
				return nil, err
			}
			return next(ctx, req)
		}),
		grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			if err := allowed(ss.Context()); err != nil {
				return err
			}
			return next(srv, ss)
		}))
	client, err := agent.TLS{CA: ca.Cert("ca")}.Client()
	if err != nil {
		t.Fatal(err)
	}
	with := func(password string) telemetry.Config {
		return telemetry.Config{Address: addr, Ports: map[string]uint16{"eth1": 1}, Options: []grpc.DialOption{
			grpc.WithTransportCredentials(credentials.NewTLS(client)), grpc.WithPerRPCCredentials(telemetry.Login("weft", password))}}
	}
	_, links := collect(t, with("warp"))
	eventually(t, "the link is up", func() bool { return links.of("eth1") == telemetry.Up })
	c, _ := collect(t, with("woof"))
	eventually(t, "the password is wrong", func() bool { return strings.Contains(c.Status().Error, "who is that?") })
	if strings.Contains(c.Status().Error, "woof") {
		t.Error("the password is in the error")
	}
}

// TestOpenConfigFake: the fake target of openconfig/gnmi, which someone else has written.
func TestOpenConfigFake(t *testing.T) {
	response := func(stamp int64, p *gpb.Path, v *gpb.TypedValue) *gpb.SubscribeResponse {
		return update(time.Unix(0, stamp), p, v)
	}
	a, err := fake.New(&fpb.Config{Target: "fake", DisableEof: true, Generator: &fpb.Config_Fixed{Fixed: &fpb.FixedGenerator{Responses: []*gpb.SubscribeResponse{
		response(100, leaf("eth1", "state", "oper-status"), word("UP")),
		response(100, leaf("eth1", "state", "counters", "out-octets"), ietf(`"5000"`)),
		synced,
		response(200, leaf("eth1", "state", "oper-status"), word("LOWER_LAYER_DOWN")),
		response(150, leaf("eth1", "state", "oper-status"), word("UP")), // late
		response(300, leaf("eth1", "state", "counters", "out-octets"), ietf(`"10"`)),
	}}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	_, at, _ := strings.Cut(a.Address(), ":")
	c, links := collect(t, telemetry.Config{Address: "127.0.0.1:" + at, Ports: map[string]uint16{"eth1": 256}})
	eventually(t, "the link is down, and the counters began anew", func() bool {
		i := ifaceOf(c, "eth1")
		return links.of("eth1") == telemetry.Down && i.Resets == 1 && i.Counters[telemetry.OutOctets].Value == 5010
	})
	if st := c.Status(); st.Counts.OutOfOrder != 1 || !st.Synced || st.Mode != telemetry.OnChange {
		t.Errorf("%+v", st)
	}
}

package softswitch

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

const (
	verify    = p4v1.SetForwardingPipelineConfigRequest_VERIFY
	save      = p4v1.SetForwardingPipelineConfigRequest_VERIFY_AND_SAVE
	commitNow = p4v1.SetForwardingPipelineConfigRequest_VERIFY_AND_COMMIT
	commit    = p4v1.SetForwardingPipelineConfigRequest_COMMIT
	reconcile = p4v1.SetForwardingPipelineConfigRequest_RECONCILE_AND_COMMIT
)

func (l *lab) getConfig(kind p4v1.GetForwardingPipelineConfigRequest_ResponseType) *p4v1.ForwardingPipelineConfig {
	l.t.Helper()
	got, err := l.client.GetForwardingPipelineConfig(context.Background(), &p4v1.GetForwardingPipelineConfigRequest{DeviceId: labDevice, ResponseType: kind})
	if err != nil {
		l.t.Fatal(err)
	}
	return got.GetConfig()
}

func TestGetConfig(t *testing.T) {
	l := newLab(t)
	if got := l.getConfig(p4v1.GetForwardingPipelineConfigRequest_ALL); got != nil {
		t.Errorf("config before any was set: %v", got)
	}
	l.primary()
	full := l.probe()
	for kind, want := range map[p4v1.GetForwardingPipelineConfigRequest_ResponseType]*p4v1.ForwardingPipelineConfig{
		p4v1.GetForwardingPipelineConfigRequest_ALL:                      full,
		p4v1.GetForwardingPipelineConfigRequest_COOKIE_ONLY:              {Cookie: full.Cookie},
		p4v1.GetForwardingPipelineConfigRequest_P4INFO_AND_COOKIE:        {Cookie: full.Cookie, P4Info: full.P4Info},
		p4v1.GetForwardingPipelineConfigRequest_DEVICE_CONFIG_AND_COOKIE: {Cookie: full.Cookie, P4DeviceConfig: full.P4DeviceConfig},
	} {
		if diff := cmp.Diff(want, l.getConfig(kind), protocmp.Transform()); diff != "" {
			t.Errorf("%v (-want +got):\n%s", kind, diff)
		}
	}
	_, err := l.client.GetForwardingPipelineConfig(context.Background(), &p4v1.GetForwardingPipelineConfigRequest{DeviceId: 1})
	if status.Code(err) != codes.NotFound {
		t.Errorf("other device: %v, want NotFound", err)
	}
}

func TestBadConfigsAreRefused(t *testing.T) {
	l := newLab(t)
	c := l.connect("")
	c.arbitrate(1)
	c.want(ok)
	broken := func(change func(*p4v1.ForwardingPipelineConfig)) *p4v1.ForwardingPipelineConfig {
		config := probeConfig(t)
		change(config)
		return config
	}
	for _, tc := range []struct {
		name   string
		action p4v1.SetForwardingPipelineConfigRequest_Action
		config *p4v1.ForwardingPipelineConfig
		want   codes.Code
	}{
		{"no action", 0, probeConfig(t), codes.InvalidArgument},
		{"no config", commitNow, nil, codes.InvalidArgument},
		{"nothing to reconcile with", reconcile, nil, codes.InvalidArgument},
		{"no p4info", verify, broken(func(c *p4v1.ForwardingPipelineConfig) { c.P4Info = nil }), codes.InvalidArgument},
		{"no program", verify, broken(func(c *p4v1.ForwardingPipelineConfig) { c.P4DeviceConfig = nil }), codes.InvalidArgument},
		{"not JSON", verify, broken(func(c *p4v1.ForwardingPipelineConfig) { c.P4DeviceConfig = []byte("{") }), codes.InvalidArgument},
		{"unknown table", verify, broken(func(c *p4v1.ForwardingPipelineConfig) { c.P4Info.Tables[0].Preamble.Name = "x" }), codes.InvalidArgument},
		{"other key", verify, broken(func(c *p4v1.ForwardingPipelineConfig) { c.P4Info.Tables[0].MatchFields[0].Bitwidth = 3 }), codes.InvalidArgument},
		{"unknown action", verify, broken(func(c *p4v1.ForwardingPipelineConfig) { c.P4Info.Tables[0].ActionRefs[0].Id = 3 }), codes.InvalidArgument},
		{"two ids", verify, broken(func(c *p4v1.ForwardingPipelineConfig) {
			c.P4Info.Tables[0].Preamble.Id = c.P4Info.Tables[1].Preamble.Id
		}), codes.InvalidArgument},
		{"commit of nothing", commit, nil, codes.NotFound},
		{"commit with config", commit, probeConfig(t), codes.InvalidArgument},
	} {
		if got := status.Code(c.tryPush(tc.action, tc.config)); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
	if l.getConfig(p4v1.GetForwardingPipelineConfigRequest_ALL) != nil {
		t.Error("a refused config stayed")
	}
}

func TestSaveThenCommit(t *testing.T) {
	l := newLab(t)
	c := l.primary()
	c.write(insert(l.macEntry(1, 2)))
	c.push(verify, l.probe())
	if n := len(l.read(entity(l.entry("mac", nil)))); n != 1 {
		t.Fatalf("VERIFY left %d entries, want 1", n)
	}
	c.push(save, l.probe())
	if n := len(l.read(entity(l.entry("mac", nil)))); n != 0 {
		t.Errorf("saved pipeline has %d entries, want none", n)
	}
	c.write(insert(l.macEntry(1, 3)))
	l.inject(1, frame(1, 1))
	l.frames(2, 1) // packets still take the old pipeline
	c.push(commit, nil)
	l.inject(1, frame(1, 1))
	l.frames(3, 1)
	if err := c.tryPush(commit, nil); status.Code(err) != codes.NotFound {
		t.Errorf("second COMMIT: %v, want NotFound", err)
	}
}

func TestPushClearsAndReconcileKeeps(t *testing.T) {
	l := newLab(t)
	c := l.primary()
	fill := func() []*p4v1.Entity {
		samples(c)
		counted := l.macEntry(44, 2)
		counted.CounterData = &p4v1.CounterData{PacketCount: 3, ByteCount: 9}
		def := l.entry("smac", direct(l.action("allow")))
		def.IsDefaultAction, def.Metadata = true, []byte("x")
		c.write(insert(counted), modify(def),
			insert(&p4v1.MulticastGroupEntry{MulticastGroupId: 5, Replicas: []*p4v1.Replica{replica(2, 1, 3)}, Metadata: []byte("y")}),
			insert(&p4v1.CloneSessionEntry{SessionId: 5, Replicas: []*p4v1.Replica{replica(2, 1)}, ClassOfService: 3, PacketLengthBytes: 100}),
			insert(&p4v1.DigestEntry{DigestId: l.id("learn_t"), Config: &p4v1.DigestEntry_Config{MaxListSize: 3}}),
			insert(l.member("ecmp_selector", 1, 2)), insert(l.member("profile", 4, 2)),
			modify(&p4v1.RegisterEntry{RegisterId: l.id("last"), Data: bitstring([]byte{7})}),
			modify(&p4v1.ValueSetEntry{ValueSetId: l.id("ip_types"), Members: []*p4v1.ValueSetMember{{Match: []*p4v1.FieldMatch{exact(1, 0x86, 0xdd)}}}}),
			modify(&p4v1.MeterEntry{MeterId: l.id("port_meter"), Index: index(1), Config: &p4v1.MeterConfig{Cir: 1, Pir: 1, Cburst: 5, Pburst: 5}}),
			modify(&p4v1.CounterEntry{CounterId: l.id("port_counter"), Index: index(3), Data: &p4v1.CounterData{PacketCount: 6}}))
		c.write(insert(l.group(3, groupMember(1, 1, 0))))
		c.write(insert(l.entry("ecmp", toGroup(3), exact(1, 5))), insert(l.entry("indirect", toMember(4), exact(1, 5))))
		return l.read(everything()...)
	}
	empty := l.read(everything()...)
	before := fill()

	again := l.probe()
	again.Cookie.Cookie = 43
	c.push(reconcile, again)
	if diff := cmp.Diff(before, l.read(everything()...), sameSet()); diff != "" {
		t.Errorf("reconcile with the same config (-want +got):\n%s", diff)
	}
	if got := l.getConfig(p4v1.GetForwardingPipelineConfigRequest_COOKIE_ONLY).GetCookie().GetCookie(); got != 43 {
		t.Errorf("cookie %d, want 43", got)
	}

	other := l.probe() // the same P4Info, another program text
	other.P4DeviceConfig = append(other.P4DeviceConfig, '\n')
	c.push(reconcile, other)
	if diff := cmp.Diff(before, l.read(everything()...), sameSet()); diff != "" {
		t.Errorf("reconcile with another program (-want +got):\n%s", diff)
	}
	l.inject(1, frame(44, 1))
	l.frames(2, 1)

	smaller := l.probe() // a P4Info that leaves no room for what is there
	for i, table := range smaller.P4Info.Tables {
		if table.GetPreamble().GetAlias() == "mac" {
			smaller.P4Info.Tables = append(smaller.P4Info.Tables[:i:i], smaller.P4Info.Tables[i+1:]...)
			break
		}
	}
	before = l.read(everything()...)
	if err := c.tryPush(reconcile, smaller); status.Code(err) != codes.InvalidArgument {
		t.Errorf("reconcile that loses entries: %v, want InvalidArgument", err)
	}
	if diff := cmp.Diff(before, l.read(everything()...), sameSet()); diff != "" {
		t.Errorf("failed reconcile (-want +got):\n%s", diff)
	}

	c.push(commitNow, l.probe())
	if diff := cmp.Diff(empty, l.read(everything()...), sameSet()); diff != "" {
		t.Errorf("re-push (-want +got):\n%s", diff)
	}
	fill()

	c.push(commitNow, l.probe())
	c.write(insert(l.entry("ecmp", l.oneShot(3), exact(1, 6))))
	before = l.read(everything()...)
	c.push(reconcile, other)
	if diff := cmp.Diff(before, l.read(everything()...), sameSet()); diff != "" {
		t.Errorf("reconcile of a one-shot (-want +got):\n%s", diff)
	}
}

// oneShot is an action set that forwards to ports.
func (l *lab) oneShot(ports ...byte) *p4v1.TableAction {
	set := &p4v1.ActionProfileActionSet{}
	for _, p := range ports {
		set.ActionProfileActions = append(set.ActionProfileActions, &p4v1.ActionProfileAction{Action: l.action("forward", []byte{p}), Weight: 1})
	}
	return &p4v1.TableAction{Type: &p4v1.TableAction_ActionProfileActionSet{ActionProfileActionSet: set}}
}

func TestRestartForgetsEverything(t *testing.T) {
	l := newLab(t)
	c := l.primary()
	c.write(insert(l.macEntry(1, 2)))
	next := newLab(t) // a new process
	if got := next.getConfig(p4v1.GetForwardingPipelineConfigRequest_COOKIE_ONLY); got != nil {
		t.Errorf("config after restart: %v", got)
	}
	d := next.connect("")
	d.arbitrate(0) // election ids start afresh
	d.want(ok)
}

func TestCapabilities(t *testing.T) {
	l := newLab(t)
	for id, want := range map[uint64]codes.Code{0: codes.OK, labDevice: codes.OK, 9: codes.NotFound} {
		got, err := l.client.Capabilities(context.Background(), &p4v1.CapabilitiesRequest{DeviceId: id})
		if status.Code(err) != want || err == nil && got.GetP4RuntimeApiVersion() != "1.5.0" {
			t.Errorf("device %d: %v, %v", id, got, err)
		}
	}
}

func TestProgramBeforeController(t *testing.T) {
	l := newLab(t)
	config := l.probe()
	if err := l.server.LoadProgram(config.P4DeviceConfig); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.tryRead(entity(&p4v1.TableEntry{})); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("Read without a P4Info: %v, want FailedPrecondition", err)
	}
	c := l.connect("")
	c.arbitrate(1)
	c.want(ok)
	c.send(packetOut(frame(1, 1)))
	if got := c.recv().GetError().GetCanonicalCode(); codes.Code(got) != codes.FailedPrecondition {
		t.Errorf("packet-out without a P4Info: code %d", got)
	}
	c.push(commitNow, config)
	c.write(insert(l.macEntry(1, 2)))
	if err := l.server.LoadConfig(&p4v1.ForwardingPipelineConfig{P4Info: proto.CloneOf(config.P4Info), P4DeviceConfig: []byte("?")}); err == nil {
		t.Error("LoadConfig took nonsense")
	}
	if err := l.server.LoadConfig(&p4v1.ForwardingPipelineConfig{P4Info: &configv1.P4Info{}, P4DeviceConfig: config.P4DeviceConfig}); err != nil {
		t.Error(err)
	}
}

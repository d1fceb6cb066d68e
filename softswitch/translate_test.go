package softswitch

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

// translated is the probe's configuration with ports of a translated type, and the "mark"
// of packet-ins as names. sdn says what ports are to the controller: 0 bits are strings.
func translated(t testing.TB, sdn int32) *p4v1.ForwardingPipelineConfig {
	config := proto.CloneOf(probeConfig(t))
	info := config.GetP4Info()
	spec := func(uri string, bits int32) *configv1.P4NewTypeSpec {
		tr := &configv1.P4NewTypeTranslation{Uri: uri, SdnType: &configv1.P4NewTypeTranslation_SdnString_{SdnString: &configv1.P4NewTypeTranslation_SdnString{}}}
		if bits > 0 {
			tr.SdnType = &configv1.P4NewTypeTranslation_SdnBitwidth{SdnBitwidth: bits}
		}
		return &configv1.P4NewTypeSpec{Representation: &configv1.P4NewTypeSpec_TranslatedType{TranslatedType: tr}}
	}
	info.TypeInfo = &configv1.P4TypeInfo{
		Structs:  info.GetTypeInfo().GetStructs(),
		NewTypes: map[string]*configv1.P4NewTypeSpec{"PortId_t": spec("example/PortId_t", sdn), "mark_t": spec("", 0)},
	}
	port, mark := &configv1.P4NamedType{Name: "PortId_t"}, &configv1.P4NamedType{Name: "mark_t"}
	for _, a := range info.GetActions() {
		for _, p := range a.GetParams() {
			switch p.GetName() {
			case "port":
				p.Bitwidth, p.TypeName = sdn, port
			case "mark":
				p.Bitwidth, p.TypeName = 0, mark
			}
		}
	}
	for _, table := range info.GetTables() {
		for _, f := range table.GetMatchFields() {
			if f.GetBitwidth() == 9 {
				f.Bitwidth, f.TypeName = sdn, port
			}
		}
	}
	for _, h := range info.GetControllerPacketMetadata() {
		for _, f := range h.GetMetadata() {
			switch f.GetName() {
			case "ingress_port", "egress_port":
				f.Bitwidth, f.TypeName = sdn, port
			case "mark":
				f.Bitwidth, f.TypeName = 0, mark
			}
		}
	}
	return config
}

// translatedLab has ports named p1…p4, so that names and numbers differ.
func translatedLab(t *testing.T, sdn int32) (*lab, *controller) {
	l := newLab(t)
	c := l.connect("")
	c.arbitrate(1)
	c.want(ok)
	config := translated(t, sdn)
	l.info = config.GetP4Info()
	c.push(commitNow, config)
	return l, c
}

func TestPortsByName(t *testing.T) {
	l, c := translatedLab(t, 0)
	e := l.entry("mac", direct(l.action("forward", []byte("p2"))), exact(1, 5))
	acl := l.entry("acl", direct(l.action("allow")), within(2, []byte("p1"), []byte("p1")))
	acl.Priority = 7
	punt := l.entry("mac", direct(l.action("punt", []byte{3}, []byte("a mark"))), exact(1, 6))
	group := &p4v1.MulticastGroupEntry{MulticastGroupId: 1, Replicas: []*p4v1.Replica{{PortKind: &p4v1.Replica_Port{Port: []byte("p3")}}}}
	flood := l.entry("mac", direct(l.action("flood", []byte{1})), exact(1, 7))
	c.write(insert(e), insert(acl), insert(punt), insert(group), insert(flood))
	want := []*p4v1.Entity{entity(e), entity(acl), entity(punt), entity(flood), entity(group)}
	got := l.read(entity(l.entry("mac", nil)), entity(l.entry("acl", nil)), entity(&p4v1.MulticastGroupEntry{}))
	if diff := cmp.Diff(want, got, sameSet()); diff != "" {
		t.Errorf("reads back (-want +got):\n%s", diff)
	}
	l.inject(1, frame(5, 1), frame(7, 1), frame(6, 1))
	l.frames(2, 1)
	l.frames(3, 1)
	in := c.recv().GetPacket()
	meta := map[uint32]string{}
	for _, m := range in.GetMetadata() {
		meta[m.GetMetadataId()] = string(m.GetValue())
	}
	if diff := cmp.Diff(map[uint32]string{1: "p1", 2: "\x03", 3: "a mark", 4: "\x00"}, meta); diff != "" {
		t.Errorf("packet-in (-want +got):\n%s", diff)
	}
	c.send(packetOut(frame(1, 1), meta2(1, "p4"), meta2(2, "\x00")))
	l.frames(4, 1)
	for name, u := range map[string]*p4v1.Update{
		"no such port": insert(l.entry("mac", direct(l.action("forward", []byte("p9"))), exact(1, 9))),
		"empty":        insert(l.entry("mac", direct(l.action("forward", nil)), exact(1, 9))),
		"a range of names": modify(func() *p4v1.TableEntry {
			x := proto.CloneOf(acl)
			x.Match[0] = within(2, []byte("p1"), []byte("p2"))
			return x
		}()),
		"replica":            insert(&p4v1.MulticastGroupEntry{MulticastGroupId: 2, Replicas: []*p4v1.Replica{replica(3, 1)}}),
		"number beyond bits": insert(l.entry("mac", direct(l.action("forward", []byte("512"))), exact(1, 9))),
	} {
		if got := c.codeOf(u); got != codes.InvalidArgument {
			t.Errorf("%s: %v, want InvalidArgument", name, got)
		}
	}
	c.push(reconcile, func() *p4v1.ForwardingPipelineConfig {
		x := translated(t, 0)
		x.P4DeviceConfig = append(x.P4DeviceConfig, '\n')
		return x
	}())
	got = l.read(entity(l.entry("mac", nil)), entity(l.entry("acl", nil)), entity(&p4v1.MulticastGroupEntry{}))
	if diff := cmp.Diff(want, got, sameSet()); diff != "" {
		t.Errorf("after reconcile (-want +got):\n%s", diff)
	}
}

func meta2(id uint32, value string) *p4v1.PacketMetadata {
	return &p4v1.PacketMetadata{MetadataId: id, Value: []byte(value)}
}

func TestPortsOf32Bits(t *testing.T) {
	l, c := translatedLab(t, 32)
	cpu := []byte{0xff, 0xff, 0xff, 0xfd}
	e := l.entry("mac", direct(l.action("forward", cpu)), exact(1, 5))
	acl := l.entry("acl", direct(l.action("allow")), within(2, []byte{1}, []byte{1}))
	acl.Priority = 7
	group := &p4v1.MulticastGroupEntry{MulticastGroupId: 1, Replicas: []*p4v1.Replica{{PortKind: &p4v1.Replica_Port{Port: cpu}}}}
	c.write(insert(e), insert(acl), insert(group))
	got := l.read(entity(l.entry("mac", nil)), entity(l.entry("acl", nil)), entity(&p4v1.MulticastGroupEntry{}))
	if diff := cmp.Diff([]*p4v1.Entity{entity(e), entity(acl), entity(group)}, got, sameSet()); diff != "" {
		t.Errorf("reads back (-want +got):\n%s", diff)
	}
	l.inject(1, frame(5, 1))
	if m := c.recv().GetPacket().GetMetadata()[0]; !cmp.Equal(m, &p4v1.PacketMetadata{MetadataId: 1, Value: []byte{1}}, protocmp.Transform()) {
		t.Errorf("packet-in: %v", m)
	}
	for name, port := range map[string][]byte{"no port": {0}, "beyond the program's bits": {2, 0}, "beyond 32 bits": {1, 0, 0, 0, 0}} {
		if got := c.codeOf(insert(l.entry("mac", direct(l.action("forward", port)), exact(1, 9)))); got != codes.InvalidArgument {
			t.Errorf("%s: %v, want InvalidArgument", name, got)
		}
	}
}

// TestNamesRunOut: a type of 12 bits has room for 4095 names; 0 stays free.
func TestNamesRunOut(t *testing.T) {
	tr := &translation{name: "t", text: true, number: map[string]uint64{}, names: map[uint64]string{}}
	if err := tr.setWidth(2); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		text string
		want byte
		code codes.Code
	}{
		{"a", 3, codes.OK}, {"2", 2, codes.OK}, {"b", 1, codes.OK}, {"a", 3, codes.OK}, {"3", 0, codes.ResourceExhausted},
		{"c", 0, codes.ResourceExhausted}, {"4", 0, codes.InvalidArgument}, {"", 0, codes.InvalidArgument},
	} {
		got, err := tr.toCore([]byte(tc.text))
		if tc.code != codes.OK {
			if err == nil || faultOf(err).code != tc.code {
				t.Errorf("%q: %v, %v, want %v", tc.text, got, err, tc.code)
			}
			continue
		}
		if err != nil || got[0] != tc.want || string(tr.toSDN(got)) != tc.text {
			t.Errorf("%q: %v, %v, want %d", tc.text, got, err, tc.want)
		}
	}
}

// TestCPUPortBeyondProgram: a program whose ports have too few bits for the CPU port can not be told to send there, and keeps what is beside the port.
func TestCPUPortBeyondProgram(t *testing.T) {
	tr := &translation{name: "t", ports: true, sdn: 32, server: &Server{options: Options{CPUPort: 510}}}
	if err := tr.setWidth(8); err != nil {
		t.Fatal(err)
	}
	h := &headerSchema{size: 2, fields: []headerField{{id: 1, width: 8, tr: tr}, {id: 2, offset: 8, width: 8}}}
	mark := &p4v1.PacketMetadata{MetadataId: 2, Value: []byte{7}}
	if got, err := h.encode(nil, []*p4v1.PacketMetadata{{MetadataId: 1, Value: []byte{0xff, 0xff, 0xff, 0xfd}}, mark}); err == nil || faultOf(err).code != codes.InvalidArgument {
		t.Errorf("%x, %v, want that the CPU port is refused", got, err)
	}
	if got, err := h.encode(nil, []*p4v1.PacketMetadata{{MetadataId: 1, Value: []byte{9}}, mark}); err != nil || string(got) != "\x09\x07" {
		t.Errorf("%x, %v, want 0907", got, err)
	}
}

func TestSelectorsAreProgrammedInOneStyle(t *testing.T) {
	l := newLab(t)
	c := l.primary()
	shot := l.entry("ecmp", l.oneShot(2), exact(1, 6))
	member := l.member("ecmp_selector", 1, 2)
	for _, step := range []struct {
		what string
		u    *p4v1.Update
		want codes.Code
	}{
		{"one-shot", insert(shot), codes.OK},
		{"member beside a one-shot", insert(member), codes.InvalidArgument},
		{"group beside a one-shot", insert(l.group(3)), codes.InvalidArgument},
		{"the last one-shot goes", remove(shot), codes.OK},
		{"member", insert(member), codes.OK},
		{"one-shot beside a member", insert(shot), codes.InvalidArgument},
		{"member goes", remove(member), codes.OK},
		{"group", insert(l.group(3)), codes.OK},
		{"one-shot beside a group", insert(shot), codes.InvalidArgument},
		{"group goes", remove(l.group(3)), codes.OK},
		{"one-shot again", insert(shot), codes.OK},
	} {
		if got := c.codeOf(step.u); got != step.want {
			t.Errorf("%s: %v, want %v", step.what, got, step.want)
		}
	}
}

func TestValueSetMembersAreDistinct(t *testing.T) {
	l := newLab(t)
	c := l.primary()
	set := func(values ...byte) *p4v1.Update {
		v := &p4v1.ValueSetEntry{ValueSetId: l.id("ip_types")}
		for _, x := range values {
			v.Members = append(v.Members, &p4v1.ValueSetMember{Match: []*p4v1.FieldMatch{exact(1, x)}})
		}
		return modify(v)
	}
	for _, tc := range []struct {
		u    *p4v1.Update
		want codes.Code
	}{{set(1, 2), codes.OK}, {set(1, 2, 1), codes.AlreadyExists}, {set(1, 2, 3, 4, 5), codes.ResourceExhausted}, {set(), codes.OK}} {
		if got := c.codeOf(tc.u); got != tc.want {
			t.Errorf("%v: %v, want %v", tc.u, got, tc.want)
		}
	}
}

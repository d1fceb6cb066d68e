package sim

import (
	"fmt"
	"strings"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// Trace is a simulation told step by step. It allocates; a nil Trace in Result costs nothing.
type Trace struct{ Steps []Step }

// Step is one thing that happened.
type Step struct {
	Device string // such as "bridge acme/web"; empty for the packet as a whole
	Port   string // by which the device got the copy
	What   string
	Sum    bool // no step of the walk: the packet as it is keyed, or what the result says in other words
}

// String returns one line per step; a device is named when the walk enters it.
func (t *Trace) String() string {
	var b strings.Builder
	at := Step{}
	for _, st := range t.Steps {
		switch {
		case st.Device == "":
			b.WriteString(st.What)
		case st.Device != at.Device || st.Port != at.Port:
			fmt.Fprintf(&b, "  %s, in by %s\n    %s", st.Device, st.Port, st.What)
		default:
			b.WriteString("    " + st.What)
		}
		b.WriteByte('\n')
		at = st
	}
	return b.String()
}

func (t *Trace) note(what string) { t.Steps = append(t.Steps, Step{What: what}) }

func (t *Trace) sum(what string) { t.Steps = append(t.Steps, Step{What: what, Sum: true}) }

func (t *Trace) start(f *packet.Frame, k flow.Key) {
	t.sum("packet " + k.String())
	if f.L3 != 0 {
		t.sum(fmt.Sprintf("ttl=%d length=%d", f.TTL(), f.IPLen()))
	}
}

// add notes a step at the device that the copy is in.
func (t *Trace) add(s *Simulator, h *hop, what string) {
	st := Step{Device: "network", Port: s.portName(h.port), What: what}
	if v := s.snap.VPort(h.port); v != nil {
		switch v.Kind {
		case topology.DeviceBridge:
			if b := s.snap.Bridge(v.Device); b != nil {
				st.Device = "bridge " + b.Tenant + "/" + b.Name
			}
		case topology.DeviceRouter:
			if r := s.snap.Router(v.Device); r != nil {
				st.Device = "router " + r.Tenant + "/" + r.Name
			}
		}
	}
	t.Steps = append(t.Steps, st)
}

func (t *Trace) originated(s *Simulator, h *hop) {
	t.note(fmt.Sprintf("originated by %s: %v", s.portName(h.port), s.key))
}

// finish sums up: outcomes, what was read, guards, what it depends on.
func (t *Trace) finish(s *Simulator) {
	r := s.res
	for _, o := range r.Outcomes {
		switch o.Verdict {
		case Forward:
			what := fmt.Sprintf("outcome forward to %s, rewrite %v", s.destName(o.Dest), o.Rewrite)
			if o.Fragment != 0 {
				what += fmt.Sprintf(", fragments of %d", o.Fragment)
			}
			t.sum(what)
		case Drop:
			t.sum(fmt.Sprintf("outcome drop: %v, reject %v", o.Drop, o.Reject))
		default:
			t.sum("outcome " + o.Verdict.String())
		}
	}
	t.sum("read " + maskText(r.Mask, s.key.EtherType) + fmt.Sprintf(" (%d bits wild)", r.Mask.Wild()))
	t.sum(fmt.Sprintf("guards ttl>%d length<=%d known source %v", r.Guards.MinTTL, r.Guards.MaxLen, r.Guards.KnownSource))
	for _, d := range r.Deps {
		t.sum("depends on " + d.String())
	}
	if !r.Installable {
		t.sum("not installable: " + r.NotInstallable)
	}
}

// asWhat says how a copy leaves.
func asWhat(r flow.Rewrite) string {
	if r.IsZero() {
		return ", as it came"
	}
	return ", " + r.String()
}

func (s *Simulator) destName(d flow.Dest) string {
	if b := s.snap.Bridge(topology.DeviceID(d)); b != nil {
		return "group " + b.Tenant + "/" + b.Name
	}
	return s.portName(d.VPort())
}

// maskText names the fields that were read, addresses by prefix length.
func maskText(m flow.Mask, etherType uint16) string {
	var b strings.Builder
	b.WriteString("vport")
	mac := func(name string, x packet.MAC) {
		switch {
		case x.IsBroadcast():
			b.WriteString(" " + name)
		case !x.IsZero():
			b.WriteString(" " + name + "&" + x.String())
		}
	}
	mac("src_mac", m.SrcMAC)
	mac("dst_mac", m.DstMAC)
	if m.EtherType != 0 {
		b.WriteString(" ether_type")
	}
	for _, a := range []struct {
		name string
		a    flow.Addr
	}{{"src", m.Src}, {"dst", m.Dst}} {
		if n, ok := a.a.PrefixLen(etherType); !ok {
			fmt.Fprintf(&b, " %s&%x", a.name, a.a)
		} else if n > 0 {
			fmt.Fprintf(&b, " %s/%d", a.name, n)
		}
	}
	for _, x := range []struct {
		name string
		v    uint16
	}{{"proto", uint16(m.Proto)}, {"frag", uint16(m.Frag)}, {"sport", m.SrcPort}, {"dport", m.DstPort}} {
		if x.v != 0 {
			b.WriteString(" " + x.name)
		}
	}
	return b.String()
}

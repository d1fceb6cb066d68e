package trace

import (
	"fmt"
	"strings"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/topology"
)

func verdict(snap *topology.Snapshot, o sim.Outcome) string {
	text := o.Verdict.String()
	switch o.Verdict {
	case sim.Forward:
		text += " to " + destName(snap, o.Dest)
		if o.Fragment != 0 {
			text += fmt.Sprintf(" in fragments of at most %d bytes", o.Fragment)
		}
	case sim.Drop:
		text += ": " + o.Drop.String()
		if o.Reject {
			text += ", and the sender is told"
		}
	case sim.Incomplete:
		text += ": the packet waits for what is asked or looked up first"
	}
	return text
}

func guards(g flow.Guards) string {
	var words []string
	if g.MinTTL != 0 {
		words = append(words, fmt.Sprintf("ttl > %d", g.MinTTL))
	}
	if g.MaxLen != 0 {
		words = append(words, fmt.Sprintf("length ≤ %d", g.MaxLen))
	}
	if g.KnownSource {
		words = append(words, "source MAC known at the vport")
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

func effect(snap *topology.Snapshot, e sim.Effect) string {
	switch e.Kind {
	case sim.Learn:
		return fmt.Sprintf("%s learns that %v is behind %s", deviceName(snap, e.Device), e.MAC, portName(snap, e.Port))
	case sim.LearnBridgeNeighbour:
		return fmt.Sprintf("%s learns that %v is at %v", deviceName(snap, e.Device), e.Addr, e.MAC)
	case sim.LearnNeighbour:
		if e.Unasked {
			return fmt.Sprintf("router port %s learns that %v is at %v, if any edge asked", portName(snap, e.Port), e.Addr, e.MAC)
		}
		return fmt.Sprintf("router port %s learns that %v is at %v", portName(snap, e.Port), e.Addr, e.MAC)
	case sim.ConfirmNeighbour:
		return fmt.Sprintf("router port %s hears again that %v is at %v", portName(snap, e.Port), e.Addr, e.MAC)
	case sim.ReadLease:
		return fmt.Sprintf("%s looks up what it has leased to %v at %s", deviceName(snap, e.Device), e.MAC, portName(snap, e.Port))
	case sim.AskNeighbour:
		return fmt.Sprintf("router port %s asks who has %v", portName(snap, e.Port), e.Addr)
	case sim.LogRule:
		return "logs: " + ruleText(snap, e.Device, int(e.Rule))
	case sim.Load:
		return fmt.Sprintf("%s is to be loaded first", deviceName(snap, e.Device))
	case sim.OfferLease, sim.BindLease, sim.ReleaseLease, sim.DeclineLease:
		what := map[sim.EffectKind]string{sim.OfferLease: "offers", sim.BindLease: "leases", sim.ReleaseLease: "takes back", sim.DeclineLease: "keeps from all"}[e.Kind]
		return fmt.Sprintf("%s %s %v, which is of %v at %s", deviceName(snap, e.Device), what, e.Addr, e.MAC, portName(snap, e.Port))
	case sim.AwaitMAC:
		return fmt.Sprintf("waits a second for %s to learn %v first", deviceName(snap, e.Device), e.MAC)
	case sim.ProbeAnswer:
		if p := snap.Pool(e.Device); p != nil {
			return fmt.Sprintf("pool %s/%s hears the answer to its probe", p.Tenant, p.Name)
		}
	}
	return fmt.Sprintf("effect %d", e.Kind)
}

// ruleText names a rule of a chain by its place.
func ruleText(snap *topology.Snapshot, chain topology.DeviceID, n int) string {
	c := snap.Chain(chain)
	if c == nil || n >= len(c.Rules) {
		return fmt.Sprintf("rule %d of chain %d", n, chain)
	}
	return fmt.Sprintf("rule %s of chain %s/%s", c.Rules[n].Name, c.Tenant, c.Name)
}

func originated(snap *topology.Snapshot, o sim.Originated) string {
	var f packet.Frame
	if err := packet.Parse(o.Frame, &f); err != nil {
		return fmt.Sprintf("%d bytes: %v", len(o.Frame), err)
	}
	from := o.From
	what := "packet"
	switch o.Kind {
	case sim.OriginARP:
		what = "ARP"
		if f.Is6() {
			what = "ND"
		}
	case sim.OriginEcho:
		what = "echo reply"
	case sim.OriginDHCP:
		what = "DHCP"
	case sim.OriginError:
		what = "ICMP error"
		if f.Proto == packet.ProtoTCP && f.L4 != 0 {
			what = "TCP reset"
		} else if f.IsICMP() {
			t, c := f.ICMPType()
			what += fmt.Sprintf(" type %d code %d", t, c)
		}
	}
	return fmt.Sprintf("%s by %s, leaves at %s: %s", what, portName(snap, from), destName(snap, o.Dest), ends(&f))
}

func destName(snap *topology.Snapshot, d flow.Dest) string {
	if snap.IsGroup(d) {
		return "all of " + deviceName(snap, topology.DeviceID(d))
	}
	return portName(snap, d.VPort())
}

func deviceName(snap *topology.Snapshot, id topology.DeviceID) string {
	if b := snap.Bridge(id); b != nil {
		return "bridge " + b.Tenant + "/" + b.Name
	}
	if r := snap.Router(id); r != nil {
		return "router " + r.Tenant + "/" + r.Name
	}
	if d := snap.DHCP(id); d != nil {
		return d.String()
	}
	return fmt.Sprintf("device %d", id)
}

func portName(snap *topology.Snapshot, id flow.VPortID) string {
	if v := snap.VPort(id); v != nil {
		return v.Tenant + "/" + v.Name
	}
	return "vport " + id.String()
}

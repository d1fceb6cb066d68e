package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

const traceLong = `Follow one packet through the virtual devices: from the exterior vport where it
comes in to where it leaves, or to the device that drops or answers it.

The packet is described by flags. What you leave out is chosen as the host at
the vport would, and said ("assumed …").

The network is the live one, with all that it has learnt: what is said is what
an edge would decide now. With -f it is that of files, where nothing has been
learnt yet. In neither case is anything changed or sent.

After the steps:
  verdict     what becomes of the packet
  rewrite     what all devices together change in it
  match       the packets that would share this decision, by what devices read
  guards      what each of those must meet besides, or it is decided by itself
  effects     what the devices would learn or ask for
  originated  packets that the devices send of themselves, and where they leave
-v adds read, the fields that devices looked at, and depends, what of the
network the decision relies on: when it changes, the packet is decided anew.`

const traceExample = `  # Two hosts on one bridge; the default is a ping
  weft trace -f examples/reference.yaml --vport acme/app1 --dst 10.0.0.12

  # Out to the Internet, through the tenant's router and the provider's
  weft trace -f examples/reference.yaml --vport acme/web --dst 192.0.2.7 --proto tcp --dport 443

  # IPv6, to the other tenant
  weft trace -f examples/reference.yaml --vport acme/web --dst 2001:db8:b::10 --proto udp --dport 53

  # How does traceroute see the first router? Where is a long packet refused?
  weft trace -f examples/reference.yaml --vport acme/web --dst 192.0.2.7 --ttl 1
  weft trace -f examples/reference.yaml --vport acme/web --dst 192.0.2.7 --len 1600 --df

  # In the live network, as it is now
  weft trace --etcd http://127.0.0.1:2379 --vport acme/web --dst 203.0.113.26

  # All that is known of the decision; for programs
  weft trace -f examples/reference.yaml --vport acme/app1 --dst 10.0.0.12 -v
  weft trace -f examples/reference.yaml --vport acme/app1 --dst 10.0.0.12 -o json

  # Who answers ARP for the gateway?
  weft trace -f examples/reference.yaml --vport acme/app1 --proto arp --dst 10.0.0.1`

func newTrace() *cobra.Command {
	var files []string
	var vport string
	var p probe
	var db database
	var out output
	var verbose bool
	show := func(cmd *cobra.Command, snap *topology.Snapshot) error {
		t, err := trace(snap, vport, &p)
		switch {
		case err != nil:
			return err
		case out.form == "json":
			return printJSON(cmd.OutOrStdout(), t)
		}
		_, err = io.WriteString(cmd.OutOrStdout(), t.text(verbose))
		return err
	}
	cmd := &cobra.Command{
		Use:     "trace [-f FILE] --vport TENANT/NAME --dst ADDRESS",
		Short:   "Follow one packet through the virtual devices",
		Long:    traceLong,
		Example: traceExample,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case len(files) > 0 && cmd.Flags().Changed("etcd"):
				return usage(errors.New("-f is the network of files and --etcd the live one; give one of them"))
			case len(files) == 0:
				return db.watching(cmd.Context(), func(store *state.Store) error {
					return show(cmd, store.View().Topology)
				})
			}
			set, err := loadNetwork(cmd.InOrStdin(), files)
			if err := report(cmd, err); err != nil {
				return err
			}
			return show(cmd, snapshotOf(set))
		},
	}
	networkFlags(cmd, &files)
	cmd.Flags().StringVar(&vport, "vport", "", "exterior vport where the packet comes in, `TENANT/NAME` (required)")
	p.flags(cmd.Flags())
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "show also which fields were read, and what the decision relies on")
	out.flags(cmd, "text", "json")
	db.flags(cmd)
	return cmd
}

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

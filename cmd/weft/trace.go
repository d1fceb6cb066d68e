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

The network is the live one, with all that it has learnt: what is said is what an
edge would decide now. With -f it is that of files, where nothing has been learnt
yet. In neither case is anything changed or sent.

After the steps:
  verdict     what becomes of the packet
  rewrite     what all devices together change in it
  match       the packets that would share this decision, by what devices read
  guards      what each of those must meet besides, or it is decided by itself
  effects     what the devices would learn or ask for
  originated  packets that the devices send of themselves, and where they leave`

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

  # Who answers ARP for the gateway?
  weft trace -f examples/reference.yaml --vport acme/app1 --proto arp --dst 10.0.0.1`

func newTrace() *cobra.Command {
	var files []string
	var vport string
	var p probe
	var db database
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
					return trace(cmd.OutOrStdout(), store.View().Topology, vport, &p)
				})
			}
			set, err := loadNetwork(cmd.InOrStdin(), files)
			if err := report(cmd, err); err != nil {
				return err
			}
			return trace(cmd.OutOrStdout(), snapshotOf(set), vport, &p)
		},
	}
	networkFlags(cmd, &files)
	cmd.Flags().StringVar(&vport, "vport", "", "exterior vport where the packet comes in, `TENANT/NAME` (required)")
	p.flags(cmd.Flags())
	db.flags(cmd)
	return cmd
}

// trace simulates the probe and prints what happened.
func trace(w io.Writer, snap *topology.Snapshot, vport string, p *probe) error {
	v, err := findVPort(snap, vport)
	if err != nil {
		return err
	}
	a, notes, err := p.resolve(snap, v)
	if err != nil {
		return err
	}
	data, err := a.frame()
	if err != nil {
		return err
	}
	var f packet.Frame
	if err := packet.Parse(data, &f); err != nil {
		return fmt.Errorf("the packet: %w", err)
	}
	var s sim.Simulator
	res := sim.Result{Trace: new(sim.Trace)}
	s.Simulate(snap, &f, v.ID, 0, &res)

	var b strings.Builder
	for _, n := range notes {
		b.WriteString(n + "\n")
	}
	fmt.Fprintf(&b, "%v\n", res.Trace)
	summarize(&b, snap, flow.KeyOf(&f, v.ID), &res)
	_, err = io.WriteString(w, b.String())
	return err
}

// summarize prints what a simulation gave.
func summarize(b *strings.Builder, snap *topology.Snapshot, k flow.Key, r *sim.Result) {
	for _, o := range r.Outcomes {
		fmt.Fprintf(b, "verdict     %s\n", verdict(snap, o))
		if o.Verdict == sim.Forward {
			fmt.Fprintf(b, "rewrite     %v\n", o.Rewrite)
		}
	}
	fmt.Fprintf(b, "match       %v\n", flow.MatchOf(k, r.Mask))
	fmt.Fprintf(b, "guards      %s\n", guards(r.Guards))
	if !r.Installable {
		fmt.Fprintf(b, "kept        not as an entry: %s\n", r.NotInstallable)
	}
	for _, e := range r.Effects {
		fmt.Fprintf(b, "effects     %s\n", effect(snap, e))
	}
	for _, o := range r.Originated {
		fmt.Fprintf(b, "originated  %s\n", originated(snap, o))
	}
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
		text += ": the packet waits for a neighbour's answer"
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
	case sim.AskNeighbour:
		return fmt.Sprintf("router port %s asks who has %v", portName(snap, e.Port), e.Addr)
	}
	return fmt.Sprintf("%+v", e)
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
	case sim.OriginError:
		what = "ICMP error"
		if f.IsICMP() {
			t, c := f.ICMPType()
			what += fmt.Sprintf(" type %d code %d", t, c)
		}
	}
	return fmt.Sprintf("%s by %s, leaves at %s: %v", what, portName(snap, from), destName(snap, o.Dest), flow.KeyOf(&f, from))
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
	return fmt.Sprintf("device %d", id)
}

func portName(snap *topology.Snapshot, id flow.VPortID) string {
	if v := snap.VPort(id); v != nil {
		return v.Tenant + "/" + v.Name
	}
	return "vport " + id.String()
}

package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
	"github.com/weft-sdn/weft/trace"
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
network the decision relies on: when it changes, the packet is decided anew.

With --live real packets that come in at the vport are followed, those that
--match chooses, until --packets were told or --for is over. They come up to
the vport's agent for that time, are decided there, and go on where they go
else, in order:
  entry       the flow entry of the target that they meet, with its counters
  did         what the edge did with the packet, and the tunnel by which it went
  simulation  what the network says of the same packet, as above; differs: how
              that is not what the edge did
  arrives     what the edge at the other end has for them, and counts
Flows of more than 2000 packets a second are not brought up: they are told by
the counters of their entries. docs/trace.md has more.`

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

  # What becomes of real packets, now?
  weft trace --live --vport acme/web --match dst=203.0.113.0/24,proto=tcp,dport=443
  weft trace --live --vport acme/web --packets 3 --for 2m -o json

  # Who answers ARP for the gateway?
  weft trace -f examples/reference.yaml --vport acme/app1 --proto arp --dst 10.0.0.1`

func newTrace() *cobra.Command {
	var files []string
	var p packetOptions
	var at reach
	var out output
	var verbose bool
	var live liveOptions
	show := func(cmd *cobra.Command, follow func(client.Packet) (*client.Trace, error)) error {
		given, err := p.packet()
		if err != nil {
			return usage(err)
		}
		t, err := follow(given)
		switch {
		case err != nil:
			return asPacketFlags(err)
		case out.form == "json":
			return printJSON(cmd.OutOrStdout(), t)
		}
		_, err = io.WriteString(cmd.OutOrStdout(), traceText(t, verbose))
		return err
	}
	cmd := &cobra.Command{
		Use:     "trace [-f FILE] --vport TENANT/NAME --dst ADDRESS | --live [--match …]",
		Short:   "Follow one packet through the virtual devices",
		Long:    traceLong,
		Example: traceExample,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := live.check(cmd, files); err != nil {
				return err
			}
			switch {
			case live.on:
				return live.run(cmd, &at, p.VPort, out.form, verbose)
			case len(files) > 0 && cmd.Flags().Changed("etcd"):
				return usage(errors.New("-f is the network of files and --etcd the live one; give one of them"))
			case len(files) == 0:
				c, err := at.remote()
				if err != nil {
					return err
				}
				if c != nil {
					defer c.Close()
					return withAdvice(show(cmd, func(p client.Packet) (*client.Trace, error) { return c.Trace(cmd.Context(), p) }))
				}
				return at.db.routing(cmd.Context(), func(store *state.Store) error {
					return show(cmd, func(p client.Packet) (*client.Trace, error) { return trace.Follow(store.View().Topology, p) })
				})
			}
			set, err := loadNetwork(cmd.InOrStdin(), files)
			if err := report(cmd, err); err != nil {
				return err
			}
			return show(cmd, func(p client.Packet) (*client.Trace, error) { return trace.Follow(snapshotOf(set), p) })
		},
	}
	networkFlags(cmd, &files)
	p.flags(cmd.Flags())
	live.flags(cmd)
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "show also which fields were read, and what the decision relies on")
	out.flags(cmd, "text", "json")
	at.flags(cmd)
	return cmd
}

// packetOptions are the flags that describe a packet.
type packetOptions struct {
	client.Packet
	icmpType int
	set      *pflag.FlagSet
}

func (p *packetOptions) flags(f *pflag.FlagSet) {
	p.set = f
	f.StringVar(&p.VPort, "vport", "", "exterior vport where the packet comes in, `TENANT/NAME` (required)")
	f.StringVar(&p.SrcMAC, "src-mac", "", "source `MAC`; default: that of the vport's host")
	f.StringVar(&p.DstMAC, "dst-mac", "", "destination `MAC`; default: what the host would learn by ARP or ND, of the destination or its gateway")
	f.StringVar(&p.Src, "src", "", "source IP `address`; default: the vport's first address of the destination's family")
	f.StringVar(&p.Dst, "dst", "", "destination IP `address`, IPv4 or IPv6 (required)")
	f.StringVar(&p.Proto, "proto", "icmp", "`protocol`: icmp, tcp, udp, sctp, a number, or arp: ask for the MAC of --dst (ND in IPv6)")
	f.Uint16Var(&p.SPort, "sport", 40000, "source `port` of tcp, udp, sctp")
	f.Uint16Var(&p.DPort, "dport", 80, "destination `port` of tcp, udp, sctp")
	f.Uint8Var(&p.TTL, "ttl", packet.DefaultTTL, "TTL or hop `limit`, 1 to 255")
	f.Uint16Var(&p.Len, "len", 0, "length of the IP packet in `bytes`; default: its headers")
	f.IntVar(&p.icmpType, "icmp-type", -1, "ICMP or ICMPv6 `type`, 0–255; default: echo request")
	f.BoolVar(&p.DF, "df", false, "IPv4: don't fragment")
}

// packet is what the flags describe. What was not given is left out.
func (p *packetOptions) packet() (client.Packet, error) {
	out := p.Packet
	given := func(name string) bool { return p.set != nil && p.set.Changed(name) }
	if !given("proto") {
		out.Proto = ""
	}
	if !given("sport") {
		out.SPort = 0
	}
	if !given("dport") {
		out.DPort = 0
	}
	if out.TTL == 0 {
		return out, errors.New("--ttl 0: is not sent by any host; use 1 to 255")
	}
	if given("icmp-type") {
		if p.icmpType < 0 || p.icmpType > 255 {
			return out, fmt.Errorf("--icmp-type %d: is no ICMP type; use 0 to 255", p.icmpType)
		}
		t := uint8(p.icmpType)
		out.ICMPType = &t
	}
	return out, nil
}

// packetFlags are the flags of the fields of a packet.
func packetFlags() map[string]string {
	return map[string]string{
		"vport": "--vport", "dst": "--dst", "src": "--src", "srcMAC": "--src-mac", "dstMAC": "--dst-mac", "proto": "--proto", "sport": "--sport", "dport": "--dport", "len": "--len", "icmpType": "--icmp-type",
	}
}

// asPacketFlags has an error of a field name its flag.
func asPacketFlags(err error) error {
	var f *topology.FieldError
	if !errors.As(err, &f) {
		return err
	}
	text := packetFlags()[f.Field]
	if f.Value != "" {
		text += fmt.Sprintf(" %q", f.Value)
	}
	text += ": " + f.Problem
	if f.Hint != "" {
		text += "; " + f.Hint
	}
	if f.Field == "vport" && f.Value != "" {
		return errors.New(text)
	}
	return usage(errors.New(text))
}

// traceText is a trace for people.
func traceText(t *client.Trace, verbose bool) string {
	var b strings.Builder
	for _, n := range t.Assumed {
		fmt.Fprintf(&b, "assumed %s %s: %s\n", packetFlags()[n.Field], n.Value, n.Why)
	}
	b.WriteString(t.Packet + "\n")
	at := client.TraceStep{}
	for _, st := range t.Steps {
		switch {
		case st.Device == "":
			b.WriteString(st.What + "\n")
		case st.Device != at.Device || st.Port != at.Port:
			fmt.Fprintf(&b, "  %s, in by %s\n    %s\n", st.Device, st.Port, st.What)
		default:
			fmt.Fprintf(&b, "    %s\n", st.What)
		}
		at = st
	}
	b.WriteByte('\n')
	line := func(name, value string) { fmt.Fprintf(&b, "%-11s %s\n", name, value) }
	for _, o := range t.Outcomes {
		line("verdict", o.Text)
		if o.Rewrite != "" {
			line("rewrite", o.Rewrite)
		}
	}
	if t.Match != "" {
		line("match", t.Match)
		line("guards", t.Guards)
	}
	if t.Kept != "" {
		line("kept", "not as an entry: "+t.Kept)
	}
	for _, e := range t.Effects {
		line("effects", e)
	}
	for _, o := range t.Originated {
		line("originated", o)
	}
	if verbose {
		if t.Read != "" {
			line("read", t.Read)
		}
		for _, d := range t.Depends {
			line("depends", d)
		}
	}
	return b.String()
}

// snapshotOf returns a valid set as a snapshot, ids assigned in order of kind and name.
func snapshotOf(set *topology.Set) *topology.Snapshot {
	objects := set.All()
	last := uint32(0)
	for _, o := range objects {
		last = max(last, o.Status.ID)
	}
	topology.AssignIDs(objects, last)
	snap, _ := new(topology.Snapshot).With(topology.Changes{Put: set.ResolvedAll(objects)})
	return snap
}

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/examples"
	"github.com/weft-sdn/weft/testbed/scenario"
)

func newDemo() *cobra.Command {
	var o labOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show a reference network that carries real traffic",
		Long: `Bring up a reference network on this machine and let it carry real traffic: a
provider with an outside world and two tenants with the same addresses, on three
edges with VXLAN, GRE and Geneve between them. Hosts ping and transfer within a
bridge, through routers, NAT, filters and a pool of servers, across edges and to
the outside, for IPv4 and IPv6; one tenant attacks the other; a server moves to
another edge in the middle of a download. It ends with a trace of one packet
through the virtual devices.

It needs no privileges, nothing that is not in this binary, and leaves nothing
behind. The exit status is 0 only if all of it held.

The scenario is examples/demo.txtar; weft lab run runs others, and weft dev
keeps the network up to play with.`,
		Example: `  weft demo
  weft demo --json
  weft demo --processes --pcap /tmp/pcap`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := scenario.Parse(examples.DemoFile, examples.Demo())
			if err != nil {
				return err
			}
			o.title = fmt.Sprintf("weft demo: etcd, %d edges with an agent and a %s each, %d hosts\n", len(s.Edges), o.target, len(s.Hosts)+len(s.Remotes))
			return o.run(cmd, s, processStart)
		},
	}
	o.flags(cmd.Flags())
	o.jsonFlag(cmd.Flags(), "print one JSON object, and nothing else")
	return cmd
}

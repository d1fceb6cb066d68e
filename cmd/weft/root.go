package main

import (
	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/softswitch/cli"
)

const rootLong = `weft weaves virtual networks into SmartNICs and P4 switches: packets of virtual
bridges and routers are simulated once in software, and what was decided is
installed as entries of a P4 pipeline.

Networks are written as YAML objects (Fabric, Bridge, Router, VPort, Binding);
examples/reference.yaml is one to start from.`

const rootExample = `  # Is my network sound?
  weft validate -f examples/reference.yaml

  # What would become of a packet? Nothing is changed or sent.
  weft trace -f examples/reference.yaml --vport acme/app1 --dst 10.0.0.12 --proto udp --dport 53

  # A P4 switch in software that a controller can program
  weft softswitch --no-p4 --grpc-server-addr 127.0.0.1:9559`

// newRoot wires the commands.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "weft",
		Short:         "Virtual networks on P4 targets",
		Long:          rootLong,
		Example:       rootExample,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newAgent(), newApply(), newDelete(), newDiff(), newEdges(), newEtcd(), newFlows(), newGet(), newTrace(), newValidate(), newVersion(), cli.NewCommand())
	markUsage(root)
	return root
}

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/softswitch/cli"
)

const rootLong = `weft weaves virtual networks into SmartNICs and P4 switches: packets of virtual
bridges and routers are simulated once in software, and what was decided is
installed as entries of a P4 pipeline.

Networks are written as YAML objects: weft explain and docs/objects.md have all
kinds and fields, examples/reference.yaml is one to start from. They are stored
in etcd: commands find it by --etcd or WEFT_ETCD, or, behind the API, by weft
login or --server. docs/operations.md makes an edge from nothing.

Exit status: 0 done, 1 failed or not valid, 2 called wrongly, 3 not there,
4 there already or changed meanwhile, 5 not allowed, 6 nobody answers (try
again), 7 stored and not at all edges yet (--wait), 130 interrupted. weft diff
has those of diff.`

const rootExample = `  # Is my network sound?
  weft validate -f examples/reference.yaml

  # What would become of a packet? Nothing is changed or sent.
  weft trace -f examples/reference.yaml --vport acme/app1 --dst 10.0.0.12

  # Put it in place, and look at the edges and what they have installed
  weft apply -f examples/reference.yaml --wait
  weft edges
  weft flows`

// helpWidth is how wide help is, in columns.
const helpWidth = 80

// newRoot wires the commands.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "weft",
		Short:         "Virtual networks on P4 targets",
		Long:          rootLong,
		Example:       rootExample,
		Args:          noArgs,
		Version:       agent.Version(),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetHelpCommand(newHelp())
	root.SetVersionTemplate("weft {{.Version}}\n")
	group(root, "try", "To try it out:", newDemo(), newDev(), newLab())
	group(root, "network", "The network:", newApply(), newConnections(), newDelete(), newDescribe(), newDiff(), newEdit(), newExplain(), newExport(), newGet(), newImport(), newLeases(), newTrace(), newValidate(), newWatch())
	group(root, "access", "Who may do what (the API's):", newAudit(), newContext(), newGrant(), newLogin(), newLogout(), newToken(), newUser(), newWhoami())
	group(root, "edges", "Its edges:", newBGP(), newDrops(), newEdge(), newEdges(), newEvents(), newFlows(), newInterfaces(), newRates(), newTop(), newUsageCommand(), newVPN())
	group(root, "processes", "Processes:", newAgent(), newAPI(), newEtcd(), cli.NewCommand())
	root.AddCommand(newVersion())
	markUsage(root)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), "Flags.FlagUsages ", fmt.Sprintf("Flags.FlagUsagesWrapped %d ", helpWidth)))
	return root
}

// group adds commands under a title of their own.
func group(root *cobra.Command, id, title string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: id, Title: title})
	for _, c := range commands {
		c.GroupID = id
		root.AddCommand(c)
	}
}

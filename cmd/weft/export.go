package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

func newExport() *cobra.Command {
	var at reach
	var out output
	var tenant string
	var except []string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Print a whole network, for weft import or weft apply",
		Long: `Print all objects of a network as they were written: without ids, and without
the parts that the system makes of them, in an order in which each comes behind
what it refers to. The same network is the same text.

weft import puts it into another database, or into this one when it is empty.`,
		Example: `  weft export >network.yaml

  # One tenant's; and a network without where its ports are bound
  weft export --tenant acme
  weft export --except binding`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			kinds := topology.Kinds()
			if len(except) > 0 {
				without, err := parseKinds(except)
				if err != nil {
					return err
				}
				kinds = slices.DeleteFunc(kinds, func(k topology.Kind) bool { return slices.Contains(without, k) })
			}
			return at.with(cmd.Context(), func(n network) error {
				all, err := n.List(cmd.Context(), kinds, tenant)
				if err != nil {
					return err
				}
				written := []*topology.Object{}
				for _, o := range all {
					if o.Status.Of == "" {
						c := *o
						c.Status = topology.Status{}
						written = append(written, &c)
					}
				}
				if out.form == "json" {
					return printItems(cmd.OutOrStdout(), written)
				}
				return printYAML(cmd.OutOrStdout(), written)
			})
		},
	}
	cmd.Flags().StringVar(&tenant, "tenant", "", "only objects of this `tenant`")
	cmd.Flags().StringSliceVar(&except, "except", nil, "leave out objects of this `kind`; more may follow")
	out.flags(cmd, "yaml", "json")
	at.flags(cmd)
	return cmd
}

func newImport() *cobra.Command {
	var files []string
	var dryRun, replace bool
	var at reach
	var w waiting
	cmd := &cobra.Command{
		Use:   "import -f FILE|DIR|- [FILE]...",
		Short: "Put a whole network into a database",
		Long: `Store the objects of a network that weft export printed: all of them or, if one
is refused, none. They get ids of this database. Objects that are stored already
and differ are a reason to refuse, unless --replace puts those of the files in
their place; others that are stored stay.`,
		Example: `  # From one database to another
  weft export --etcd http://192.0.2.11:2379 | weft import -f - --etcd http://192.0.2.21:2379

  # What would it do here?
  weft import -f examples/reference.yaml --dry-run`,
		RunE: func(cmd *cobra.Command, more []string) error {
			objects, err := readObjects(cmd.InOrStdin(), append(files, more...))
			if err := report(cmd, err); err != nil {
				return err
			}
			return at.with(cmd.Context(), func(n network) error {
				if !replace {
					would, err := n.Change(cmd.Context(), change{put: objects, dryRun: true})
					if err := report(cmd, err); err != nil {
						return err
					}
					if err := would.onlyNew(); err != nil {
						return err
					}
				}
				return makeChange(cmd, n, &w, change{put: objects, dryRun: dryRun})
			})
		},
	}
	networkFlags(cmd, &files)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "check and say what would be done, without doing it")
	cmd.Flags().BoolVar(&replace, "replace", false, "put objects of the files in the place of stored ones that differ")
	w.flags(cmd)
	at.flags(cmd)
	return cmd
}

// onlyNew refuses a change of what is there.
func (c *changed) onlyNew() error {
	var differ []string
	for _, s := range c.steps {
		if s.action == state.Configured {
			differ = append(differ, refName(s.ref))
		}
	}
	switch {
	case len(differ) == 0:
		return nil
	case len(differ) == 1:
		return &exitError{exitConflict, fmt.Errorf("%s is stored, and differs: weft diff shows how, --replace puts that of the files in its place", differ[0])}
	}
	const most = 5
	if n := len(differ) - most; n > 0 {
		differ = append(differ[:most], fmt.Sprintf("%d more", n))
	}
	return &exitError{exitConflict, fmt.Errorf("%s are stored, and differ: weft diff shows how, --replace puts those of the files in their place", strings.Join(differ, ", "))}
}

package main

import (
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

func newDelete() *cobra.Command {
	var files []string
	var dryRun, missingOK bool
	var at reach
	var in scope
	var w waiting
	cmd := &cobra.Command{
		Use:   "delete {KIND/NAME... | KIND NAME... | -f FILE...}",
		Short: "Remove objects from the database",
		Long: `Remove objects: all of them or, if one may not go, none.

Objects are named as KIND/NAME, of the tenant that --tenant says, as
KIND/TENANT/NAME, which is how weft get -o name prints them, or by the files
that they were applied from. An object that others refer to stays until they go
too: name them in the same command.`,
		Example: `  # One object, in both ways of writing it
  weft delete binding/app2 --tenant acme
  weft delete binding/globex/app2 vport/globex/app2

  # What was applied from a file
  weft delete -f examples/reference.yaml --ignore-not-found

  # All bindings of a tenant
  weft get bindings --tenant acme -o name | xargs weft delete`,
		RunE: func(cmd *cobra.Command, args []string) error {
			refs, err := in.refs(args)
			if err != nil {
				return err
			}
			if len(args) == 0 && len(files) == 0 {
				return usage(errors.New("nothing is named; use KIND/NAME, KIND/TENANT/NAME or -f FILE"))
			}
			if len(files) > 0 {
				objects, err := readObjects(cmd.InOrStdin(), files)
				if err := report(cmd, err); err != nil {
					return err
				}
				for _, o := range objects {
					if !slices.Contains(refs, o.Ref()) {
						refs = append(refs, o.Ref())
					}
				}
			}
			if missingOK {
				if refs, err = at.present(cmd, refs); err != nil || len(refs) == 0 {
					return err
				}
			}
			return at.change(cmd, &w, change{del: refs, dryRun: dryRun})
		},
	}
	cmd.Flags().StringArrayVarP(&files, "file", "f", nil, "delete the objects that are in `FILE` (YAML or JSON, a directory, or - for standard input)")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "check and say what would be done, without doing it")
	cmd.Flags().BoolVar(&missingOK, "ignore-not-found", false, "leave out objects that are not there, rather than fail")
	in.tenantFlag(cmd)
	w.flags(cmd)
	at.flags(cmd)
	in.login = at.tenant
	cmd.ValidArgsFunction = completeObjects(&at, &in, false)
	return cmd
}

// present returns the objects that are stored.
func (r *reach) present(cmd *cobra.Command, refs []topology.Ref) ([]topology.Ref, error) {
	var there []topology.Ref
	err := r.with(cmd.Context(), func(n network) error {
		for _, r := range refs {
			switch _, _, err := n.Get(cmd.Context(), r); {
			case err == nil:
				there = append(there, r)
			case !errors.Is(err, state.ErrNotFound):
				return err
			}
		}
		return nil
	})
	return there, err
}

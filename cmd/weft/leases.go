package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
	"github.com/weft-sdn/weft/view"
)

func newLeases() *cobra.Command {
	var at reach
	var in scope
	var out output
	cmd := &cobra.Command{
		Use:   "leases [NAME]...",
		Short: "Show the addresses that DHCP has leased",
		Long: `Show the addresses that hosts have from DHCP resources, one a line: those of
the resources that are named, or of all that the tenant has.

  bound      a host has it
  offered    it is kept for a host that has yet to take it
  declined   a host found that another has it: nobody gets it for a while

LEFT is the time until the address is free, unless the host renews it: somewhat
more than the host itself counts on.`,
		Example: `  weft apply -f examples/dhcp.yaml
  weft leases --tenant office
  weft leases lan --tenant office -o json

  # Who has this address?
  weft leases -A | grep 10.1.0.104`,
		RunE: func(cmd *cobra.Command, args []string) error {
			rows, over, err := remoteLeases(cmd, &at, &in, args)
			if !over {
				err = at.db.watching(cmd.Context(), func(store *state.Store) (err error) {
					rows, err = leaseRows(cmd, store, &in, args)
					return err
				})
			}
			if err != nil {
				return err
			}
			if err := printLeases(cmd.OutOrStdout(), rows, out.form); err != nil || len(rows) > 0 || out.form != "table" {
				return err
			}
			return sayNone(cmd, "no leases", in.name())
		},
	}
	out.flags(cmd, "table", "json", "yaml", "name")
	in.flags(cmd)
	at.flags(cmd)
	in.login = at.tenant
	return cmd
}

// remoteLeases are leaseRows of the API, if that is where the network is.
func remoteLeases(cmd *cobra.Command, at *reach, in *scope, names []string) (rows []client.Lease, over bool, err error) {
	queries := []url.Values{{"tenant": {in.name()}}}
	if len(names) > 0 {
		queries = nil
	}
	for _, name := range names {
		if !strings.Contains(name, "/") {
			name = in.name() + "/" + name
		}
		queries = append(queries, url.Values{"of": {name}})
	}
	for _, q := range queries {
		page, over, err := viewed[client.Lease](cmd.Context(), at, "leases", q)
		if err != nil || !over {
			return nil, over, err
		}
		rows = append(rows, page.Items...)
	}
	return rows, true, nil
}

// leaseRows are the addresses in use of the resources that are named, or of all of the scope.
func leaseRows(cmd *cobra.Command, store *state.Store, in *scope, names []string) ([]client.Lease, error) {
	var refs []topology.Ref
	for _, name := range names {
		tenant, rest, found := strings.Cut(name, "/")
		if !found {
			tenant, rest = in.name(), name
		}
		refs = append(refs, topology.Ref{Kind: topology.KindDHCP, Tenant: tenant, Name: rest})
	}
	if len(refs) == 0 {
		objects, _, err := store.List(cmd.Context(), topology.KindDHCP, in.name())
		if err != nil {
			return nil, err
		}
		for _, o := range objects {
			refs = append(refs, o.Ref())
		}
	}
	rows := []client.Lease{}
	for _, r := range refs {
		of, err := view.Leases(cmd.Context(), store, []topology.Ref{r})
		if errors.Is(err, state.ErrNotFound) {
			err = missing("%s: is not there", refName(r))
		}
		if err != nil {
			return nil, err
		}
		rows = append(rows, of...)
	}
	return rows, nil
}

func printLeases(w io.Writer, rows []client.Lease, form string) error {
	switch form {
	case "json":
		return printItems(w, rows)
	case "yaml":
		return printYAML(w, rows)
	case "name":
		for _, r := range rows {
			if _, err := fmt.Fprintln(w, r.Address); err != nil {
				return err
			}
		}
		return nil
	}
	var cells [][]string
	for _, r := range rows {
		use := r.Use
		if r.Reserved {
			use += " (reserved)"
		}
		cells = append(cells, []string{r.Resource, r.Address, use, r.MAC, r.VPort, (time.Duration(r.Left) * time.Second).String()})
	}
	return table(w, []string{"RESOURCE", "ADDRESS", "USE", "MAC", "VPORT", "LEFT"}, cells)
}

// dhcpCells are the values of a DHCP resource for columns, and those of the wide form.
func dhcpCells(s *topology.DHCPSpec, wide bool) (row, more []string) {
	var subnets, dns []string
	for _, n := range s.Subnets {
		subnets = append(subnets, n.Prefix.String())
	}
	for _, a := range s.DNS {
		dns = append(dns, a.String())
	}
	lease := time.Duration(s.LeaseTime) * time.Second
	if lease == 0 {
		lease = time.Hour
	}
	return []string{or(addressText(subnets, wide)), fmt.Sprint(len(s.Reservations)), lease.String()}, []string{or(strings.Join(dns, ",")), or(s.Domain)}
}

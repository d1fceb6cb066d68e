package main

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

func newGrant() *cobra.Command {
	var at reach
	var ports, prefixes, quotas []string
	var revoke, dryRun bool
	cmd := &cobra.Command{
		Use:   "grant [TENANT]",
		Short: "Show or change what a tenant has from the provider",
		Long: `Show what tenants have from the provider, or change it: interior ports of others
that a tenant may link its own to, addresses that are leased to it, and how many
objects it may have. It is kept in the tenant's object Tenant, which weft get,
apply and edit know, too; the provider alone may change it.`,
		Example: `  # A port to link to, addresses, and 100 vports at most
  weft grant acme --port provider/outside-core --prefix 203.0.113.0/28 --dry-run
  weft grant acme --quota VPort=100 --quota total=500
  weft grant acme --revoke --quota total

  # Who has what?
  weft grant`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				if len(ports)+len(prefixes)+len(quotas) > 0 {
					return usage(errors.New("to whom? Name a tenant"))
				}
				return at.with(cmd.Context(), func(n network) error { return showGrants(cmd, n) })
			}
			return at.with(cmd.Context(), func(n network) error {
				o, revision, err := n.Get(cmd.Context(), topology.TenantRef(args[0]))
				if errors.Is(err, state.ErrNotFound) {
					o = &topology.Object{APIVersion: topology.APIVersion, Kind: topology.KindTenant, Metadata: topology.Metadata{Name: args[0], Tenant: args[0]}, Spec: &topology.TenantSpec{}}
					revision, err = 0, nil
				}
				if err != nil {
					return err
				}
				if len(ports)+len(prefixes)+len(quotas) == 0 {
					return printGrants(cmd, []*topology.Object{o})
				}
				spec, err := granted(o.Spec.(*topology.TenantSpec), revoke, ports, prefixes, quotas)
				if err != nil {
					return usage(err)
				}
				changed := *o
				changed.Spec = spec
				c := change{put: []*topology.Object{&changed}, dryRun: dryRun}
				if revision != 0 {
					c.at = map[topology.Ref]int64{o.Ref(): revision}
				}
				return makeChange(cmd, n, new(waiting), c)
			})
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&ports, "port", nil, "a `TENANT/NAME` of another's interior port; more may follow")
	f.StringSliceVar(&prefixes, "prefix", nil, "addresses as a `PREFIX`; more may follow")
	f.StringSliceVar(&quotas, "quota", nil, "`KIND=NUMBER` of objects, or total=NUMBER; with --revoke KIND alone; more may follow")
	f.BoolVar(&revoke, "revoke", false, "take it away")
	f.BoolVar(&dryRun, "dry-run", false, "check and say what would be done, without doing it")
	at.flags(cmd)
	cmd.ValidArgsFunction = completeTenants(&at)
	return cmd
}

// granted is what a tenant has after a change.
func granted(was *topology.TenantSpec, revoke bool, ports, prefixes, quotas []string) (*topology.TenantSpec, error) {
	s := &topology.TenantSpec{Ports: slices.Clone(was.Ports), Prefixes: slices.Clone(was.Prefixes), Quota: maps.Clone(was.Quota)}
	if s.Quota == nil {
		s.Quota = map[string]uint32{}
	}
	for _, p := range ports {
		s.Ports = withOrWithout(s.Ports, p, revoke)
	}
	for _, text := range prefixes {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("--prefix %q: is no prefix; use one such as 203.0.113.0/28 or 2001:db8:1::/48", text)
		}
		s.Prefixes = withOrWithout(s.Prefixes, p, revoke)
	}
	for _, text := range quotas {
		name, number, given := strings.Cut(text, "=")
		if name != topology.QuotaTotal {
			k, err := parseKind(name)
			if err != nil {
				return nil, fmt.Errorf("--quota %w, or total", err)
			}
			name = string(k)
		}
		if revoke {
			delete(s.Quota, name)
			continue
		}
		n, err := strconv.ParseUint(number, 10, 32)
		if err != nil || !given {
			return nil, fmt.Errorf("--quota %q: is not KIND=NUMBER; use one such as VPort=100 or total=500", text)
		}
		s.Quota[name] = uint32(n)
	}
	if len(s.Quota) == 0 {
		s.Quota = nil
	}
	return s, nil
}

func withOrWithout[T comparable](all []T, v T, without bool) []T {
	all = slices.DeleteFunc(all, func(x T) bool { return x == v })
	if without {
		return all
	}
	return append(all, v)
}

func showGrants(cmd *cobra.Command, n network) error {
	all, err := n.List(cmd.Context(), []topology.Kind{topology.KindTenant}, "")
	if err != nil {
		return err
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(cmd.ErrOrStderr(), "no grants")
		return err
	}
	return printGrants(cmd, all)
}

func printGrants(cmd *cobra.Command, all []*topology.Object) error {
	var rows [][]string
	for _, o := range all {
		s := o.Spec.(*topology.TenantSpec)
		var quota []string
		for _, k := range slices.Sorted(maps.Keys(s.Quota)) {
			quota = append(quota, fmt.Sprintf("%s=%d", k, s.Quota[k]))
		}
		rows = append(rows, []string{o.Metadata.Name, or(strings.Join(s.Ports, ",")), or(strings.ReplaceAll(list(s.Prefixes), ", ", ",")), or(strings.Join(quota, ","))})
	}
	return table(cmd.OutOrStdout(), []string{"TENANT", "PORTS", "PREFIXES", "QUOTA"}, rows)
}

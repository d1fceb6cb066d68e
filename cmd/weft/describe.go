package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/topology"
)

func newDescribe() *cobra.Command {
	var at reach
	var in scope
	cmd := &cobra.Command{
		Use:   "describe {KIND NAME... | KIND/NAME...}",
		Short: "Show objects with all that belongs to them",
		Long: `Show objects as they are stored, and what belongs to them: where a vport is
bound and how its edge stands, how the members of a pool and BGP sessions are,
how many packets met each rule of a chain (over all edges, a few seconds ago),
which rates are set of a vport or its link, how edges share that one and what
was dropped for them, which parts an object is made into, which objects refer
to it, and what edges can't do of it.`,
		Example: `  weft describe vport acme/web
  weft describe router/gw --tenant acme
  weft describe chain services --tenant acme`,
		Args: someArgs("KIND NAME or KIND/NAME, such as vport acme/web"),
		RunE: func(cmd *cobra.Command, args []string) error {
			refs, err := in.refs(args)
			if err != nil {
				return err
			}
			return at.with(cmd.Context(), func(n network) error { return describeAll(cmd, &at, n, refs) })
		},
	}
	in.tenantFlag(cmd)
	at.flags(cmd)
	in.login = at.tenant
	cmd.ValidArgsFunction = completeObjects(&at, &in, false)
	return cmd
}

func describeAll(cmd *cobra.Command, at *reach, n network, refs []topology.Ref) error {
	all, err := n.List(cmd.Context(), topology.Kinds(), "")
	if err != nil {
		return err
	}
	set, err := new(topology.Set).Apply(all, nil)
	if err != nil {
		return err
	}
	rows, err := n.Edges(cmd.Context())
	if status := client.StatusOf(err); status == http.StatusForbidden || status == http.StatusNotFound { // edges are the provider's
		rows, err = nil, nil
	}
	if err != nil {
		return err
	}
	var missing []error
	if refs, err = byID(cmd.Context(), n, refs); err != nil {
		return err
	}
	for i, r := range refs {
		o := set.Get(r)
		if o == nil {
			missing = append(missing, notThere(all, r))
			continue
		}
		if i > 0 {
			fmt.Fprintln(cmd.OutOrStdout())
		}
		if err := describeObject(cmd.OutOrStdout(), rows, set, o); err != nil {
			return err
		}
		if _, is := o.Spec.(*topology.BGPSessionSpec); is {
			how, err := n.Session(cmd.Context(), r.Tenant+"/"+r.Name)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "state     %s\n", how)
		}
		if s, is := o.Spec.(*topology.PoolSpec); is {
			h, err := n.Health(cmd.Context(), o)
			if err != nil {
				return err
			}
			members, _ := memberTexts(s, h, time.Now())
			for _, m := range members {
				fmt.Fprintf(cmd.OutOrStdout(), "member    %s\n", m)
			}
		}
		if r.Kind == topology.KindChain {
			if err := describeHits(cmd, n, o); err != nil {
				return err
			}
		}
		if r.Kind == topology.KindVPort {
			if err := describeRates(cmd, n, at, r.Tenant+"/"+r.Name, liveAt(rows, set, r)); err != nil {
				return err
			}
		}
		describeParts(cmd.OutOrStdout(), all, r)
	}
	return errors.Join(missing...)
}

// describeObject prints an object and what belongs to it.
func describeObject(w io.Writer, rows []client.Edge, set *topology.Set, o *topology.Object) error {
	b, err := asYAML(o)
	if err != nil {
		return err
	}
	r := o.Ref()
	fmt.Fprintf(w, "%s\n%s\n", refName(r), strings.TrimSuffix(string(indent(b)), "\n"))
	users, at := set.Users(r), set.Users(r)
	if s, is := o.Spec.(*topology.BGPSessionSpec); is {
		at = set.Users(o.VPortRef(s.VPort))
	}
	for _, u := range append(at, r) {
		if binding, ok := set.Get(u).Spec.(*topology.BindingSpec); ok {
			how := ""
			if rows != nil {
				how = ", edge " + standing(rows, binding.Edge)
			}
			fmt.Fprintf(w, "bound     %s%s\n", placeText(binding.Edge, binding.Interface, binding.VLAN), how)
		}
	}
	for _, e := range rows {
		for _, lack := range e.Lacks {
			if what, _, _ := strings.Cut(lack, ": "); what == refName(r) {
				fmt.Fprintf(w, "lacking   at edge %s: %s\n", e.ID, strings.TrimPrefix(lack, what+": "))
			}
		}
	}
	for _, u := range users {
		fmt.Fprintf(w, "used by   %s\n", refName(u))
	}
	return nil
}

// describeHits prints how many packets met the rules of a chain.
func describeHits(cmd *cobra.Command, n network, o *topology.Object) error {
	rows, err := n.RuleHits(cmd.Context(), o)
	if err != nil {
		return err
	}
	for _, r := range rows {
		fmt.Fprintf(cmd.OutOrStdout(), "met       %s, %s: %d packets, %d bytes\n", r.Rule, r.Action, r.Packets, r.Bytes)
	}
	return nil
}

// maxParts is how many parts of an object are named.
const maxParts = 16

// describeParts prints the objects that one is made into.
func describeParts(w io.Writer, all []*topology.Object, r topology.Ref) {
	n := 0
	for _, o := range all {
		if o.Status.Of != r.String() {
			continue
		}
		if n++; n <= maxParts {
			fmt.Fprintf(w, "part      %s\n", refName(o.Ref()))
		}
	}
	if n > maxParts {
		fmt.Fprintf(w, "part      and %d more, which weft get all --expand --tenant %s shows\n", n-maxParts, r.Tenant)
	}
}

// liveAt are the edges where a vport is bound, as far as they are there to be asked. Who is told of no edges is told of none here.
func liveAt(rows []client.Edge, set *topology.Set, vport topology.Ref) (edges []string) {
	for _, u := range set.Users(vport) {
		b, is := set.Get(u).Spec.(*topology.BindingSpec)
		if is && slices.ContainsFunc(rows, func(r client.Edge) bool { return r.ID == b.Edge && r.State != client.EdgeAway && r.Status != "" }) {
			edges = append(edges, b.Edge)
		}
	}
	return edges
}

// standing is an edge's state in words.
func standing(rows []client.Edge, id string) string {
	i := slices.IndexFunc(rows, func(r client.Edge) bool { return r.ID == id })
	if i < 0 {
		return client.EdgeAway
	}
	return rows[i].State
}

func indent(text []byte) []byte {
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		b.WriteString("  " + line)
	}
	return []byte(b.String())
}

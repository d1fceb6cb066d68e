package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

func newGet() *cobra.Command {
	var db database
	var in scope
	var out output
	cmd := &cobra.Command{
		Use:   "get {KIND[,KIND]... | all | KIND/NAME...}",
		Short: "Show objects of the database",
		Long: `Show objects as they are stored.

Kinds are fabric, bridge, router, vport and binding, in the singular or plural;
all is every kind. Objects are those of one tenant unless -A is given; a single
one may be named with its tenant, as KIND/TENANT/NAME.

LINK of a vport is its peer, or the edge, interface and VLAN that it is bound
to, as EDGE:INTERFACE.VLAN. -o wide has all addresses.

What -o yaml prints has the ids that the system gave (status.id); it can be
applied again as it is.`,
		Example: `  # The vports of a tenant; and everything, with ids and where vports are
  weft get vports --tenant acme
  weft get all -A -o wide

  # One object, in full
  weft get router/provider/core -o yaml

  # A copy of the network, which weft apply -f takes
  weft get all -A -o yaml`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return db.with(cmd.Context(), func(store *state.Store) error { return get(cmd, store, &in, &out, args) })
		},
	}
	out.flags(cmd, "table", "wide", "json", "yaml", "name")
	in.flags(cmd)
	db.flags(cmd)
	return cmd
}

// get prints the objects that are named, or those of kinds.
func get(cmd *cobra.Command, store *state.Store, in *scope, out *output, args []string) error {
	ctx := cmd.Context()
	if strings.Contains(args[0], "/") {
		refs, err := in.refs(args)
		if err != nil {
			return err
		}
		var found []*topology.Object
		var missing []error
		for _, r := range refs {
			o, _, err := store.Get(ctx, r)
			switch {
			case errors.Is(err, state.ErrNotFound):
				missing = append(missing, fmt.Errorf("%s: is not there", refName(r)))
			case err != nil:
				return err
			default:
				found = append(found, o)
			}
		}
		if len(found) > 0 {
			if err := printFound(cmd.OutOrStdout(), found, store, cmd, out, true, len(refs) == 1); err != nil {
				return err
			}
		}
		return errors.Join(missing...)
	}
	kinds, err := parseKinds(args)
	if err != nil {
		return err
	}
	all, _, err := store.List(ctx, "", in.name())
	if err != nil {
		return err
	}
	found := slices.DeleteFunc(all, func(o *topology.Object) bool { return !slices.Contains(kinds, o.Kind) })
	if len(found) == 0 && (out.form == "table" || out.form == "wide") {
		where := "in any tenant"
		if t := in.name(); t != "" {
			where = "in tenant " + t + "; -A shows those of all tenants"
		}
		_, err := fmt.Fprintf(cmd.ErrOrStderr(), "no such objects %s\n", where)
		return err
	}
	return printFound(cmd.OutOrStdout(), found, store, cmd, out, in.name() == "", false)
}

// parseKinds reads KIND,KIND … or all.
func parseKinds(args []string) ([]topology.Kind, error) {
	var kinds []topology.Kind
	for _, text := range strings.Split(strings.Join(args, ","), ",") {
		if strings.Contains(text, "/") {
			return nil, usage(fmt.Errorf("%q: names an object among kinds; use either", text))
		}
		if text == "all" {
			return topology.Kinds(), nil
		}
		k, err := parseKind(text)
		if err != nil {
			return nil, err
		}
		kinds = append(kinds, k)
	}
	return kinds, nil
}

func printFound(w io.Writer, found []*topology.Object, store *state.Store, cmd *cobra.Command, out *output, tenants, one bool) error {
	switch out.form {
	case "json":
		if one {
			return printJSON(w, found[0])
		}
		return printJSON(w, struct {
			Items []*topology.Object `json:"items"`
		}{append([]*topology.Object{}, found...)})
	case "yaml":
		return printYAML(w, found)
	case "name":
		for _, o := range found {
			if _, err := fmt.Fprintln(w, refName(o.Ref())); err != nil {
				return err
			}
		}
		return nil
	}
	bound, _, err := store.List(cmd.Context(), topology.KindBinding, "")
	if err != nil {
		return err
	}
	return printTables(w, found, placesOf(bound), out.form == "wide", tenants)
}

// placesOf returns where vports are bound, in words.
func placesOf(bindings []*topology.Object) map[topology.Ref]string {
	places := map[topology.Ref]string{}
	for _, o := range bindings {
		s := o.Spec.(*topology.BindingSpec)
		places[o.VPortRef(s.VPort)] = placeText(s.Edge, s.Interface, s.VLAN)
	}
	return places
}

// placeText is an interface of an edge in short: nic1:eth1, or nic1:eth1.100 for a VLAN.
func placeText(edge, iface string, vlan uint16) string {
	text := edge + ":" + iface
	if vlan != 0 {
		text += fmt.Sprintf(".%d", vlan)
	}
	return text
}

// printTables prints one table per kind.
func printTables(w io.Writer, found []*topology.Object, places map[topology.Ref]string, wide, tenants bool) error {
	first := true
	for _, kind := range topology.Kinds() {
		var rows [][]string
		for _, o := range found {
			if o.Kind != kind {
				continue
			}
			row := []string{o.Metadata.Name}
			if tenants {
				row = []string{o.Tenant(), o.Metadata.Name}
			}
			rows = append(rows, append(row, cells(o, places, wide)...))
		}
		if len(rows) == 0 {
			continue
		}
		head := []string{string(kind)}
		if tenants {
			head = []string{"TENANT", string(kind)}
		}
		head[len(head)-1] = strings.ToUpper(head[len(head)-1])
		if !first {
			fmt.Fprintln(w)
		}
		first = false
		if err := table(w, append(head, columns(kind, wide)...), rows); err != nil {
			return err
		}
	}
	return nil
}

func columns(kind topology.Kind, wide bool) []string {
	var head, more []string
	switch kind {
	case topology.KindFabric:
		head, more = []string{"MTU", "ENCAP"}, nil
	case topology.KindChain:
		head, more = []string{"RULES", "DEFAULT"}, []string{"ID"}
	case topology.KindAddressGroup:
		head, more = []string{"ADDRESSES"}, []string{"ID"}
	case topology.KindPortGroup:
		head, more = []string{"PORTS"}, []string{"ID"}
	case topology.KindBridge:
		head, more = []string{"UNKNOWN", "MACS", "NEIGHBOURS"}, []string{"ID"}
	case topology.KindRouter:
		head, more = []string{"ROUTES"}, []string{"ID"}
	case topology.KindVPort:
		head, more = []string{"DEVICE", "LINK", "ADDRESSES"}, []string{"MAC", "MTU", "ID"}
	case topology.KindBinding:
		head = []string{"VPORT", "EDGE", "INTERFACE", "VLAN"}
	}
	if wide {
		return append(append(head, more...), "LABELS")
	}
	return head
}

// cells are an object's values for columns.
func cells(o *topology.Object, places map[topology.Ref]string, wide bool) []string {
	var row, more []string
	id := fmt.Sprint(o.Status.ID)
	switch s := o.Spec.(type) {
	case *topology.FabricSpec:
		family := s.EncapFamily
		if family == "" {
			family = "v6"
		}
		row = []string{number(s.MTU), "IP" + family}
	case *topology.ChainSpec:
		end := s.Default
		if end == "" {
			end = "return"
		}
		row, more = []string{fmt.Sprint(len(s.Rules)), end}, []string{id}
	case *topology.AddressGroupSpec:
		row, more = []string{fmt.Sprint(len(s.Addresses))}, []string{id}
	case *topology.PortGroupSpec:
		row, more = []string{fmt.Sprint(len(s.Ports))}, []string{id}
	case *topology.BridgeSpec:
		mode := s.UnknownUnicast
		if mode == "" {
			mode = "flood"
		}
		row, more = []string{mode, fmt.Sprint(len(s.MACs)), fmt.Sprint(len(s.Neighbours))}, []string{id}
	case *topology.RouterSpec:
		row, more = []string{fmt.Sprint(len(s.Routes))}, []string{id}
	case *topology.VPortSpec:
		link, mac := s.Peer, ""
		if s.IsExterior() {
			link = places[o.Ref()]
		}
		if s.AdminDown {
			link = strings.TrimPrefix(link+" (down)", " ")
		}
		if !s.MAC.IsZero() {
			mac = s.MAC.String()
		}
		addrs := make([]string, len(s.Addresses))
		for i, a := range s.Addresses {
			addrs[i] = a.String()
		}
		row, more = []string{s.Device, or(link), or(addressText(addrs, wide))}, []string{or(mac), number(s.MTU), id}
	case *topology.BindingSpec:
		row = []string{s.VPort, s.Edge, s.Interface, number(s.VLAN)}
	}
	if wide {
		return append(append(row, more...), or(labels(o.Metadata.Labels)))
	}
	return row
}

// addressText is all addresses, or the first one and how many more there are.
func addressText(addrs []string, all bool) string {
	if all || len(addrs) < 2 {
		return strings.Join(addrs, ",")
	}
	return fmt.Sprintf("%s +%d", addrs[0], len(addrs)-1)
}

// number is a value whose zero means the default, or none.
func number(n uint16) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

func labels(m map[string]string) string {
	var words []string
	for k, v := range m {
		words = append(words, k+"="+v)
	}
	slices.Sort(words)
	return strings.Join(words, ",")
}

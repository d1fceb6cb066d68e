package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/topology"
)

func newGet() *cobra.Command {
	var at reach
	var in scope
	var show listing
	var labels selector
	var follow, expand bool
	cmd := &cobra.Command{
		Use:   "get {KIND[,KIND]... | all | KIND/NAME... | KIND NAME...}",
		Short: "Show the objects of networks",
		Long: `Show objects as they are stored.

Kinds are those that weft explain lists, in the singular or plural; all is every
kind. Objects are those of one tenant unless -A is given; a single one may be
named with its tenant, as KIND/TENANT/NAME, or by its id: vport 17. -l keeps
those whose labels are as given: KEY=VALUE, KEY!=VALUE, KEY or !KEY, with commas
between.

Some objects are made into simpler ones: a VLAN-aware bridge, a trunk and its
binding into one object a VLAN, called NAME.VLAN; a FloatingIP, a SNATGateway
and a SecurityGroup into chains and groups, called KIND.NAME and so on, and so
are the chains of the routers and vports that have such. These parts are shown
if they are named, or with --expand.

-w goes on until ctrl-C: it tells of each change which objects were created,
configured or deleted. With -o json it prints a line for each object that is
there, and then for each change; with -o yaml, a document: type is put or
delete, and object what it is now, or was last.

LINK of a vport is its peer, or the edge, interface and VLAN that it is bound
to, as EDGE:INTERFACE.VLAN. -o wide has all addresses.

What -o yaml prints has the ids that the system gave (status.id); it can be
applied again as it is. weft export leaves them out.`,
		Example: `  # The vports of a tenant; and everything, with ids and where vports are
  weft get vports --tenant acme
  weft get all -A -o wide

  # One object, in full
  weft get router/provider/core -o yaml
  weft get router provider/core -o yaml

  # By label, with labels as columns, and in the order of a field
  weft get vports -A -l tier!=front -L tier,app
  weft get vports -A --sort-by spec.device

  # A copy of the network, which weft apply -f takes
  weft get all -A -o yaml`,
		Args: someArgs("kinds, all, or objects such as vport/acme/web"),
		RunE: func(cmd *cobra.Command, args []string) error {
			q, err := newQuery(&in, labels, args)
			q.expand = expand
			if err != nil {
				return err
			}
			return at.with(cmd.Context(), func(n network) error {
				if follow {
					return q.follow(cmd, n, &show)
				}
				return get(cmd, n, q, &show)
			})
		},
	}
	cmd.Flags().VarP(&labels, "selector", "l", "only objects with these `labels`: KEY=VALUE, KEY!=VALUE, KEY or !KEY, with commas between")
	cmd.Flags().BoolVar(&expand, "expand", false, "also show the parts that objects are made into")
	cmd.Flags().BoolVarP(&follow, "watch", "w", false, "go on, and tell what changes")
	show.flags(cmd)
	in.flags(cmd)
	at.flags(cmd)
	in.login = at.tenant
	cmd.ValidArgsFunction = completeObjects(&at, &in, true)
	return cmd
}

// query is which objects are meant.
type query struct {
	kinds  []topology.Kind // unless refs are
	refs   []topology.Ref
	tenant string // empty: all
	labels selector
	expand bool // parts too
}

func newQuery(in *scope, labels selector, args []string) (q query, err error) {
	q = query{tenant: in.name(), labels: labels}
	if named(args) {
		q.refs, err = in.refs(args)
	} else {
		q.kinds, err = parseKinds(args)
	}
	return q, err
}

// find returns the objects that are there, and an error for each that is named and is not.
func (q *query) find(ctx context.Context, n network) (found []*topology.Object, missing, err error) {
	if len(q.refs) > 0 {
		found, missing, err = findAll(ctx, n, q.refs)
		return q.labels.choose(found), missing, err
	}
	all, err := n.List(ctx, q.kinds, q.tenant)
	if err != nil {
		return nil, nil, err
	}
	found = slices.DeleteFunc(all, func(o *topology.Object) bool { return o.Status.Of != "" && !q.expand })
	return q.labels.choose(found), nil, nil
}

// get prints the objects that are named, or those of kinds.
func get(cmd *cobra.Command, n network, q query, show *listing) error {
	found, missing, err := q.find(cmd.Context(), n)
	if err != nil {
		return err
	}
	if len(q.refs) > 0 {
		if len(found) > 0 {
			if err := show.print(cmd, n, found, true, len(q.refs) == 1); err != nil {
				return err
			}
		}
		return missing
	}
	if len(found) == 0 && show.isTable() {
		return sayNone(cmd, "no such objects", q.tenant)
	}
	return show.print(cmd, n, found, q.tenant == "", false)
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
	case topology.KindPool:
		head, more = []string{"METHOD", "MEMBERS", "STATE"}, []string{"STICKY", "MONITOR", "ID"}
	case topology.KindBridge:
		head, more = []string{"UNKNOWN", "MACS", "NEIGHBOURS"}, []string{"VLANS", "ID"}
	case topology.KindRouter:
		head, more = []string{"ROUTES"}, []string{"ID"}
	case topology.KindVPort:
		head, more = []string{"DEVICE", "LINK", "ADDRESSES"}, []string{"MAC", "MTU", "ID"}
	case topology.KindDHCP:
		head, more = []string{"SUBNETS", "RESERVED", "LEASE"}, []string{"DNS", "DOMAIN", "ID"}
	case topology.KindSecurityGroup:
		head = []string{"INGRESS", "EGRESS"}
	case topology.KindFloatingIP:
		head, more = []string{"ADDRESSES", "VPORT", "ROUTER"}, []string{"OUTSIDE", "INSIDE"}
	case topology.KindSNATGateway:
		head, more = []string{"SOURCES", "ADDRESSES", "ROUTER"}, []string{"OUTSIDE"}
	case topology.KindBGPSession:
		head, more = bgpColumns()
	case topology.KindVPN:
		head, more = vpnColumns()
	case topology.KindBinding:
		head = []string{"VPORT", "EDGE", "INTERFACE", "VLAN"}
	case topology.KindTenant:
		head = []string{"PORTS", "PREFIXES", "QUOTA"}
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
	case *topology.PoolSpec:
		row, more = poolCells(s, places[o.Ref()])
		more = append(more, id)
	case *topology.BridgeSpec:
		mode := s.UnknownUnicast
		if mode == "" {
			mode = "flood"
		}
		row, more = []string{mode, fmt.Sprint(len(s.MACs)), fmt.Sprint(len(s.Neighbours))}, []string{or(topology.VLANText(s.VLANs)), id}
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
		row, more = []string{portOfText(s), or(link), or(addressText(addrs, wide))}, []string{or(mac), number(s.MTU), id}
	case *topology.DHCPSpec:
		row, more = dhcpCells(s, wide)
		more = append(more, id)
	case *topology.SecurityGroupSpec, *topology.FloatingIPSpec, *topology.SNATGatewaySpec:
		row, more = convenienceCells(s)
	case *topology.BGPSessionSpec:
		row, more = bgpCells(s)
	case *topology.VPNSpec:
		row, more = vpnCells(s)
	case *topology.BindingSpec:
		row = []string{s.VPort, s.Edge, s.Interface, number(s.VLAN)}
	case *topology.TenantSpec:
		row = []string{or(strings.Join(s.Ports, ",")), or(list(s.Prefixes)), or(quotaText(s))}
	}
	if wide {
		return append(append(row, more...), or(labels(o.Metadata.Labels)))
	}
	return row
}

// portOfText is a vport's device, with the VLANs that it has there.
func portOfText(s *topology.VPortSpec) string {
	switch {
	case s.VLAN != 0:
		return fmt.Sprintf("%s vlan %d", s.Device, s.VLAN)
	case len(s.VLANs) > 0 && s.Native != 0:
		return fmt.Sprintf("%s vlans %s, native %d", s.Device, topology.VLANText(s.VLANs), s.Native)
	case len(s.VLANs) > 0:
		return s.Device + " vlans " + topology.VLANText(s.VLANs)
	}
	return s.Device
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

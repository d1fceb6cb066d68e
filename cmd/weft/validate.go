package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/topology"
)

func newValidate() *cobra.Command {
	var files []string
	cmd := &cobra.Command{
		Use:   "validate -f FILE [FILE]...",
		Short: "Check a network's objects and list them",
		Long: `Check a network's objects: their form, their values and what they refer to.

All files together are one network: an object in one may refer to an object in
another. If all is well, the objects are listed and the exit status is 0; what
does less than it seems to say is warned of.
Otherwise every error is printed, one a line, with file, line, object, field,
the value that was found and what would do; the exit status is 1. Nothing is
stored or sent.`,
		Example: `  weft validate -f examples/reference.yaml

  # One network from several files, one of them from standard input
  generate-tenants | weft validate -f provider.yaml -f -
  weft validate -f network/*.yaml

  # What an error looks like
  #   net.yaml:12: vport acme/app1: spec.device: "bridge/ap" is no device; use …`,
		RunE: func(cmd *cobra.Command, more []string) error {
			set, err := loadNetwork(cmd.InOrStdin(), append(files, more...))
			if err := report(cmd, err); err != nil {
				return err
			}
			return printObjects(cmd.OutOrStdout(), set)
		},
	}
	networkFlags(cmd, &files)
	return cmd
}

// report prints the errors of a network as they are, without a prefix, so that editors find file and line.
func report(cmd *cobra.Command, err error) error {
	var list topology.Errors
	if !errors.As(err, &list) {
		return err
	}
	fmt.Fprintln(cmd.ErrOrStderr(), list)
	return &exitError{statusOf(err), errReported}
}

func printObjects(w io.Writer, set *topology.Set) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	n := set.Len()
	fmt.Fprintln(t, "KIND\tNAME\tWHAT")
	for _, o := range set.All() {
		if o.Status.Of != "" {
			n--
			continue
		}
		name := o.Tenant() + "/" + o.Metadata.Name
		fmt.Fprintf(t, "%s\t%s\t%s\n", o.Kind, name, describe(o))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	text := fmt.Sprintf("%d objects, all valid\n", n)
	if n == 1 {
		text = "1 object, valid\n"
	}
	for _, warning := range set.RateWarnings(set.All()) {
		text += "warning: " + warning.Error() + "\n"
	}
	_, err := io.WriteString(w, text)
	return err
}

// describe returns an object's spec in a few words.
func describe(o *topology.Object) string {
	switch s := o.Spec.(type) {
	case *topology.FabricSpec:
		return describeFabric(s)
	case *topology.BridgeSpec:
		mode := s.UnknownUnicast
		if mode == "" {
			mode = "flood"
		}
		text := fmt.Sprintf("unknown unicast: %s, %d MACs and %d neighbours seeded", mode, len(s.MACs), len(s.Neighbours))
		if len(s.VLANs) > 0 {
			text = "VLANs " + topology.VLANText(s.VLANs) + ", " + text
		}
		return text
	case *topology.RouterSpec:
		return fmt.Sprintf("%d routes", len(s.Routes))
	case *topology.VPortSpec:
		return describeVPort(s)
	case *topology.PoolSpec:
		row, _ := poolCells(s, "")
		return row[1] + " members, by " + row[0]
	case *topology.SecurityGroupSpec:
		return "members are sent: " + ruleCount(s.Ingress, "answers alone") + "; send: " + ruleCount(s.Egress, "all")
	case *topology.FloatingIPSpec:
		return list(s.Addresses) + " for " + s.VPort + " at " + s.Router
	case *topology.SNATGatewaySpec:
		if len(s.Addresses) == 0 {
			return list(s.Sources) + " behind the ports of " + s.Router
		}
		return list(s.Sources) + " behind " + list(s.Addresses) + " at " + s.Router
	case *topology.DHCPSpec:
		row, _ := dhcpCells(s, true)
		return row[0] + ", " + row[1] + " reserved, leases of " + row[2]
	case *topology.BGPSessionSpec:
		row, _ := bgpCells(s)
		return fmt.Sprintf("AS %s to AS %s at %s by %s, %s", row[1], row[3], row[2], row[0], row[4])
	case *topology.VPNSpec:
		row, _ := vpnCells(s)
		return fmt.Sprintf("%s to %s, held by %s, by %s", row[0], row[3], row[1], row[2])
	case *topology.BindingSpec:
		at := s.VPort + " at " + s.Edge + ", interface " + s.Interface
		if s.VLAN != 0 {
			at += fmt.Sprintf(", VLAN %d", s.VLAN)
		}
		return at
	case *topology.TenantSpec:
		return fmt.Sprintf("%d ports to link to, %d prefixes, quota %s", len(s.Ports), len(s.Prefixes), or(quotaText(s)))
	}
	return ""
}

// quotaText is what a tenant may have at most, by kind: VPort 100,total 500.
func quotaText(s *topology.TenantSpec) string {
	var words []string
	for _, kind := range slices.Sorted(maps.Keys(s.Quota)) {
		words = append(words, fmt.Sprintf("%s=%d", kind, s.Quota[kind]))
	}
	return strings.Join(words, ",")
}

func describeFabric(s *topology.FabricSpec) string {
	mtu, family := "default", "v6"
	if s.MTU != 0 {
		mtu = fmt.Sprint(s.MTU)
	}
	if s.EncapFamily != "" {
		family = s.EncapFamily
	}
	return "mtu " + mtu + ", encapsulation over IP" + family
}

func describeVPort(s *topology.VPortSpec) string {
	words := []string{portOfText(s)}
	if s.IsExterior() {
		words = append(words, "exterior")
	} else {
		words = append(words, "to "+s.Peer)
	}
	if !s.MAC.IsZero() {
		words = append(words, s.MAC.String())
	}
	for _, a := range s.Addresses {
		words = append(words, a.String())
	}
	if s.AdminDown {
		words = append(words, "down")
	}
	return strings.Join(words, " ")
}

package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
	"github.com/weft-sdn/weft/vpn"
)

func newVPNExport() *cobra.Command {
	var db database
	var in scope
	var peer string
	var newKey bool
	cmd := &cobra.Command{
		Use:   "export NAME --peer PEER [--new-key]",
		Short: "Write the file of a VPN's remote end: wg-quick, OpenVPN or swanctl",
		Long: `Write the file of a VPN's remote end: keys, addresses, where this end is, and what
it may send and is sent. It is for wg-quick, or, by the VPN's type, the profile of
an OpenVPN or the swanctl.conf of a strongSwan.

The remote end's private key is its own: the file names the public key that it
is of. --new-key makes a pair, has the VPN know the public key in place of the
one before, and writes the private key into the file: this once, it is kept
nowhere. Who has the old one can't connect any more.`,
		Example: `  weft vpn export acme/office --peer office

  # For a new remote end
  weft vpn export acme/office --peer office --new-key > office.conf`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ref := vpnRef(&in, args[0])
			return db.with(cmd.Context(), func(store *state.Store) error {
				r, err := readVPN(cmd, store, ref)
				if err != nil {
					return err
				}
				private := ""
				if newKey {
					if _, err := vpn.Export(r, peer, ""); err != nil {
						return err // before the peer's old key is none any more
					}
					key, public, err := vpn.NewPeerKey(r.Site.Spec.TypeOr(), peer)
					if err != nil {
						return err
					}
					if err := putPeerKey(cmd, store, ref, peer, public); err != nil {
						return err
					}
					private = key
				}
				text, err := vpn.Export(r, peer, private)
				if err == nil {
					_, err = fmt.Fprint(cmd.OutOrStdout(), text)
				}
				return err
			})
		},
	}
	cmd.Flags().StringVar(&peer, "peer", "", "the `name` of the remote end among the VPN's peers")
	cmd.Flags().BoolVar(&newKey, "new-key", false, "make a key for the remote end")
	_ = cmd.MarkFlagRequired("peer")
	in.tenantFlag(cmd)
	db.flags(cmd)
	return cmd
}

func readVPN(cmd *cobra.Command, store *state.Store, ref topology.Ref) (state.VPNRecord, error) {
	all, err := store.VPNs(cmd.Context())
	if err != nil {
		return state.VPNRecord{}, err
	}
	r, there := all[ref.Tenant+"/"+ref.Name]
	if !there || r.Site == nil {
		return state.VPNRecord{}, missing("%v: is not there", ref)
	}
	return r, nil
}

// putPeerKey has a VPN know a peer by another key, and leaves the rest of it as it is then.
func putPeerKey(cmd *cobra.Command, store *state.Store, ref topology.Ref, peer, public string) error {
	_, err := store.Edit(cmd.Context(), state.Edit{Plan: func(c *state.Catalogue) ([]*topology.Object, []topology.Ref, error) {
		o := c.Set.Get(ref)
		if o == nil {
			return nil, nil, missing("%v: is not there", ref)
		}
		spec := *o.Spec.(*topology.VPNSpec)
		spec.Peers = slices.Clone(spec.Peers)
		at := slices.IndexFunc(spec.Peers, func(p topology.VPNPeerSpec) bool { return p.Name == peer })
		if at < 0 {
			return nil, nil, fmt.Errorf("%v has no peer %q", ref, peer)
		}
		spec.Peers[at].PublicKey = public
		next := *o
		next.Spec, next.Status = &spec, topology.Status{}
		return []*topology.Object{&next}, nil, nil
	}})
	return err
}

package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
	"github.com/weft-sdn/weft/view"
	"github.com/weft-sdn/weft/vpn"
)

// newVPN is the parent of commands about VPNs.
func newVPN() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "vpn",
		Short: "Show VPNs, and what their remote ends need",
		Long: `Show VPNs: which edge holds each, and how its peers are. And write what a remote
end needs. docs/vpn.md says how VPNs work.`,
		Example: `  # How are all VPNs?
  weft vpn status`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newVPNStatus(), newVPNExport())
	return cmd
}

// vpnRef is the VPN that an argument names: NAME, or TENANT/NAME.
func vpnRef(in *scope, name string) topology.Ref {
	tenant, short, found := strings.Cut(name, "/")
	if !found {
		tenant, short = cmp.Or(in.name(), topology.DefaultTenant), name
	}
	return topology.Ref{Kind: topology.KindVPN, Tenant: tenant, Name: short}
}

func newVPNStatus() *cobra.Command {
	var q flowQuery
	var db database
	var in scope
	var out output
	cmd := &cobra.Command{
		Use:   "status [NAME]... [--agent ADDRESS]",
		Short: "Show which edges hold VPNs, and how their peers are",
		Long: `Show which edges hold VPNs, and how their peers are. The database knows the
holders; their agents are asked. --agent asks one directly.

  STATE      up: a peer has answered within three minutes, or, of OpenVPN and
             IPsec, is connected; calling: none has;
             down: no edge holds it. Why is below the table
  HOLDER     the edge that has it now, SINCE then
  HANDSHAKE  how long ago the peer and this end last agreed on keys. While
             packets go, two minutes at most
  RCVD SENT  encrypted bytes, since the holder took it`,
		Example: `  weft vpn status
  weft vpn status acme/office -o wide

  # Which are not up?
  weft vpn status -o json | jq '.vpns[] | select(.state != "up") | .vpn'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			for i := range args {
				args[i] = vpnRef(&in, args[i]).Tenant + "/" + vpnRef(&in, args[i]).Name
			}
			list, err := collectVPNs(cmd, &q, &db, args)
			if err != nil {
				return err
			}
			if err := printVPNs(cmd.OutOrStdout(), list, out.form, time.Now()); err != nil {
				return err
			}
			return unanswered(cmd, list.Errors)
		},
	}
	out.flags(cmd, "table", "wide", "json")
	q.agentFlags(cmd.Flags(), "ask the agent at `ADDRESS`: HOST:PORT, https://HOST:PORT or unix:/PATH")
	cmd.Flags().DurationVar(&q.timeout, "timeout", 15*time.Second, "how long to wait for an agent's answer")
	in.tenantFlag(cmd)
	db.flags(cmd)
	return cmd
}

// collectVPNs tells how VPNs are, one answer each: that of the holder, or else that nobody has it, and why. Of names alone, if there are any.
func collectVPNs(cmd *cobra.Command, q *flowQuery, db *database, names []string) (agent.VPNList, error) {
	records, asks := map[string]state.VPNRecord{}, map[string]string{}
	if q.agent != "" {
		asks[""] = q.agent
	} else if err := db.watching(cmd.Context(), func(store *state.Store) (err error) {
		if asks, err = q.agents(store.View()); err == nil {
			records, err = store.VPNs(cmd.Context())
		}
		return err
	}); err != nil {
		return agent.VPNList{}, err
	}
	list := agent.VPNList{VPNs: []agent.VPNStatus{}}
	answers, errs := view.Ask(cmd.Context(), q.asker(), asks, askVPNs)
	list.Errors = errs
	var told []agent.VPNStatus
	for _, a := range answers {
		told, list.Errors = append(told, a.VPNs...), append(list.Errors, a.Errors...)
	}
	for name, r := range records {
		if r.Site != nil {
			list.VPNs = append(list.VPNs, ofVPN(name, r, told))
		}
	}
	if q.agent != "" {
		list.VPNs = told
	}
	if at := slices.IndexFunc(names, func(n string) bool {
		return !slices.ContainsFunc(list.VPNs, func(v agent.VPNStatus) bool { return v.VPN == n })
	}); at >= 0 {
		return list, missing("vpn %s: is not there", names[at])
	}
	list.VPNs = slices.DeleteFunc(list.VPNs, func(v agent.VPNStatus) bool { return len(names) > 0 && !slices.Contains(names, v.VPN) })
	slices.SortFunc(list.VPNs, func(a, b agent.VPNStatus) int { return cmp.Or(cmp.Compare(a.VPN, b.VPN), cmp.Compare(a.Edge, b.Edge)) })
	return list, nil
}

func askVPNs(ctx context.Context, c *agent.Client, edge string) (agent.VPNList, error) {
	return c.VPNs(ctx, edge)
}

// ofVPN is how a VPN is, of what edges told.
func ofVPN(name string, r state.VPNRecord, told []agent.VPNStatus) agent.VPNStatus {
	var why []string
	for _, t := range told {
		if t.VPN != name {
			continue
		}
		if r.Lock != nil && t.Edge == r.Lock.Edge {
			return t
		}
		if t.Problem != "" {
			why = append(why, "edge "+t.Edge+": "+t.Problem)
		}
	}
	s := agent.VPNStatus{Status: vpn.Status{VPN: name, Type: r.Site.Spec.TypeOr(), VPort: r.Site.Private.Name, State: vpn.Down, MTU: r.Site.Spec.MTUOr(), Transport: vpn.TransportOf(r.Site)}}
	if r.Key != nil {
		s.PublicKey = r.Key.Public
	}
	switch {
	case r.Lock != nil:
		s.Edge, s.Holder, s.Since, s.Problem = r.Lock.Edge, r.Lock.Edge, r.Lock.Since, "the agent of edge "+r.Lock.Edge+" does not tell"
	case len(why) > 0:
		s.Problem = "no edge holds it: " + strings.Join(why, "; ")
	default:
		s.Problem = "no edge holds it: none that may have it is live (" + cmp.Or(strings.Join(r.Site.Spec.Edges, ", "), "any") + ")"
	}
	return s
}

func printVPNs(w io.Writer, list agent.VPNList, form string, now time.Time) error {
	if form == "json" {
		return printJSON(w, list)
	}
	head := []string{"VPN", "STATE", "HOLDER", "SINCE", "PEER", "ENDPOINT", "HANDSHAKE", "RCVD", "SENT"}
	if form == "wide" {
		head = append(head, "VPORT", "TRANSPORT", "MTU", "TAKEOVERS", "DROPS", "PUBLIC-KEY")
	}
	var rows [][]string
	var reasons []string
	for i := range list.VPNs {
		s := &list.VPNs[i]
		peers := s.Peers
		if len(peers) == 0 {
			peers = []vpn.Peer{{}}
		}
		for j := range peers {
			rows = append(rows, vpnRow(s, &peers[j], form == "wide", now))
		}
		if s.Problem != "" {
			reasons = append(reasons, s.VPN+": "+s.Problem)
		}
		for _, p := range s.Peers {
			if p.Problem != "" {
				reasons = append(reasons, s.VPN+": peer "+p.Name+": "+p.Problem)
			}
		}
	}
	if err := table(w, head, rows); err != nil || len(reasons) == 0 {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", strings.Join(reasons, "\n"))
	return err
}

func vpnRow(s *agent.VPNStatus, p *vpn.Peer, wide bool, now time.Time) []string {
	ago := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return age(now.Sub(t))
	}
	endpoint, received, sent := "-", "-", "-"
	if p.Endpoint.IsValid() {
		endpoint = p.Endpoint.String()
	}
	if p.Name != "" {
		received, sent = fmt.Sprint(p.Received), fmt.Sprint(p.Sent)
	}
	row := []string{s.VPN, string(s.State), or(s.Holder), ago(s.Since), or(p.Name), endpoint, ago(p.Handshake), received, sent}
	if wide {
		var drops uint64
		for _, d := range s.Drops.All() {
			drops += d.Packets
		}
		row = append(row, s.VPort, s.Transport, fmt.Sprint(s.MTU), fmt.Sprint(s.Takeovers), fmt.Sprint(drops), or(s.PublicKey))
	}
	return row
}

func vpnColumns() (head, more []string) {
	return []string{"VPORT", "EDGES", "TRANSPORT", "PEERS"}, []string{"LISTEN", "MTU", "NETWORKS"}
}

// vpnCells are the values for columns of a VPN.
func vpnCells(s *topology.VPNSpec) (row, more []string) {
	names := make([]string, len(s.Peers))
	for i := range s.Peers {
		names[i] = s.Peers[i].Name
	}
	listen := "-"
	if s.ListenPort != 0 {
		listen = fmt.Sprint(s.ListenPort)
	}
	return []string{s.VPort, cmp.Or(strings.Join(s.Edges, ","), "any"), cmp.Or(s.PublicPort, "node"), strings.Join(names, ",")},
		[]string{listen, fmt.Sprint(s.MTUOr()), fmt.Sprint(len(s.Networks))}
}

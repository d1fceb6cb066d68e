package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
	"github.com/weft-sdn/weft/view"
)

const bgpLong = `Show the BGP sessions of routers: how they are, and what neighbours tell. The
agents of the edges where their vports live carry them out, and are asked; where
they are, the database knows. --agent asks one directly.

docs/bgp.md has an example with two upstreams.`

// newBGP is the parent of commands about sessions of routing protocols.
func newBGP() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bgp",
		Short: "Show BGP sessions of routers, and what neighbours tell",
		Long:  bgpLong,
		Example: `  # How are all sessions?
  weft bgp summary`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBGPSummary(), newBGPNeighbors(), newBGPRoutes(), newBGPRPKI())
	return cmd
}

// bgpQuery is which sessions are asked for, and whom.
type bgpQuery struct {
	flowQuery
	in scope
	at reach
}

func (q *bgpQuery) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&q.edges, "edge", nil, "sessions at `EDGE` alone; more may follow")
	q.agentFlags(f, "ask the agent at `ADDRESS`: HOST:PORT, https://HOST:PORT or unix:/PATH")
	f.DurationVar(&q.timeout, "timeout", 15*time.Second, "how long to wait for an agent's answer")
	q.at.flags(cmd)
	q.in.login = q.at.tenant
}

// named is a session's name with its tenant.
func (q *bgpQuery) named(name string) string {
	if strings.Contains(name, "/") {
		return name
	}
	return q.in.name() + "/" + name
}

// complete lists the names of sessions for shells.
func (q *bgpQuery) complete(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, o := range listFor(cmd, &q.at, []topology.Kind{topology.KindBGPSession}, "") {
		names = append(names, o.Metadata.Tenant+"/"+o.Metadata.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// wanted reads which sessions there are to be; of names alone, if there are any.
func (q *bgpQuery) wanted(cmd *cobra.Command, names []string) (all []view.WantedSession, err error) {
	err = q.at.db.watching(cmd.Context(), func(store *state.Store) error {
		if _, err := q.agents(store.View()); err != nil { // of edges that are named
			return err
		}
		all = view.WantedSessions(store.View())
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if !slices.ContainsFunc(all, func(w view.WantedSession) bool { return w.Session == name }) {
			var others []string
			for _, w := range all {
				others = append(others, w.Session)
			}
			return nil, missing("bgpsession %s: is not there; there is %s", name, cmp.Or(shortList(others), "none"))
		}
	}
	return slices.DeleteFunc(all, func(w view.WantedSession) bool {
		return len(names) > 0 && !slices.Contains(names, w.Session) || len(q.edges) > 0 && !slices.Contains(q.edges, w.Edge)
	}), nil
}

// collect asks how sessions are: those that are named, else all.
func (q *bgpQuery) collect(cmd *cobra.Command, names []string) (agent.BGPList, error) {
	list := agent.BGPList{Sessions: []agent.BGPSession{}}
	if q.agent != "" {
		asks, err := q.whom(cmd, &q.at.db)
		if err != nil {
			return list, err
		}
		answers, failed := view.Ask(cmd.Context(), q.asker(), asks, view.AskBGP)
		for _, a := range answers {
			list.Sessions, list.Errors = append(list.Sessions, a.Sessions...), append(list.Errors, a.Errors...)
		}
		list.Sessions = slices.DeleteFunc(list.Sessions, func(s agent.BGPSession) bool { return len(names) > 0 && !slices.Contains(names, s.Session) })
		list.Errors = append(list.Errors, failed...)
		if len(names) > 0 && len(list.Sessions)+len(list.Errors) == 0 {
			return list, fmt.Errorf("agent at %s: no edge of it has session %s", q.agent, strings.Join(names, ", "))
		}
		return list, nil
	}
	rows, over, err := viewed[agent.BGPSession](cmd.Context(), &q.at, "sessions", nil)
	if over {
		if err != nil {
			return list, err
		}
		list.Sessions, list.Errors = atEdges(rows.Items, q.edges, func(s *agent.BGPSession) string { return s.Edge }), edgeErrors(rows.Errors)
		list.Sessions, err = namedSessions(list.Sessions, names)
		return list, err
	}
	wanted, err := q.wanted(cmd, names)
	if err != nil {
		return list, err
	}
	list.Sessions, list.Errors = view.Told(cmd.Context(), q.asker(), wanted)
	return list, nil
}

// namedSessions are those that are named; all, if none is.
func namedSessions(all []agent.BGPSession, names []string) ([]agent.BGPSession, error) {
	for _, name := range names {
		if !slices.ContainsFunc(all, func(s agent.BGPSession) bool { return s.Session == name }) {
			return nil, missing("bgpsession %s: is not there", name)
		}
	}
	return slices.DeleteFunc(all, func(s agent.BGPSession) bool { return len(names) > 0 && !slices.Contains(names, s.Session) }), nil
}

// sessionState says how a session is, in one line.
func sessionState(ctx context.Context, v *state.View, name string) string {
	var q flowQuery
	q.agentFlags(pflag.NewFlagSet("", pflag.ContinueOnError), "") // certificates as the environment has them
	q.timeout = askState
	wanted := slices.DeleteFunc(view.WantedSessions(v), func(w view.WantedSession) bool { return w.Session != name })
	sessions, _ := view.Told(ctx, q.asker(), wanted)
	if len(sessions) == 0 {
		return "not known: the database does not have the router's port"
	}
	return sessionText(&sessions[0])
}

// sessionText is how a session is, in one line.
func sessionText(s *agent.BGPSession) string {
	text := stateText(s)
	if s.Problem == "" && !s.Since.IsZero() {
		text += " for " + age(time.Since(s.Since))
	}
	if s.State == bgp.Established {
		text += fmt.Sprintf(", %d prefixes received, %d are routes, %d told", s.Received, s.Routes, s.Advertised)
	}
	if why := problemText(s); why != "" {
		text += ": " + why
	}
	return text
}

// askState is how long an agent has to say how a session is that is described.
const askState = 3 * time.Second

// find finds the agent that carries a session out.
func (q *bgpQuery) find(cmd *cobra.Command, name string) (edge, at string, err error) {
	if q.agent != "" {
		if len(q.edges) > 1 {
			return "", "", usage(errors.New("--edge: is given more than once; a session is at one edge"))
		}
		return strings.Join(q.edges, ""), q.agent, nil
	}
	wanted, err := q.wanted(cmd, []string{name})
	switch {
	case err != nil:
		return "", "", err
	case len(wanted) == 0:
		return "", "", fmt.Errorf("bgpsession %s: is not at edge %s", name, strings.Join(q.edges, ", "))
	case wanted[0].Problem != "":
		return "", "", fmt.Errorf("bgpsession %s: is not carried out: %s", name, wanted[0].Problem)
	}
	return wanted[0].Edge, wanted[0].At, nil
}

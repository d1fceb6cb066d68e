package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/view"
)

// routesTime is how long an agent has to list a table of the Internet.
const routesTime = time.Minute

func newBGPRoutes() *cobra.Command {
	var q bgpQuery
	var out output
	var want agent.RouteQuery
	cmd := &cobra.Command{
		Use:   "routes TENANT/NAME [PREFIX | ADDRESS]",
		Short: "Show what a BGP neighbour tells, or is told",
		Long: `Show the prefixes that the neighbour of a session tells, and what becomes of
each; with --sent, those that it is told while the session is up. PREFIX is
meant with what is within it, ADDRESS with what covers it.

  AS-PATH  the nearest AS first; -: it is of the router's own AS
  VERDICT  accepted: a route of the router. Else why not: the import rule that
           denies it, the own AS on the path, a next hop that is not on the
           vport's link
  RPKI     of -o wide: valid, invalid or notFound, as caches say; -: the edge
           has none
  FROM     of what it is told: the entry of the session that has it told, and
           the object that has the address

Which of several sessions' routes to a prefix packets take, weft trace says.`,
		Example: `  weft bgp routes isp/first
  weft bgp routes isp/first 203.0.113.0/24
  weft bgp routes isp/first 2001:db8::1 -o wide

  # What is refused, and why?
  weft bgp routes isp/first --rejected

  # What is it told, and what not, as nobody is there?
  weft bgp routes isp/first --sent
  weft bgp routes isp/first --sent --rejected`,
		Args: func(_ *cobra.Command, args []string) error {
			switch len(args) {
			case 0:
				return errors.New("no session is named; use TENANT/NAME")
			case 1, 2:
				return nil
			}
			return fmt.Errorf("%q: one session and one prefix can be named", args[2])
		},
		ValidArgsFunction: q.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			want.Session = q.named(args[0])
			want.Prefix = strings.Join(args[1:], "")
			if _, err := bgp.ParseChoice(want.Prefix); err != nil {
				return usage(err)
			}
			if list, over, err := q.routesOver(cmd, want); over {
				if err != nil {
					return err
				}
				return printRoutes(cmd.OutOrStdout(), *list, want.Sent, want.Rejected, out.form)
			}
			edge, at, err := q.find(cmd, want.Session)
			if err != nil {
				return err
			}
			want.Edge = edge
			list, err := view.AskOne(cmd.Context(), q.asker(), edge, at, func(ctx context.Context, c *agent.Client, _ string) (agent.RouteList, error) {
				return c.Routes(ctx, want)
			})
			if err != nil {
				return err
			}
			return printRoutes(cmd.OutOrStdout(), list, want.Sent, want.Rejected, out.form)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&want.Sent, "sent", false, "what the neighbour is told")
	f.BoolVar(&want.Rejected, "rejected", false, "only what is no route of the router, and why; with --sent what the neighbour is not told, and why")
	out.flags(cmd, "table", "wide", "json")
	q.in.tenantFlag(cmd)
	q.flags(cmd)
	f.Lookup("timeout").DefValue, q.timeout = routesTime.String(), routesTime
	return cmd
}

// routesOver asks the API, if that is where the network is: over says so.
func (q *bgpQuery) routesOver(cmd *cobra.Command, want agent.RouteQuery) (list *agent.RouteList, over bool, err error) {
	if q.agent != "" {
		return nil, false, nil
	}
	values := url.Values{"of": {want.Session}, "prefix": {want.Prefix}, "limit": {strconv.Itoa(routesPage)}}
	for name, on := range map[string]bool{"sent": want.Sent, "rejected": want.Rejected} {
		if on {
			values.Set(name, "true")
		}
	}
	rows, over, err := viewed[agent.SessionRoute](cmd.Context(), &q.at, "bgp/routes", values)
	if !over || err != nil {
		return nil, over, err
	}
	list = &agent.RouteList{Session: want.Session, Routes: make([]bgp.Route, 0, len(rows.Items))}
	for _, e := range rows.Errors {
		return nil, true, errors.New(e.Error)
	}
	for _, r := range rows.Items {
		list.Edge = r.Edge
		list.Routes = append(list.Routes, r.Route)
	}
	if len(list.Routes) > 0 {
		return list, true, nil
	}
	sessions, _, err := viewed[agent.BGPSession](cmd.Context(), &q.at, "sessions", url.Values{"of": {want.Session}})
	if err == nil && len(sessions.Items) == 0 {
		err = missing("bgpsession %s: is not there", want.Session)
	}
	return list, true, err
}

// routesPage is how many routes the API is asked for at once: the most that it gives, for each page has the edge asked anew.
const routesPage = 100_000

// printRoutes prints what may be a million routes.
func printRoutes(w io.Writer, list agent.RouteList, sent, withheld bool, form string) error {
	if form == "json" {
		return printRoutesJSON(w, list)
	}
	head := []string{"PREFIX", "NEXT-HOP", "AS-PATH", "MED"}
	if form == "wide" {
		head = append(head, "PREF", "ORIGIN")
		if !sent {
			head = append(head, "RPKI")
		}
	}
	switch {
	case !sent:
		head = append(head, "VERDICT")
	case withheld:
		head = append(head, "FROM", "WHY NOT")
	default:
		head = append(head, "FROM")
	}
	return longTable(w, head, len(list.Routes), func(i int) []string { return routeRow(&list.Routes[i], sent, form == "wide") })
}

func routeRow(r *bgp.Route, sent, wide bool) []string {
	via := "-"
	if r.Via.IsValid() {
		via = r.Via.String()
	}
	row := []string{r.Prefix.String(), via, or(strings.Trim(fmt.Sprint(r.ASPath), "[]")), fmt.Sprint(r.MED)}
	if wide {
		pref := "-"
		if r.LocalPref > 0 {
			pref = fmt.Sprint(r.LocalPref)
		}
		row = append(row, pref, r.Origin)
		if !sent {
			row = append(row, or(string(r.RPKI)))
		}
	}
	switch {
	case sent && r.Why != "":
		row = append(row, or(r.From), r.Why)
	case sent:
		row = append(row, or(r.From))
	case r.Why != "":
		row = append(row, r.Why)
	default:
		row = append(row, string(r.Verdict))
	}
	return row
}

// printRoutesJSON prints an object, a route a line.
func printRoutesJSON(w io.Writer, list agent.RouteList) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "{\"edge\": %q, \"session\": %q, \"routes\": [", list.Edge, list.Session)
	for i := range list.Routes {
		if i > 0 {
			b.WriteByte(',')
		}
		line, err := json.Marshal(&list.Routes[i])
		if err != nil {
			return err
		}
		fmt.Fprintf(b, "\n  %s", line)
	}
	b.WriteString("\n]}\n")
	return b.Flush()
}

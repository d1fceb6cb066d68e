package api

import (
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/view"
)

// edgeViewRoutes registers views of what edges and their sessions know.
func (s *Server) edgeViewRoutes() {
	addView(s, "interfaces", access.KindEdge, "Interfaces of edges' switches, as these tell by gNMI", func(ctx context.Context, a *viewing) ([]agent.Interface, []agent.EdgeError, error) {
		rows, _, failed := s.interfaces(ctx, a)
		return rows, failed, nil
	})
	addView(s, "telemetry", access.KindEdge, "How edges' switches are asked for their interfaces", func(ctx context.Context, a *viewing) ([]agent.Telemetry, []agent.EdgeError, error) {
		_, rows, failed := s.interfaces(ctx, a)
		return rows, failed, nil
	})
	addView(s, "rpki", access.KindEdge, "RPKI caches that edges ask", func(ctx context.Context, a *viewing) (rows []agent.RPKICache, failed []agent.EdgeError, err error) {
		answers, failed := view.Ask(ctx, s.asker(), view.Agents(a.state), func(ctx context.Context, c *agent.Client, edge string) (agent.RPKIList, error) {
			return c.RPKI(ctx, edge)
		})
		for _, l := range answers {
			rows, failed = append(rows, l.Caches...), append(failed, l.Errors...)
		}
		return rows, failed, nil
	})
	s.bgpRouteRoute()
	s.usageRoute()
}

// interfaces asks for the interfaces of switches.
func (s *Server) interfaces(ctx context.Context, a *viewing) (rows []agent.Interface, telemetry []agent.Telemetry, failed []agent.EdgeError) {
	answers, failed := view.Ask(ctx, s.asker(), view.Agents(a.state), func(ctx context.Context, c *agent.Client, edge string) (agent.InterfaceList, error) {
		return c.Interfaces(ctx, edge)
	})
	for _, l := range answers {
		rows, telemetry, failed = append(rows, l.Interfaces...), append(telemetry, l.Telemetry...), append(failed, l.Errors...)
	}
	return rows, telemetry, failed
}

type bgpRouteInput struct {
	ViewInput
	Sent     bool   `query:"sent" doc:"What neighbours are told, in place of what they tell"`
	Rejected bool   `query:"rejected" doc:"Only what is no route of the router; with sent, what is not told"`
	Prefix   string `query:"prefix" maxLength:"63" doc:"A prefix, with what is within it, or an address, with what covers it" example:"203.0.113.0/24"`
}

// bgpRouteRoute registers what neighbours of BGP sessions tell, or are told.
func (s *Server) bgpRouteRoute() {
	op := huma.Operation{
		OperationID: "viewBGPRoutes", Method: http.MethodGet, Path: "/v1/bgp/routes", Summary: "What BGP neighbours tell, or are told", Tags: []string{"Views"},
		Description: "Of one session with of=TENANT/NAME, or of all that the caller may see. A session of the provider's is the provider's, and so is what it learns.",
	}
	huma.Register(s.api, op, func(ctx context.Context, in *bgpRouteInput) (*rowsOutput[agent.SessionRoute], error) {
		a, err := s.mayView(ctx, access.KindSession, &in.ViewInput)
		if err != nil {
			return nil, err
		}
		if _, err := bgp.ParseChoice(in.Prefix); err != nil {
			return nil, parameter("prefix", in.Prefix, "is neither a prefix nor an address", "use one such as 203.0.113.0/24 or 2001:db8::1")
		}
		select {
		case s.tables <- struct{}{}:
			defer func() { <-s.tables }()
		case <-ctx.Done():
			return nil, busy("too many read what neighbours tell")
		}
		from, err := a.from()
		if err != nil {
			return nil, err
		}
		rows, failed := s.bgpRoutes(ctx, a, from, agent.RouteQuery{Sent: in.Sent, Rejected: in.Rejected, Prefix: in.Prefix})
		if !a.all {
			c, err := s.catalogue()
			if err != nil {
				return nil, err
			}
			conceal := access.Concealed(identityOf(ctx), c.Set)
			for i := range rows {
				rows[i].From = conceal(rows[i].From)
			}
		}
		return pageFrom(a, from, rows, a.failures(failed)), nil
	})
}

// bgpRoutes asks the edges that carry sessions out, in order of session, until the page has its rows.
func (s *Server) bgpRoutes(ctx context.Context, a *viewing, from int, q agent.RouteQuery) (rows []agent.SessionRoute, failed []agent.EdgeError) {
	p := routePage{skip: from, limit: a.Limit}
	for _, w := range view.WantedSessions(a.state) {
		if p.full() {
			break
		}
		if a.of.Tenant != "" && view.TenantOf(w.Session) != a.of.Tenant || a.Of != "" && w.Session != a.Of {
			continue
		}
		if w.Problem != "" {
			failed = append(failed, agent.EdgeError{Edge: w.Edge, Error: "session " + w.Session + ": " + w.Problem})
			continue
		}
		q.Session, q.Edge = w.Session, w.Edge
		before := p
		if _, err := view.AskOne(ctx, s.asker(), w.Edge, w.At, func(ctx context.Context, c *agent.Client, _ string) (agent.RouteList, error) {
			return c.EachRoute(ctx, q, func(r bgp.Route) bool { return p.take(agent.SessionRoute{Edge: w.Edge, Session: w.Session, Route: r}) })
		}); err != nil {
			p = before
			failed = append(failed, agent.EdgeError{Edge: w.Edge, Error: "session " + w.Session + ": " + err.Error()})
		}
	}
	return p.rows, failed
}

// routePage gathers the rows of a page, and one more, if there is one. There may be a million routes: what is before the page is not kept.
type routePage struct {
	skip, limit int
	rows        []agent.SessionRoute
}

// take takes the next row; false: it was the last that is needed.
func (p *routePage) take(r agent.SessionRoute) bool {
	if p.skip > 0 {
		p.skip--
		return true
	}
	p.rows = append(p.rows, r)
	return !p.full()
}

func (p *routePage) full() bool { return len(p.rows) > p.limit }

type usageInput struct {
	ViewInput
	By string `query:"by" enum:"vport,tenant,link" default:"vport" doc:"Of vports, of tenants, or of links, each direction by the port at its end"`
}

// usageRoute registers what was accounted.
func (s *Server) usageRoute() {
	op := huma.Operation{OperationID: "viewUsage", Method: http.MethodGet, Path: "/v1/usage", Summary: "What was accounted of vports, tenants or links", Tags: []string{"Views"}}
	huma.Register(s.api, op, func(ctx context.Context, in *usageInput) (*rowsOutput[view.UsageRow], error) {
		a, err := s.mayView(ctx, access.KindCounter, &in.ViewInput)
		if err != nil {
			return nil, err
		}
		all, err := s.store.Usage(ctx, "")
		if err != nil {
			return nil, s.problemOf(ctx, err)
		}
		rows := view.Usage(all, view.UsageQuery{Tenant: a.of.Tenant, VPort: a.Of, Link: in.By == "link", Tenants: in.By == "tenant"})
		view.AddRates(rows, view.Rates(a.state, a.of))
		if !a.all {
			for i := range rows {
				rows[i].Link = s.linkName(rows[i].Link, a.of.Tenant)
			}
		}
		return pageOf(a, rows, nil)
	})
}

// linkName is the port at a link's other end, as far as a tenant is told.
func (s *Server) linkName(port, tenant string) string {
	if port != "" && view.TenantOf(port) != tenant && !slices.Contains(s.lent(tenant), port) {
		return access.Anothers
	}
	return port
}

// lent are the provider's interior ports that a tenant may link to: it knows their names.
func (s *Server) lent(tenant string) []string {
	c := s.store.Catalogue()
	if c == nil {
		return nil
	}
	return c.Set.Tenant(tenant).Ports
}

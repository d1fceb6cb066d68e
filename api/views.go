package api

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
	"github.com/weft-sdn/weft/view"
)

// ViewInput says which rows of a view are wanted.
type ViewInput struct {
	Tenant   string `query:"tenant" maxLength:"63" doc:"Of objects of this tenant; none: of all that the caller may see"`
	Of       string `query:"of" maxLength:"127" doc:"Of one device, vport, pool or chain alone: TENANT/NAME" example:"acme/web"`
	Limit    int    `query:"limit" minimum:"1" maximum:"100000" default:"10000" doc:"How many at most"`
	Continue string `query:"continue" maxLength:"512" doc:"Where to go on: continue of the page before. Rows are as they are now: one that comes or goes meanwhile may shift others"`
}

// viewing is which rows of a view the caller gets.
type viewing struct {
	*ViewInput
	id    access.Identity
	of    view.Of
	all   bool // nothing is hidden from the caller
	state *state.View
}

// rowsOutput is the answer of a view.
type rowsOutput[T any] struct{ Body client.Rows[T] }

// mayView asks the guard whether the caller may see what a view shows.
func (s *Server) mayView(ctx context.Context, kind topology.Kind, in *ViewInput) (*viewing, error) {
	a := &viewing{ViewInput: in, id: identityOf(ctx), state: s.store.View(), of: view.Of{Tenant: in.Tenant, Name: in.Of}}
	action := access.Action{Verb: access.List, Kind: kind, Tenant: in.Tenant}
	if in.Of != "" {
		tenant, name, ok := strings.Cut(in.Of, "/")
		if !ok || tenant == "" || name == "" {
			return nil, parameter("of", in.Of, "names nothing", "use TENANT/NAME")
		}
		if in.Tenant != "" && in.Tenant != tenant {
			return nil, parameter("of", in.Of, "is of another tenant than "+in.Tenant, "leave tenant out")
		}
		action.Tenant = tenant
	}
	if err := s.guard.Allow(ctx, a.id, action); err != nil {
		return nil, s.problemOf(ctx, err)
	}
	own, all := a.id.Sees()
	if a.all = all; !all {
		if a.of.Tenant != "" && a.of.Tenant != own {
			return nil, refuse(http.StatusNotFound, "it is not there")
		}
		a.of.Tenant = own
	}
	return a, nil
}

// addView registers a view.
func addView[T any](s *Server, name string, kind topology.Kind, summary string, read func(context.Context, *viewing) ([]T, []agent.EdgeError, error)) {
	op := huma.Operation{OperationID: "view" + strings.ToUpper(name[:1]) + name[1:], Method: http.MethodGet, Path: "/v1/" + name, Summary: summary, Tags: []string{"Views"}}
	huma.Register(s.api, op, func(ctx context.Context, in *struct{ ViewInput }) (*rowsOutput[T], error) {
		a, err := s.mayView(ctx, kind, &in.ViewInput)
		if err != nil {
			return nil, err
		}
		rows, failed, err := read(ctx, a)
		if err != nil {
			return nil, s.problemOf(ctx, err)
		}
		return pageOf(a, rows, failed)
	})
}

// pageOf is a page of rows.
func pageOf[T any](a *viewing, rows []T, failed []agent.EdgeError) (*rowsOutput[T], error) {
	from, err := a.from()
	if err != nil {
		return nil, err
	}
	return pageFrom(a, from, rows[min(from, len(rows)):], failed), nil
}

// from is how many rows were in the pages before.
func (a *viewing) from() (int, error) {
	if a.Continue == "" {
		return 0, nil
	}
	from, err := strconv.Atoi(a.Continue)
	if err != nil || from < 0 {
		return 0, parameter("continue", a.Continue, "is not what a view gave", "use it as it was, or leave it out")
	}
	return from, nil
}

// pageFrom returns the page that begins with some rows; more than it holds: there is another one.
func pageFrom[T any](a *viewing, from int, rows []T, failed []agent.EdgeError) *rowsOutput[T] {
	out := &rowsOutput[T]{}
	out.Body.Revision = a.state.Revision
	if len(rows) > a.Limit {
		rows = rows[:a.Limit]
		out.Body.Continue = strconv.Itoa(from + a.Limit)
	}
	out.Body.Items = append([]T{}, rows...)
	for _, e := range failed {
		out.Body.Errors = append(out.Body.Errors, client.EdgeError(e))
	}
	return out
}

// viewRoutes registers what the network does.
func (s *Server) viewRoutes() {
	addView(s, "places", access.KindLocation, "Where vports live", func(_ context.Context, a *viewing) ([]client.Place, []agent.EdgeError, error) {
		return view.Places(a.state, a.of), nil, nil
	})
	addView(s, "edges", access.KindEdge, "Edges, and what they have applied", func(_ context.Context, a *viewing) ([]client.Edge, []agent.EdgeError, error) {
		return view.Edges(a.state), nil, nil
	})
	addView(s, "fdb", access.KindFDB, "Where bridges know MACs to be", func(_ context.Context, a *viewing) ([]client.FDBEntry, []agent.EdgeError, error) {
		return view.FDB(a.state, a.of), nil, nil
	})
	addView(s, "neighbours", access.KindNeighbour, "At which MACs bridges and routers know addresses (ARP, ND)", func(_ context.Context, a *viewing) ([]client.Neighbour, []agent.EdgeError, error) {
		return view.Neighbours(a.state, a.of), nil, nil
	})
	addView(s, "routes", access.KindRoute, "Routes of routers, with their origin", func(_ context.Context, a *viewing) ([]client.Route, []agent.EdgeError, error) {
		return view.Routes(a.state, a.of, ""), nil, nil
	})
	addView(s, "leases", access.KindLease, "Addresses that DHCP has leased", s.leases)
	addView(s, "connections", access.KindConnection, "Connections that are tracked, as far as the database has them: not those that began while it was away", func(ctx context.Context, a *viewing) ([]client.Connection, []agent.EdgeError, error) {
		rows, err := view.Connections(ctx, s.store, a.of.Tenant, "")
		if a.Of != "" {
			rows = slices.DeleteFunc(rows, func(c client.Connection) bool { return c.Enters != a.Of && c.Leaves != a.Of })
		}
		if !a.all {
			for i := range rows {
				rows[i] = tenantConnection(&rows[i], a.of.Tenant)
			}
		}
		return rows, nil, err
	})
	addView(s, "members", access.KindCounter, "How members of pools are", s.members)
	addView(s, "rulehits", access.KindCounter, "How many packets met the rules of chains", func(ctx context.Context, a *viewing) ([]client.RuleHits, []agent.EdgeError, error) {
		rows, err := view.RuleHits(ctx, s.store, a.state, a.of)
		return rows, nil, err
	})
	addView(s, "rates", access.KindCounter, "Rates that are set of vports and links, and how edges share those of links now", func(_ context.Context, a *viewing) ([]client.Rate, []agent.EdgeError, error) {
		rows := view.Rates(a.state, a.of)
		if !a.all {
			for i := range rows {
				rows[i].Link = s.linkName(rows[i].Link, a.of.Tenant)
			}
		}
		return rows, nil, nil
	})
	addView(s, "sessions", access.KindSession, "BGP sessions, as the edges say that carry them out", s.sessions)
	addView(s, "flows", access.KindFlow, "Flows that are installed, as edges say", s.flows)
	addView(s, "drops", access.KindFlow, "What was dropped, and why, as edges say", s.drops)
	s.edgeViewRoutes()
	s.eventRoute()
	s.eventWatchRoute()
	s.auditRoute()
	s.appliedRoute()
	s.traceRoute()
	s.liveRoute()
}

// askTime is how long an agent has to answer.
const askTime = 15 * time.Second

func (s *Server) asker() view.Asker { return view.Asker{TLS: s.cfg.Agents, Timeout: askTime} }

func (s *Server) leases(ctx context.Context, a *viewing) ([]client.Lease, []agent.EdgeError, error) {
	rows, err := view.Leases(ctx, s.store, s.stored(topology.KindDHCP, a.of))
	return rows, nil, err
}

// stored are the objects of a kind that a view is of.
func (s *Server) stored(kind topology.Kind, of view.Of) (refs []topology.Ref) {
	c := s.store.Catalogue()
	if c == nil {
		return nil
	}
	known := s.store.View().Topology // it may be behind
	c.Walk(kind, of.Tenant, func(e *state.Entry) bool {
		r := e.Object.Ref()
		if _, ok := known.ID(r); ok && (of.Name == "" || of.Name == r.Tenant+"/"+r.Name) {
			refs = append(refs, r)
		}
		return true
	})
	return refs
}

func (s *Server) members(ctx context.Context, a *viewing) (rows []client.Member, _ []agent.EdgeError, err error) {
	c, err := s.catalogue()
	if err != nil {
		return nil, nil, err
	}
	for _, r := range s.stored(topology.KindPool, a.of) {
		e := c.Get(r)
		if e == nil {
			continue
		}
		h, err := s.store.Health(ctx, topology.DeviceID(e.Object.Status.ID))
		if err != nil {
			return nil, nil, err
		}
		rows = append(rows, view.Health(e.Object, h, time.Now())...)
	}
	return rows, nil, nil
}

func (s *Server) sessions(ctx context.Context, a *viewing) ([]agent.BGPSession, []agent.EdgeError, error) {
	wanted := slices.DeleteFunc(view.WantedSessions(a.state), func(w view.WantedSession) bool {
		return a.of.Tenant != "" && view.TenantOf(w.Session) != a.of.Tenant || a.Of != "" && w.Session != a.Of && w.VPort != a.Of
	})
	rows, failed := view.Told(ctx, s.asker(), wanted)
	return rows, a.failures(failed), nil
}

// failures are the edges that did not answer, as far as the caller is told of edges.
func (a *viewing) failures(failed []agent.EdgeError) []agent.EdgeError {
	if a.all || len(failed) == 0 {
		return failed
	}
	return []agent.EdgeError{{Error: strconv.Itoa(len(failed)) + " edges did not answer"}}
}

func (s *Server) flows(ctx context.Context, a *viewing) ([]agent.Flow, []agent.EdgeError, error) {
	answers, failed := view.Ask(ctx, s.asker(), view.Agents(a.state), func(ctx context.Context, c *agent.Client, edge string) (agent.FlowList, error) {
		return c.Flows(ctx, edge)
	})
	var rows []agent.Flow
	for _, l := range answers {
		failed = append(failed, l.Errors...)
		for _, f := range l.Flows {
			if a.Of != "" && f.VPort.Name != a.Of && (f.To == nil || f.To.Name != a.Of) || a.of.Tenant != "" && view.TenantOf(f.VPort.Name) != a.of.Tenant {
				continue
			}
			if !a.all {
				f = tenantFlow(&f, a.of.Tenant, a.state.Topology)
			}
			rows = append(rows, f)
		}
	}
	return rows, a.failures(failed), nil
}

func (s *Server) drops(ctx context.Context, a *viewing) ([]agent.Drop, []agent.EdgeError, error) {
	answers, failed := view.Ask(ctx, s.asker(), view.Agents(a.state), func(ctx context.Context, c *agent.Client, edge string) (agent.DropList, error) {
		return c.Drops(ctx, edge)
	})
	var rows []agent.Drop
	for _, l := range answers {
		failed = append(failed, l.Errors...)
		for _, d := range l.Drops {
			if d.VPort == nil && (!a.all || a.Of != "" || a.of.Tenant != "") || d.VPort != nil && (a.Of != "" && d.VPort.Name != a.Of || a.of.Tenant != "" && view.TenantOf(d.VPort.Name) != a.of.Tenant) {
				continue
			}
			rows = append(rows, d)
		}
	}
	return rows, a.failures(failed), nil
}

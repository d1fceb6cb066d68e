package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
	"github.com/weft-sdn/weft/trace"
	"github.com/weft-sdn/weft/view"
)

type eventInput struct {
	ViewInput
	EventInput
	WatchedInput
}

// EventInput says which events are wanted.
type EventInput struct {
	Type   string `query:"type" enum:"Normal,Warning" doc:"Events of this type"`
	Edge   string `query:"edge" maxLength:"63" doc:"Events that this edge tells of"`
	Object string `query:"object" maxLength:"255" doc:"Events about this: KIND/TENANT/NAME, or edge/NAME" example:"vport/acme/web"`
}

// filter is what is asked of the database.
func (in *EventInput) filter(a *viewing) state.EventFilter {
	return state.EventFilter{Tenant: a.of.Tenant, Type: state.EventType(in.Type), Source: in.Edge}
}

// takes reports whether an event of the filter is wanted, of one object alone unless of is empty.
func (in *EventInput) takes(of string, e *state.LoggedEvent) bool {
	return (of == "" || e.Object.Tenant+"/"+e.Object.Name == of) && (in.Object == "" || e.Object.String() == in.Object)
}

// eventRoute registers the log of events.
func (s *Server) eventRoute() {
	op := huma.Operation{OperationID: "viewEvents", Method: http.MethodGet, Path: "/v1/events", Summary: "What happened lately, in the order in which it happened last", Tags: []string{"Views"}}
	huma.Register(s.api, op, func(ctx context.Context, in *eventInput) (*rowsOutput[state.LoggedEvent], error) {
		if err := in.asList(); err != nil {
			return nil, err
		}
		a, err := s.mayView(ctx, access.KindEvent, &in.ViewInput)
		if err != nil {
			return nil, err
		}
		all, revision, err := s.store.Events(ctx, in.filter(a))
		if err != nil {
			return nil, s.problemOf(ctx, err)
		}
		all = slices.DeleteFunc(all, func(e state.LoggedEvent) bool {
			return !in.takes(in.Of, &e)
		})
		out, err := pageOf(a, all, nil)
		if err != nil {
			return nil, err
		}
		out.Body.Revision = revision
		return out, nil
	})
}

type auditInput struct {
	Tenant   string `query:"tenant" maxLength:"63" doc:"Changes of objects of this tenant; none: of all that the caller may see"`
	Kind     string `query:"kind" maxLength:"63" doc:"Changes of objects of this kind"`
	Name     string `query:"name" maxLength:"127" doc:"Changes of objects of this name"`
	Subject  string `query:"subject" maxLength:"255" doc:"Changes that this one made"`
	Limit    int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"How many at most"`
	Continue string `query:"continue" maxLength:"512" doc:"Where to go on: continue of the page before"`
}

// auditScan bounds how many records are looked at for one page.
const auditScan = 20_000

// auditChunk is how many records are read at once.
const auditChunk = 200

// auditRoute registers the audit log.
func (s *Server) auditRoute() {
	op := huma.Operation{OperationID: "viewAudit", Method: http.MethodGet, Path: "/v1/audit", Summary: "Who changed what: the newest first", Tags: []string{"Views"},
		Description: "A page may have fewer records than limit, or none, and yet a continue."}
	huma.Register(s.api, op, func(ctx context.Context, in *auditInput) (*rowsOutput[client.AuditRecord], error) {
		id := identityOf(ctx)
		if err := s.guard.Allow(ctx, id, access.Action{Verb: access.List, Kind: access.KindAudit, Tenant: in.Tenant}); err != nil {
			return nil, s.problemOf(ctx, err)
		}
		own, all := id.Sees()
		accounts := s.guard.Allow(ctx, id, access.Action{Verb: access.List, Kind: access.KindUser}) == nil
		keep := func(r *client.AuditRecord) bool {
			if !accounts && (r.Object.Kind == access.KindUser || r.Object.Kind == access.KindToken) {
				return false
			}
			return (all || r.Object.Tenant == own) && (in.Tenant == "" || in.Tenant == r.Object.Tenant) && (in.Kind == "" || strings.EqualFold(in.Kind, string(r.Object.Kind))) &&
				(in.Name == "" || in.Name == r.Object.Name) && (in.Subject == "" || in.Subject == r.Subject)
		}
		out, err := s.auditPage(ctx, in, keep)
		if err != nil {
			return nil, s.problemOf(ctx, err)
		}
		return out, nil
	})
}

// auditPage reads records until a page is full. Where it goes on is the key of a record, and how many of its changes have been told.
func (s *Server) auditPage(ctx context.Context, in *auditInput, keep func(*client.AuditRecord) bool) (*rowsOutput[client.AuditRecord], error) {
	key, told, err := parseAuditPlace(in.Continue)
	if err != nil {
		return nil, err
	}
	out := &rowsOutput[client.AuditRecord]{}
	out.Body.Items = []client.AuditRecord{}
	list := s.store.ListAudit
	if told > 0 {
		list = s.store.ListAuditFrom
	}
	for scanned := 0; ; list = s.store.ListAudit {
		records, more, err := list(ctx, key, auditChunk)
		if err != nil {
			return nil, err
		}
		for i := range records {
			r := &records[i]
			for n := min(told, len(r.Changes)); n < len(r.Changes); n++ {
				c := &r.Changes[n]
				row := client.AuditRecord{
					Revision: r.Revision, Time: r.Time, Subject: r.Subject, Token: r.Token, Request: r.Request, Verb: r.Verb, Object: client.Ref{Kind: c.Kind, Tenant: c.Tenant, Name: c.Name}, Before: c.Before, After: c.After,
				}
				if !keep(&row) {
					continue
				}
				if out.Body.Items = append(out.Body.Items, row); len(out.Body.Items) == in.Limit {
					out.Body.Continue = r.Key + "#" + strconv.Itoa(n+1)
					return out, nil
				}
			}
			key, told = r.Key, 0
		}
		if scanned += len(records); !more {
			return out, nil
		}
		if scanned >= auditScan {
			out.Body.Continue = key
			return out, nil
		}
	}
}

func parseAuditPlace(text string) (key string, told int, err error) {
	key, count, partly := strings.Cut(text, "#")
	if partly {
		told, err = strconv.Atoi(count)
	}
	if err != nil || told < 0 || key != "" && !state.IsAuditKey(key) {
		return "", 0, parameter("continue", text, "is not what the audit log gave", "use it as it was, or leave it out")
	}
	return key, told, nil
}

type appliedInput struct {
	Revision int64  `query:"revision" required:"true" minimum:"1" doc:"Revision that is waited for, such as that of a change"`
	Wait     string `query:"wait" maxLength:"16" doc:"How long at most, such as 10s; 30s is the most, none the default" example:"10s"`
}

const longestWait = 30 * time.Second

// appliedRoute registers what edges have a revision.
func (s *Server) appliedRoute() {
	op := huma.Operation{OperationID: "applied", Method: http.MethodGet, Path: "/v1/applied", Summary: "Whether all live edges have a revision", Tags: []string{"Views"}}
	type output struct{ Body client.Applied }
	huma.Register(s.api, op, func(ctx context.Context, in *appliedInput) (*output, error) {
		wait, err := time.ParseDuration(in.Wait)
		if in.Wait == "" {
			wait, err = 0, nil
		}
		if err != nil || wait < 0 || wait > longestWait {
			return nil, parameter("wait", in.Wait, "is no time to wait", "use 0s to 30s")
		}
		id := identityOf(ctx)
		if err := s.guard.Allow(ctx, id, access.Action{Verb: access.List, Kind: access.KindLocation}); err != nil {
			return nil, s.problemOf(ctx, err)
		}
		limit, stop := whileServing(ctx)
		defer stop()
		limit, cancel := context.WithTimeout(limit, wait)
		defer cancel()
		if err := s.store.WaitApplied(limit, in.Revision); err != nil && limit.Err() == nil {
			return nil, s.problemOf(ctx, err)
		}
		own, all := id.Sees()
		tenants := map[string]bool{}
		if !all {
			tenants[own] = true
		}
		a := view.Applied(s.store.View(), in.Revision, tenants)
		if a.Waiting = len(a.Behind); !all {
			a.Behind = nil
		}
		return &output{a}, nil
	})
}

// traceRoute registers the simulation of a packet.
func (s *Server) traceRoute() {
	op := huma.Operation{OperationID: "trace", Method: http.MethodPost, Path: "/v1/trace", Summary: "Follow one packet through the network as it is now", Tags: []string{"Views"},
		Description: "Nothing is changed or sent. What is left out of the packet is chosen as the host at the vport would.", MaxBodyBytes: 64 << 10}
	type input struct {
		Key  string `header:"Idempotency-Key" maxLength:"255" doc:"Of no meaning here: nothing is changed"`
		Body client.Packet
	}
	type output struct{ Body client.Trace }
	huma.Register(s.api, op, func(ctx context.Context, in *input) (*output, error) {
		id := identityOf(ctx)
		if err := s.mayTrace(ctx, &in.Body.VPort); err != nil {
			return nil, err
		}
		c, err := s.catalogue()
		if err != nil {
			return nil, err
		}
		t, err := trace.Follow(s.store.View().Topology, in.Body)
		if err != nil {
			return nil, s.traceProblem(ctx, c.Set, err)
		}
		if own, all := id.Sees(); !all {
			t = tenantTrace(t, own, access.Concealed(id, c.Set))
		}
		return &output{*t}, nil
	})
}

// mayTrace asks the guard whether packets of a vport may be followed, and completes its name: without a tenant it is the caller's own.
func (s *Server) mayTrace(ctx context.Context, vport *string) error {
	id := identityOf(ctx)
	tenant, name, ok := strings.Cut(*vport, "/")
	if !ok {
		tenant, name = cmp.Or(id.Tenant, topology.DefaultTenant), *vport
		*vport = tenant + "/" + name
	}
	if err := s.guard.Allow(ctx, id, access.Action{Verb: access.Trace, Kind: access.KindTrace, Tenant: tenant, Name: name}); err != nil {
		return s.hidden(ctx, err, topology.Ref{Kind: topology.KindVPort, Tenant: tenant, Name: name})
	}
	return nil
}

// traceProblem is an error of a trace as the caller may know it.
func (s *Server) traceProblem(ctx context.Context, set *topology.Set, err error) error {
	var wrong *topology.FieldError
	if errors.As(err, &wrong) {
		list := topology.Errors{wrong}
		if told := s.guard.Conceal(identityOf(ctx), set, list); errors.As(told, &list) {
			return fields(list, func(string) string { return "" })
		}
	}
	return s.problemOf(ctx, err)
}

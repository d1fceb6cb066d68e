package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/topology"
	"github.com/weft-sdn/weft/trace"
)

// livePath is that of live traces.
const livePath = "/v1/trace/live"

// liveRoute registers live traces.
func (s *Server) liveRoute() {
	op := huma.Operation{
		OperationID: "traceLive", Method: http.MethodPost, Path: livePath, Tags: []string{"Views"}, Summary: "Follow real packets of a vport (server-sent events)", MaxBodyBytes: 64 << 10,
		Description: "Packets come up to the edge's agent for that time, are delivered unchanged by it, and are told with what the network says of them. It ends by itself, with the event ended; " +
			"or when the connection does. A vport is traced once at a time.",
	}
	type input struct {
		Key  string `header:"Idempotency-Key" maxLength:"255" doc:"Of no meaning here: nothing is changed"`
		Body client.LiveRequest
	}
	huma.Register(s.api, op, func(ctx context.Context, in *input) (*huma.StreamResponse, error) {
		if err := s.mayTrace(ctx, in.Body.VPort); err != nil {
			return nil, err
		}
		c, err := s.catalogue()
		if err != nil {
			return nil, err
		}
		who := placeOf(identityOf(ctx))
		if why := s.watches.take(who); why != "" {
			return nil, busy(why)
		}
		live, err := trace.BeginLive(ctx, s.store, in.Body)
		if err != nil {
			s.watches.give(who)
			return nil, s.traceProblem(ctx, c.Set, err)
		}
		return &huma.StreamResponse{Body: func(hctx huma.Context) {
			defer s.watches.give(who)
			hctx.SetHeader("Content-Type", "text/event-stream")
			hctx.SetHeader("X-Accel-Buffering", "no")
			hctx.SetStatus(http.StatusOK)
			w, _ := hctx.BodyWriter().(http.ResponseWriter)
			s.tellLive(ctx, live, w)
		}}, nil
	})
}

// tellLive writes what a live trace finds until it ends, or the other side does, or may not know any more.
func (s *Server) tellLive(ctx context.Context, live *trace.LiveTrace, w http.ResponseWriter) {
	ctx, stop := context.WithCancel(ctx)
	told, ended := make(chan client.LiveEvent), make(chan struct{})
	defer func() { stop(); <-ended }()
	go func() {
		defer close(ended)
		_ = live.Run(ctx, func(e client.LiveEvent) error { // what ends it without its last event shows in that there is none
			select {
			case told <- e:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	out := http.NewResponseController(w)
	word := time.NewTicker(s.cfg.Bookmark)
	defer word.Stop()
	own, all := identityOf(ctx).Sees()
	for text := ": it begins\n\n"; ; {
		_ = out.SetWriteDeadline(time.Now().Add(writeTime))
		if _, err := w.Write([]byte(text)); err != nil || out.Flush() != nil {
			return
		}
		text = ": still here\n\n"
		select {
		case <-ended:
			return
		case <-word.C:
		case e := <-told:
			if !all {
				c := s.store.Catalogue()
				if c == nil {
					return
				}
				if concealLive(&e, own, c.Set); e.Kind == client.LiveArrive && len(e.Arrivals) == 0 {
					text = ""
					break
				}
			}
			body, err := json.Marshal(e)
			if err != nil {
				return
			}
			text = fmt.Sprintf("event: %s\ndata: %s\n\n", e.Kind, body)
		}
		if !stillIn(ctx) {
			return
		}
	}
}

// concealLive takes out of what a live trace tells what a tenant may not know: others' devices and what they do, the provider's underlay, and what others' packets add to.
func concealLive(e *client.LiveEvent, own string, set *topology.Set) {
	conceal := concealer(own, set)
	for i := range e.Entries {
		concealEntry(&e.Entries[i], own, set, true)
	}
	if p := e.Packet; p != nil {
		through := p.Simulation == nil || concealTrace(p.Simulation, own, set)
		for i := range p.Outcomes {
			o := &p.Outcomes[i]
			if o.Tunnel = ""; o.To != conceal(o.To) {
				o.Rewrite, o.Place = "", ""
				through = true
			}
			o.To, o.Reason, o.Text = conceal(o.To), conceal(o.Reason), conceal(o.Text)
		}
		if p.Entry != nil {
			concealEntry(p.Entry, own, set, through)
		}
		if p.Differs != "" { // it has all that was taken out
			p.Differs = "what the edge did is not what the network says"
		}
	}
	var arrivals []client.LiveArrival
	for _, a := range e.Arrivals {
		if a.VPort == conceal(a.VPort) && a.VPort != "" {
			arrivals = append(arrivals, client.LiveArrival{Edge: a.Edge, VPort: a.VPort, Absent: a.Absent})
		}
	}
	e.Arrivals = arrivals
}

// concealEntry takes out of an entry what others' devices read and rewrite, if its packets go through any.
func concealEntry(x *client.LiveEntry, own string, set *topology.Set, through bool) {
	conceal := concealer(own, set)
	if x.Simulation != nil {
		through = concealTrace(x.Simulation, own, set)
	}
	if through || x.To != conceal(x.To) {
		x.Match, x.Rewrite = "", ""
	}
	x.To = conceal(x.To)
}

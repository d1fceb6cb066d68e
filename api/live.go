package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/client"
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
		if err := s.mayTrace(ctx, &in.Body.VPort); err != nil {
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
	id := identityOf(ctx)
	own, all := id.Sees()
	for text := ": it begins\n\n"; ; {
		_ = out.SetWriteDeadline(time.Now().Add(writeTime))
		if _, err := w.Write([]byte(text)); err != nil || out.Flush() != nil {
			return
		}
		text = ": still here\n\n"
		select {
		case <-ended:
			if ctx.Err() != nil { // not the trace: the server ends, or the other side did
				lastWord(out, w)
			}
			return
		case <-word.C:
		case e := <-told:
			if !all {
				c := s.store.Catalogue()
				if c == nil {
					return
				}
				if e = tenantLive(&e, own, access.Concealed(id, c.Set)); e.Kind == client.LiveArrive && len(e.Arrivals) == 0 {
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
			lastWord(out, w)
			return
		}
	}
}

// lastWord tells the other side of a stream that the server ends it.
func lastWord(out *http.ResponseController, w http.ResponseWriter) {
	_ = out.SetWriteDeadline(time.Now().Add(writeTime))
	if _, err := w.Write([]byte(lastWords)); err == nil {
		_ = out.Flush()
	}
}

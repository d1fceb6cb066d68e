package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/state"
)

type eventWatchInput struct {
	Tenant string `query:"tenant" maxLength:"63" doc:"Of objects of this tenant; none: of all that the caller may see"`
	Of     string `query:"of" maxLength:"127" doc:"Of one device, vport or pool alone: TENANT/NAME" example:"acme/web"`
	EventInput
	Since  int64  `query:"since" minimum:"0" doc:"Revision after which events are told, such as that of a list; 0: from now on"`
	LastID string `header:"Last-Event-ID" doc:"Of a connection that is made again: in place of since"`
}

// eventWatchPath is that of the stream of events: GET /v1/events?watch=true is the same.
const eventWatchPath = "/v1/events/watch"

// eventWatchRoute registers the stream of events.
func (s *Server) eventWatchRoute() {
	op := huma.Operation{
		OperationID: "viewEventStream", Method: http.MethodGet, Path: eventWatchPath, Tags: []string{"Views"}, Summary: "Follow what happens (server-sent events)",
		Description: "Each is told when it happens, and again when it happens again. Its id is where to go on: what was told of the last revision is told once more. Also: GET /v1/events?watch=true.",
	}
	huma.Register(s.api, op, func(ctx context.Context, in *eventWatchInput) (*huma.StreamResponse, error) {
		return s.followEvents(ctx, in)
	})
}

// followEvents answers with a stream of events, of those that a list would have.
func (s *Server) followEvents(ctx context.Context, in *eventWatchInput) (*huma.StreamResponse, error) {
	a, err := s.mayView(ctx, access.KindEvent, &ViewInput{Tenant: in.Tenant, Of: in.Of})
	if err != nil {
		return nil, err
	}
	from := in.Since
	if in.LastID != "" {
		if from, err = strconv.ParseInt(in.LastID, 10, 64); err != nil || from < 0 {
			return nil, parameter("Last-Event-ID", in.LastID, "is no revision", "leave it out")
		}
	}
	filter := in.filter(a)
	if from == 0 {
		if _, from, err = s.store.Events(ctx, filter); err != nil {
			return nil, s.problemOf(ctx, err)
		}
	}
	if err := s.store.CheckRevision(ctx, from); err != nil {
		return nil, s.problemOf(ctx, err)
	}
	who := placeOf(identityOf(ctx))
	if why := s.watches.take(who); why != "" {
		return nil, busy(why)
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		defer s.watches.give(who)
		hctx.SetHeader("Content-Type", "text/event-stream")
		hctx.SetHeader("X-Accel-Buffering", "no")
		hctx.SetStatus(http.StatusOK)
		if w, ok := hctx.BodyWriter().(http.ResponseWriter); ok {
			f := eventFollower{s: s, filter: filter, in: in, w: w, out: http.NewResponseController(w)}
			f.run(ctx, from)
		}
	}}, nil
}

// eventFollower writes events to one stream.
type eventFollower struct {
	s      *Server
	filter state.EventFilter
	in     *eventWatchInput
	w      http.ResponseWriter
	out    *http.ResponseController
}

// run ends when the other side does, or may not know any more.
func (f *eventFollower) run(ctx context.Context, from int64) {
	ctx, stop := context.WithCancel(ctx)
	told, ended := make(chan state.LoggedEvent), make(chan struct{})
	defer func() { stop(); <-ended }()
	go func() {
		defer close(ended)
		_ = f.s.store.WatchEvents(ctx, f.filter, from, func(e state.LoggedEvent) error { // nothing fails but the other side
			select {
			case told <- e:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	word := time.NewTicker(f.s.cfg.Bookmark)
	defer word.Stop()
	text := fmt.Sprintf("id: %d\n: so far\n\n", from)
	for f.tell(text) {
		text = ": still here\n\n"
		select {
		case <-ctx.Done():
			f.tell(lastWords)
			return
		case <-word.C:
		case e := <-told:
			if text = ""; f.in.takes(f.in.Of, &e) {
				text = eventText(&e)
			}
		}
		if !stillIn(ctx) {
			f.tell(lastWords)
			return
		}
	}
}

// tell writes to the stream; false: the other side is gone.
func (f *eventFollower) tell(text string) bool {
	_ = f.out.SetWriteDeadline(time.Now().Add(writeTime))
	_, err := f.w.Write([]byte(text))
	return err == nil && f.out.Flush() == nil
}

// eventText is an event of a stream. Its id is before its revision: others may have the same.
func eventText(e *state.LoggedEvent) string {
	body, err := json.Marshal(e)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("event: event\nid: %d\ndata: {\"revision\":%d,\"event\":%s}\n\n", e.Revision-1, e.Revision, body)
}

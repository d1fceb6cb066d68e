package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

type watchInput struct {
	Kind     []string `query:"kind,explode" doc:"Kinds that are wanted; none: all"`
	Tenant   string   `query:"tenant" maxLength:"63" doc:"Owner of the objects; none: all whose objects the caller may see"`
	Selector string   `query:"selector" doc:"Labels that they have, as of a list"`
	Field    []string `query:"field,explode" doc:"Values that fields have, as of a list"`
	Parts    bool     `query:"parts" doc:"Also the parts that objects are made into"`
	Since    int64    `query:"since" minimum:"0" doc:"Revision after which changes are told, such as that of a list; 0: from now on"`
	LastID   string   `header:"Last-Event-ID" doc:"Of a connection that is made again: in place of since"`
}

// watchPath is that of the stream of changes, which takes as long as it takes.
const watchPath = "/v1/watch"

// watchRoutes registers the stream of changes.
func (s *Server) watchRoutes() {
	op := huma.Operation{
		OperationID: "watch", Method: http.MethodGet, Path: watchPath, Tags: []string{"Objects"}, Summary: "Follow changes of objects (server-sent events)",
		Description: "Events are put, delete and bookmark. A bookmark says that all up to its revision has been told; what is between two of them happened at once. Its id is where to go on. 410: changes since that revision are not kept any more, or there is no such revision yet.",
	}
	huma.Register(s.api, op, func(ctx context.Context, in *watchInput) (*huma.StreamResponse, error) { return s.follow(ctx, in) })
}

// follow answers with a stream.
func (s *Server) follow(ctx context.Context, in *watchInput) (*huma.StreamResponse, error) {
	kinds, err := kindsOf(in.Kind)
	if err != nil {
		return nil, err
	}
	kinds, tenant, err := s.sees(ctx, access.Watch, kinds, in.Tenant)
	if err != nil {
		return nil, err
	}
	sel, err := parseSelection(in.Selector, in.Field, in.Parts)
	if err != nil {
		return nil, err
	}
	from := in.Since
	if in.LastID != "" {
		if from, err = strconv.ParseInt(in.LastID, 10, 64); err != nil || from < 0 {
			return nil, parameter("Last-Event-ID", in.LastID, "is no revision", "leave it out")
		}
	}
	c, err := s.catalogue()
	if err != nil {
		return nil, err
	}
	if from == 0 {
		from = since(c)
	}
	if err := s.store.CheckRevision(ctx, from); err != nil {
		return nil, s.problemOf(ctx, err)
	}
	if _, _, err := s.store.Since(from); err != nil {
		return nil, s.problemOf(ctx, err)
	}
	who := placeOf(identityOf(ctx))
	if why := s.watches.take(who); why != "" {
		return nil, busy(why)
	}
	f := follower{s: s, kinds: kinds, tenant: tenant, all: tenant == "", sel: sel, since: from}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		defer s.watches.give(who)
		hctx.SetHeader("Content-Type", "text/event-stream")
		hctx.SetHeader("X-Accel-Buffering", "no")
		hctx.SetStatus(http.StatusOK)
		w, ok := hctx.BodyWriter().(http.ResponseWriter)
		if !ok {
			return
		}
		f.out = http.NewResponseController(w)
		f.w = w
		f.run(ctx)
	}}, nil
}

// follower writes what changes to one stream.
type follower struct {
	s      *Server
	kinds  []topology.Kind
	tenant string
	all    bool
	sel    selection
	since  int64
	w      http.ResponseWriter
	out    *http.ResponseController
}

const writeTime = 10 * time.Second // that the other side may take nothing

// run ends when the other side does, or what it is to be told is not known any more: it asks again, and is told so.
func (f *follower) run(ctx context.Context) {
	timer := time.NewTimer(f.s.cfg.Bookmark)
	defer timer.Stop()
	if f.bookmark() != nil {
		return
	}
	for {
		moments, next, err := f.s.store.Since(f.since)
		if err != nil || !stillIn(ctx) {
			f.end()
			return
		}
		for _, m := range moments {
			if err := f.moment(m); err != nil {
				return
			}
		}
		if len(moments) > 0 && f.flush() != nil {
			return
		}
		timer.Reset(f.s.cfg.Bookmark)
		select {
		case <-ctx.Done():
			f.end()
			return
		case <-next:
		case <-timer.C:
			if f.bookmark() != nil {
				return
			}
		}
	}
}

// moment tells what happened at one revision.
func (f *follower) moment(m state.Moment) error {
	_ = f.out.SetWriteDeadline(time.Now().Add(writeTime))
	for i := range m.Updates {
		u := &m.Updates[i]
		was, is := f.shows(u.Before), f.shows(u.After)
		var err error
		switch {
		case is:
			_, err = fmt.Fprintf(f.w, "event: put\ndata: {\"type\":\"put\",\"revision\":%d,\"object\":%s}\n\n", m.Revision, client.Encode(u.After.JSON, u.After.Revision))
		case was:
			_, err = fmt.Fprintf(f.w, "event: delete\ndata: {\"type\":\"delete\",\"revision\":%d,\"object\":%s}\n\n", m.Revision, client.Encode(u.Before.JSON, u.Before.Revision))
		}
		if err != nil {
			return err
		}
	}
	f.since = m.Revision
	return f.mark()
}

// shows reports whether an object is one of those that are followed.
func (f *follower) shows(e *state.Entry) bool {
	return e != nil && (f.all || e.Object.Tenant() == f.tenant) && slices.Contains(f.kinds, e.Object.Kind) && f.sel.takes(e)
}

func (f *follower) mark() error {
	_, err := fmt.Fprintf(f.w, "event: bookmark\nid: %d\ndata: {\"type\":\"bookmark\",\"revision\":%d}\n\n", f.since, f.since)
	return err
}

func (f *follower) bookmark() error {
	_ = f.out.SetWriteDeadline(time.Now().Add(writeTime))
	if err := f.mark(); err != nil {
		return err
	}
	return f.flush()
}

func (f *follower) flush() error { return f.out.Flush() }

// end tells the other side, if it is still there, that nothing more comes.
func (f *follower) end() {
	lastWord(f.out, f.w)
}

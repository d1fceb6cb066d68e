package p4rt

import (
	"context"
	"fmt"

	p4 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"
)

// resolveBatch is the number of keys in one Read.
const resolveBatch = 256

// Resolve reads back the updates whose outcome is Unknown (the call broke after they were sent) and
// settles them in results: Applied if the target is as the update wanted it, else NotSent, or
// Duplicate for an insert that found another entity under its key. Updates of one key are judged by
// the last of them. It needs a connection, not the primary's part.
func (s *Session) Resolve(ctx context.Context, updates []Update, results []Result) error {
	if len(updates) != len(results) {
		return fmt.Errorf("resolve: %w: %d results of %d updates", ErrMissing, len(results), len(updates))
	}
	l, err := s.current()
	if err != nil {
		return err
	}
	var unknown []int
	for i, r := range results {
		if r.Outcome == Unknown && updates[i].Entity != nil {
			unknown = append(unknown, i)
		}
	}
	for len(unknown) > 0 {
		n := min(len(unknown), resolveBatch)
		if err := l.resolve(ctx, updates, results, unknown[:n]); err != nil {
			return fmt.Errorf("resolve: %w", err)
		}
		unknown = unknown[n:]
	}
	return nil
}

// resolve settles the updates at the given places.
func (l *link) resolve(ctx context.Context, updates []Update, results []Result, at []int) error {
	asked := make(map[Key]bool, len(at))
	var ask []Query
	for _, i := range at {
		if k := updates[i].Entity.Key(); !asked[k] {
			asked[k] = true
			q, err := queryOf(updates[i].Entity)
			if err != nil {
				return err
			}
			ask = append(ask, q)
		}
	}
	there := make(map[Key]Entity, len(asked))
	err := l.query(ctx, ask, func(e Entity, _ Counter) error {
		if k := e.Key(); asked[k] {
			there[k] = e
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, i := range at {
		results[i] = settle(updates[i], there[updates[i].Entity.Key()])
	}
	return nil
}

// settle judges an update by what the target holds under its key; nil is nothing.
func settle(u Update, there Entity) Result {
	switch {
	case u.Op == Delete:
		if there == nil {
			return Result{Outcome: Applied}
		}
		return Result{Outcome: NotSent, Message: "read back: it is still there"}
	case there == nil:
		return Result{Outcome: NotSent, Message: "read back: it is not there"}
	case sameAfter(u, there):
		return Result{Outcome: Applied}
	case u.Op == Insert:
		return Result{Outcome: Duplicate, Message: "read back: another is there"}
	}
	return Result{Outcome: NotSent, Message: "read back: it is not changed"}
}

// sameAfter reports whether the update would have left what is there: a modify without an action
// keeps the one that was.
func sameAfter(u Update, there Entity) bool {
	e, ok := u.Entity.(*Entry)
	if x, is := there.(*Entry); ok && is && u.Op == Modify && e.actionKinds() == 0 {
		kept := *e
		kept.Action, kept.Params, kept.Member, kept.Group, kept.OneShot = x.Action, x.Params, x.Member, x.Group, x.OneShot
		return kept.SameEffect(x)
	}
	return u.Entity.same(there)
}

// queryOf asks for one entity by its key: an Entity with nothing but the key reads it. Where a key
// can't be told from a wildcard (an entry that matches anything), more comes back.
func queryOf(e Entity) (Query, error) {
	switch e.(type) {
	case *DirectCounter, *DirectMeter, *CounterCell:
		return Query{}, fmt.Errorf("%w: read back of %s", ErrUnsupported, e)
	}
	if k := e.Key(); k.Index < 0 {
		return Query{}, fmt.Errorf("%w: read back of %s", ErrUnsupported, e)
	}
	ask := &p4.Entity{}
	if err := proto.Unmarshal(e.appendWire(nil, Delete), ask); err != nil {
		return Query{}, fmt.Errorf("%s: %w: %w", e, ErrMalformed, err)
	}
	if x, ok := e.(*Entry); ok && x.Table.DirectMeter {
		ask.GetTableEntry().MeterConfig = &p4.MeterConfig{}
	}
	return Query{ask: ask}, nil
}

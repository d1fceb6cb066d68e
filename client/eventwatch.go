package client

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"strconv"
)

// WatchEvents calls fn with each event that is logged after a revision, such as that of View of events; 0: from now on. It goes on until ctx ends (nil) or fn returns an error, which
// it returns. A connection that is lost is made again, and goes on where it was. T is LoggedEvent, or a type of the same form.
func WatchEvents[T any](ctx context.Context, c *Client, q url.Values, since int64, fn func(T) error) error {
	query := maps.Clone(q)
	if query == nil {
		query = url.Values{}
	}
	var last int64                // revision of what was told last
	told := map[string]struct{}{} // of that revision
	return c.again(ctx, &since, func() (bool, error) {
		query.Del("since")
		if since > 0 {
			query.Set("since", strconv.FormatInt(since, 10))
		}
		return c.stream(ctx, "/v1/events/watch", query, func(data []byte) error {
			var e struct {
				Revision int64           `json:"revision"`
				Event    json.RawMessage `json:"event"`
			}
			event := new(T)
			err := json.Unmarshal(data, &e)
			if err == nil {
				err = json.Unmarshal(e.Event, event)
			}
			if err != nil {
				return fmt.Errorf("%s: %w: %w", c.base, errAnswer, err)
			}
			if e.Revision != last {
				clear(told)
			}
			if _, again := told[string(e.Event)]; again { // of a connection before
				return nil
			}
			if err := fn(*event); err != nil {
				return handlerError{err}
			}
			last, since = e.Revision, e.Revision-1 // others may be of the same revision
			told[string(e.Event)] = struct{}{}
			return nil
		})
	})
}

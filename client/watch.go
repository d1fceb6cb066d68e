package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// WatchOptions choose what is watched.
type WatchOptions struct {
	ListOptions
	Since int64 // revision after which changes are told; 0: from now on
}

// errHandler marks what fn of Watch returned.
type handlerError struct{ err error }

func (e handlerError) Error() string { return e.err.Error() }
func (e handlerError) Unwrap() error { return e.err }

// Watch calls fn with each change of objects, in order, until ctx ends (nil) or fn returns an error, which it returns. A connection that is lost is made again, and goes on where it
// was. IsGone of its error: changes since the revision are not kept any more; list, and watch from that revision.
func (c *Client) Watch(ctx context.Context, o WatchOptions, fn func(Event) error) error {
	return c.again(ctx, &o.Since, func() (bool, error) { return c.watchOnce(ctx, &o, fn) })
}

// again makes connections of a watch until ctx ends (nil) or there is no use. once tells whether the server answered, too.
func (c *Client) again(ctx context.Context, since *int64, once func() (answered bool, err error)) error {
	pause, told := firstPause, false
	for {
		began := *since
		answered, err := once()
		var handled handlerError
		var refused *Problem
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &handled):
			return handled.err
		case errors.As(err, &refused) && refused.Status != http.StatusTooManyRequests && refused.Status/100 != 5:
			return err
		}
		if *since != began {
			pause = firstPause
		}
		if told = told && !answered; err != nil && !told && c.cfg.Lost != nil {
			c.cfg.Lost(err)
			told = true
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		pause = min(2*pause, longestPause)
	}
}

// watchOnce reads events of one connection. What was told whole is in o.Since.
func (c *Client) watchOnce(ctx context.Context, o *WatchOptions, fn func(Event) error) (answered bool, err error) {
	q := o.query()
	if o.Since > 0 {
		q.Set("since", strconv.FormatInt(o.Since, 10))
	}
	return c.stream(ctx, "/v1/watch", q, func(data []byte) error {
		var e Event
		if err := json.Unmarshal(data, &e); err != nil {
			return fmt.Errorf("%s: %w: %w", c.base, errAnswer, err)
		}
		if err := fn(e); err != nil {
			return handlerError{err}
		}
		if e.Type == EventBookmark {
			o.Since = e.Revision
		}
		return nil
	})
}

// stream calls fn with the data of each event of one connection. answered: there was a stream.
func (c *Client) stream(ctx context.Context, path string, q url.Values, fn func(data []byte) error) (answered bool, err error) {
	resp, err := c.send(ctx, Request{Method: http.MethodGet, Path: path, Query: q, Header: http.Header{"Accept": {"text/event-stream"}}}, nil)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20)) // as much of it as there is
		return false, problemOf(resp, body)
	}
	var failed error
	err = readEvents(resp.Body, func(data []byte) error {
		failed = fn(data)
		return failed
	})
	if err != nil && failed == nil {
		err = c.failed(err)
	}
	return true, err
}

const maxEvent = 16 << 20 // bytes of one event

// readEvents reads the data of server-sent events until the stream ends.
func readEvents(r io.Reader, fn func([]byte) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxEvent)
	var data []byte
	for lines.Scan() {
		line := lines.Text()
		if value, ok := strings.CutPrefix(line, "data:"); ok {
			data = append(append(data, strings.TrimPrefix(value, " ")...), '\n')
		}
		if line != "" || len(data) == 0 {
			continue
		}
		if err := fn(data); err != nil {
			return err
		}
		data = nil
	}
	return lines.Err()
}

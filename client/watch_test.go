package client_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/weft-sdn/weft/client"
)

// TestWatchLost: a watch whose server does not answer goes on behind what it was told; that there is none is told once until it answers.
func TestWatchLost(t *testing.T) {
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		if n == 2 || n == 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "data: {\"type\":\"bookmark\",\"revision\":%d}\n\n", 10*n)
		w.(http.Flusher).Flush()
		if n == 1 {
			if since := r.URL.Query().Get("since"); since != "7" {
				t.Errorf("since %q", since)
			}
			panic(http.ErrAbortHandler) // in the middle of the stream
		}
		if since := r.URL.Query().Get("since"); since != "10" {
			t.Errorf("goes on since %q", since)
		}
		<-r.Context().Done()
	}))
	defer s.Close()
	var lost []error
	c, err := client.New(client.Config{Server: s.URL, Lost: func(err error) { lost = append(lost, err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := c.Watch(ctx, client.WatchOptions{Since: 7}, func(e client.Event) error {
		if e.Revision == 40 {
			cancel()
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if len(lost) != 1 || asked.Load() != 4 {
		t.Errorf("told %v, asked %d times", lost, asked.Load())
	}
}

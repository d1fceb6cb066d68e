package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	headerTimeout   = 5 * time.Second
	answerTimeout   = 60 * time.Second // reading the counters of a big target takes a while
	shutdownTimeout = 2 * time.Second
)

// listen opens the status server's listener and returns the URL by which others reach it.
func (c *Config) listen() (net.Listener, string, error) {
	path, unix := strings.CutPrefix(c.Listen, "unix:")
	if unix {
		l, err := listenUnix(path)
		return l, c.Listen, err
	}
	l, err := net.Listen("tcp", c.Listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, "", fmt.Errorf("status server: listen %s is in use, perhaps by another agent; choose another address in the configuration, or port 0", c.Listen)
	}
	if err != nil {
		return nil, "", fmt.Errorf("status server: %w", err)
	}
	at := c.Advertise
	if at == "" {
		at = l.Addr().String()
	}
	if c.ListenTLS.IsZero() {
		return l, "http://" + at, nil
	}
	return l, "https://" + at, nil
}

// listenUnix takes the place of a socket that nobody serves any more. Its owner and group may use it.
func listenUnix(path string) (net.Listener, error) {
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		conn.Close()
		return nil, fmt.Errorf("status server: listen unix:%s is in use, perhaps by another agent; choose another path in the configuration", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("status server: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err == nil {
		err = os.Chmod(path, 0o660)
	}
	if err != nil {
		return nil, fmt.Errorf("status server: %w", err)
	}
	return l, nil
}

// serve answers on a listener until ctx ends.
func (s *service) serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: headerTimeout, WriteTimeout: answerTimeout, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	var err error
	if !s.cfg.ListenTLS.IsZero() {
		if server.TLSConfig, err = s.cfg.ListenTLS.Server(); err != nil {
			l.Close()
			return err
		}
	}
	ended := make(chan error, 1)
	go func() {
		if server.TLSConfig != nil {
			ended <- server.ServeTLS(l, "", "")
		} else {
			ended <- server.Serve(l)
		}
	}()
	select {
	case err := <-ended:
		return fmt.Errorf("status server: %w", err)
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if server.Shutdown(limit) != nil {
		server.Close()
	}
	<-ended
	return nil
}

// handler is the status API.
func (s *service) handler() http.Handler {
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collector{s}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathFlows, s.flows)
	mux.HandleFunc("GET "+pathStats, s.stats)
	mux.HandleFunc("GET "+pathEdges, s.edges)
	mux.HandleFunc("GET "+pathHealth, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET "+pathReady, s.ready)
	mux.Handle("GET "+pathMetrics, promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	return mux
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the other side went away
}

// flows reads the installed flows of all edges, or of the one that is asked for.
func (s *service) flows(w http.ResponseWriter, r *http.Request) {
	want := r.URL.Query().Get("edge")
	list := FlowList{Flows: []Flow{}}
	found := false
	for _, run := range s.runners {
		id := run.cfg.ID
		if want != "" && want != id {
			continue
		}
		found = true
		agent, view := run.running(), s.view()
		if agent == nil || view == nil {
			list.Errors = append(list.Errors, EdgeError{id, notRunning(run.status(view))})
			continue
		}
		flows, err := agent.Flows(r.Context())
		if err != nil {
			list.Errors = append(list.Errors, EdgeError{id, err.Error()})
			continue
		}
		list.Flows = append(list.Flows, nameFlows(id, view, flows)...)
	}
	switch {
	case !found && want != "":
		answer(w, http.StatusNotFound, EdgeError{want, "this agent does not run it"})
	case want != "" && len(list.Errors) > 0:
		answer(w, http.StatusServiceUnavailable, list.Errors[0])
	default:
		answer(w, http.StatusOK, list)
	}
}

func notRunning(st EdgeStatus) string {
	text := string(st.State)
	if st.Error != "" {
		text += ": " + st.Error
	}
	return text
}

func (s *service) stats(w http.ResponseWriter, _ *http.Request) {
	list := StatsList{Edges: []EdgeStats{}}
	for _, r := range s.runners {
		if agent := r.running(); agent != nil {
			list.Edges = append(list.Edges, EdgeStats{r.cfg.ID, agent.Stats()})
		}
	}
	answer(w, http.StatusOK, list)
}

func (s *service) edges(w http.ResponseWriter, _ *http.Request) {
	list := EdgeList{Version: s.version, Edges: []EdgeStatus{}}
	for _, r := range s.runners {
		list.Edges = append(list.Edges, r.status(s.view()))
	}
	answer(w, http.StatusOK, list)
}

// ready says ok if every edge serves, and otherwise which does not.
func (s *service) ready(w http.ResponseWriter, _ *http.Request) {
	var lines []string
	for _, r := range s.runners {
		if st := r.status(s.view()); st.State != Serving {
			lines = append(lines, fmt.Sprintf("edge %s: %s", st.ID, notRunning(st)))
		}
	}
	if len(lines) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, strings.Join(lines, "\n")+"\n")
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}

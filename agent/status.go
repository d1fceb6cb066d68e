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

	"github.com/weft-sdn/weft/state"
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
		Handler: s.handler(), ReadHeaderTimeout: headerTimeout, WriteTimeout: answerTimeout, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	var err error
	if !s.cfg.ListenTLS.IsZero() {
		if server.TLSConfig, err = s.cfg.ListenTLS.Server(); err != nil {
			l.Close()
			return err
		}
	}
	if err := Serve(ctx, l, server, shutdownTimeout); err != nil {
		return fmt.Errorf("status server: %w", err)
	}
	return nil
}

// Serve has a server answer on a listener until ctx ends (nil), over TLS if it has a TLSConfig. Requests under way then have so much time to be finished.
func Serve(ctx context.Context, l net.Listener, server *http.Server, last time.Duration) error {
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
		return err
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), last)
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
	mux.HandleFunc("GET "+pathDrops, s.drops)
	mux.HandleFunc("GET "+pathBGP, s.bgp)
	mux.HandleFunc("GET "+pathRoutes, s.routes)
	mux.HandleFunc("GET "+pathRPKI, s.rpki)
	mux.HandleFunc("GET "+pathInterfaces, s.interfaces)
	mux.HandleFunc("GET "+pathVPN, s.vpns)
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
	list := FlowList{Flows: []Flow{}}
	var found bool
	list.Errors, found = s.each(r, func(id string, agent edgeAgent, view *state.View) error {
		flows, err := agent.Flows(r.Context())
		if err == nil {
			list.Flows = append(list.Flows, nameFlows(id, view, flows)...)
			stats := agent.Stats()
			for _, k := range evictions() {
				if n := k.value(&stats); n > 0 {
					list.Evicted = append(list.Evicted, Eviction{id, k.name, k.help, n})
				}
			}
		}
		return err
	})
	answerAbout(w, r, list, list.Errors, found)
}

// drops reads what was dropped at all edges, or at the one that is asked for.
func (s *service) drops(w http.ResponseWriter, r *http.Request) {
	list := DropList{Drops: []Drop{}}
	var found bool
	list.Errors, found = s.each(r, func(id string, agent edgeAgent, view *state.View) error {
		drops, err := agent.Drops(r.Context())
		list.Drops = append(list.Drops, nameDrops(id, view, drops)...)
		return err
	})
	answerAbout(w, r, list, list.Errors, found)
}

// each asks the agents of all edges, or of the one that a request names; found is false if there is no such edge.
func (s *service) each(r *http.Request, ask func(id string, agent edgeAgent, view *state.View) error) (errs []EdgeError, found bool) {
	want := r.URL.Query().Get("edge")
	for _, run := range s.runners {
		id := run.cfg.ID
		if want != "" && want != id {
			continue
		}
		found = true
		agent, view := run.running(), s.view()
		if agent == nil || view == nil {
			errs = append(errs, EdgeError{id, notRunning(run.status(view))})
			continue
		}
		if run.standsBy() {
			errs = append(errs, EdgeError{id, elsewhere(view, id)})
			continue
		}
		if err := ask(id, agent, view); err != nil {
			errs = append(errs, EdgeError{id, err.Error()})
		}
	}
	return errs, found || want == ""
}

// answerAbout answers with a list. What kept the one edge that is asked for from answering is the answer's status.
func answerAbout(w http.ResponseWriter, r *http.Request, list any, errs []EdgeError, found bool) {
	want := r.URL.Query().Get("edge")
	switch {
	case !found:
		answer(w, http.StatusNotFound, EdgeError{want, "this agent does not run it"})
	case want != "" && len(errs) > 0:
		answer(w, http.StatusServiceUnavailable, errs[0])
	default:
		answer(w, http.StatusOK, list)
	}
}

// elsewhere says whom to ask about an edge for which this agent stands by.
func elsewhere(v *state.View, edge string) string {
	all := v.Agents[edge]
	active, ok := all.Alive[all.Active]
	switch {
	case !ok:
		return "this agent stands by, and none acts for the edge"
	case active.Status == "":
		return "this agent stands by: ask the one that acts for the edge, " + active.Name
	}
	return fmt.Sprintf("this agent stands by: ask the one that acts for the edge, %s at %s", active.Name, active.Status)
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

// ready says ok if every edge serves, or stands by, and otherwise which does not.
func (s *service) ready(w http.ResponseWriter, _ *http.Request) {
	var lines []string
	for _, r := range s.runners {
		if st := r.status(s.view()); st.State != Serving && st.State != Standby {
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

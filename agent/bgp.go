package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/state"
)

// bgp tells how the BGP sessions of all edges are, or of the one that is asked for.
func (s *service) bgp(w http.ResponseWriter, r *http.Request) {
	list := BGPList{Sessions: []BGPSession{}}
	var found bool
	list.Errors, found = s.each(r, func(id string, agent edgeAgent, _ *state.View) error {
		for _, st := range agent.Sessions() {
			list.Sessions = append(list.Sessions, BGPSession{id, st})
		}
		return nil
	})
	answerAbout(w, r, list, list.Errors, found)
}

// routes tells what the neighbour of a session tells, or is told. There may be a million.
func (s *service) routes(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	session, edge := q.Get("session"), q.Get("edge")
	choice, err := bgp.ParseChoice(q.Get("prefix"))
	switch {
	case session == "":
		err = errors.New("session: is missing; name one as TENANT/NAME")
	case err != nil:
		err = fmt.Errorf("prefix: %w", err)
	}
	if err != nil {
		answer(w, http.StatusBadRequest, EdgeError{edge, err.Error()})
		return
	}
	choice.Rejected = q.Get("rejected") == "true"
	var list RouteList
	errs, found := s.each(r, func(id string, agent edgeAgent, _ *state.View) error {
		routes, err := agent.Routes(session, q.Get("sent") == "true", choice)
		if errors.Is(err, bgp.ErrNotCarried) {
			return nil // another may
		}
		if err == nil {
			list = RouteList{id, session, routes}
		}
		return err
	})
	switch {
	case list.Edge != "":
		list.stream(w)
	case len(errs) > 0:
		answer(w, http.StatusServiceUnavailable, errs[0])
	case !found:
		answerAbout(w, r, nil, nil, false)
	default:
		answer(w, http.StatusNotFound, EdgeError{edge, fmt.Sprintf("no edge of this agent carries session %s out", session)})
	}
}

// pause is after how many routes the reader is given another answerTimeout.
const pause = 4096

// stream answers with a list, a route at a time.
func (l *RouteList) stream(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	control, encoder := http.NewResponseController(w), json.NewEncoder(w)
	edge, _ := json.Marshal(l.Edge) // strings can be
	session, _ := json.Marshal(l.Session)
	if _, err := fmt.Fprintf(w, `{"edge":%s,"session":%s,"routes":[`+"\n", edge, session); err != nil {
		return
	}
	for i := range l.Routes {
		if i%pause == 0 {
			_ = control.SetWriteDeadline(time.Now().Add(answerTimeout)) // a writer without has none
		}
		if i > 0 {
			_, _ = w.Write([]byte{','})
		}
		if encoder.Encode(&l.Routes[i]) != nil {
			return // the other side went away
		}
	}
	_, _ = w.Write([]byte("]}\n"))
}

// errEnough ends the reading of a list.
var errEnough = errors.New("enough was read")

// read reads what stream wrote, and has each route taken until that is false.
func (l *RouteList) read(from *json.Decoder, take func(bgp.Route) bool) error {
	if err := expect(from, json.Delim('{')); err != nil {
		return err
	}
	for from.More() {
		name, err := from.Token()
		if err != nil {
			return err
		}
		switch name {
		case "edge":
			err = from.Decode(&l.Edge)
		case "session":
			err = from.Decode(&l.Session)
		case "routes":
			err = readRoutes(from, take)
		default:
			err = from.Decode(new(json.RawMessage))
		}
		if err != nil {
			return err
		}
	}
	return expect(from, json.Delim('}'))
}

func readRoutes(from *json.Decoder, take func(bgp.Route) bool) error {
	if err := expect(from, json.Delim('[')); err != nil {
		return err
	}
	for from.More() {
		var r bgp.Route
		if err := from.Decode(&r); err != nil {
			return err
		}
		if !take(r) {
			return errEnough
		}
	}
	return expect(from, json.Delim(']'))
}

func expect(from *json.Decoder, want json.Delim) error {
	got, err := from.Token()
	if err == nil && got != want {
		err = fmt.Errorf("%v where %v is due", got, want)
	}
	return err
}

// BGP tells how the BGP sessions of one edge are, or of all that the agent runs if edge is empty.
func (c *Client) BGP(ctx context.Context, edge string) (BGPList, error) {
	var list BGPList
	return list, c.get(ctx, of(pathBGP, edge), &list)
}

// Routes lists what the neighbour of a BGP session tells, or is told.
func (c *Client) Routes(ctx context.Context, q RouteQuery) (RouteList, error) {
	routes := []bgp.Route{}
	list, err := c.EachRoute(ctx, q, func(r bgp.Route) bool {
		routes = append(routes, r)
		return true
	})
	list.Routes = routes
	return list, err
}

// EachRoute has each of these taken as it comes, until that is false. What it returns has no routes.
func (c *Client) EachRoute(ctx context.Context, q RouteQuery, take func(bgp.Route) bool) (RouteList, error) {
	values := url.Values{"session": {q.Session}}
	for name, value := range map[string]string{"edge": q.Edge, "prefix": q.Prefix} {
		if value != "" {
			values.Set(name, value)
		}
	}
	for name, value := range map[string]bool{"sent": q.Sent, "rejected": q.Rejected} {
		if value {
			values.Set(name, "true")
		}
	}
	var list RouteList
	err := c.ask(ctx, pathRoutes+"?"+values.Encode(), func(from *json.Decoder) error { return list.read(from, take) })
	if errors.Is(err, errEnough) {
		err = nil
	}
	return list, err
}

// edgeSessions gives how the BGP sessions of an edge are.
func edgeSessions(out chan<- prometheus.Metric, edge string, agent edgeAgent) {
	up := desc("bgp_session_up", "Whether a BGP session of a router port that lives at the edge is up.", "edge", "session")
	received := desc("bgp_session_received_prefixes", "Prefixes that the neighbour of a BGP session tells.", "edge", "session")
	routes := desc("bgp_session_routes", "Of these, routes in the router's table.", "edge", "session")
	withheld := desc("bgp_session_withheld_prefixes", "Prefixes that the neighbour of a BGP session would be told while it is up, but for a reason, such as that nobody is there.", "edge", "session")
	advertised := desc("bgp_session_advertised_prefixes", "Prefixes that the neighbour of a BGP session is told while it is up.", "edge", "session")
	watched := newBFDMetrics(edge, out)
	flaps := desc("bgp_session_flaps_total", "How often a BGP session was lost.", "edge", "session")
	damped := desc("bgp_session_damped_prefixes", "Prefixes that the neighbour of a BGP session tells and that are held back, for they change too often.", "edge", "session")
	suppressed := desc("bgp_session_damped_total", "How often a prefix of the neighbour of a BGP session began to be held back, for it changed too often.", "edge", "session")
	exceeded := desc("bgp_session_max_prefixes_total", "How often the neighbour of a BGP session began to tell more prefixes than maxPrefixes.", "edge", "session")
	for _, s := range agent.Sessions() {
		gauge := func(d *prometheus.Desc, v float64) {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, edge, s.Session)
		}
		if s.State == bgp.Established {
			gauge(up, 1)
		} else {
			gauge(up, 0)
		}
		gauge(received, float64(s.Received))
		gauge(routes, float64(s.Routes))
		gauge(advertised, float64(s.Advertised))
		gauge(damped, float64(s.Damped))
		gauge(withheld, float64(s.Withheld))
		watched.add(&s)
		out <- prometheus.MustNewConstMetric(suppressed, prometheus.CounterValue, float64(s.DampedTotal), edge, s.Session)
		out <- prometheus.MustNewConstMetric(exceeded, prometheus.CounterValue, float64(s.Exceeded), edge, s.Session)
		out <- prometheus.MustNewConstMetric(flaps, prometheus.CounterValue, float64(s.Flaps), edge, s.Session)
	}
}

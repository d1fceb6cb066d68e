package api

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"path"
	"runtime/debug"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/state"
)

// Options are what a server needs.
type Options struct {
	Store *state.Store
	Guard Guard
	// Accounts keeps users and tokens; nil: there are none.
	Accounts Accounts
	Version  string
	Agents   agent.TLS    // how the status servers of agents are asked
	Log      *slog.Logger // nil: silent

	Rate     float64       // requests a second of one caller; 0: any number
	Burst    int           // and at once
	MaxBody  int64         // bytes of a request's body; 16 MiB
	Timeout  time.Duration // of one request, watches aside; 60 s
	Watches  int           // at once; 1000
	Bookmark time.Duration // between words to a watch of which nothing else is told; 15 s
}

// Server answers requests. It holds nothing that another one of the same database does not.
type Server struct {
	cfg     Options
	store   *state.Store
	guard   Guard
	log     *slog.Logger
	limits  limits
	pins    pins
	past    chan struct{} // a place for each that reads what was stored at a revision
	tables  chan struct{} // a place for each that reads routes of neighbours
	watches *places
	metrics *metrics
	mux     *http.ServeMux
	api     huma.API
	docs    []byte // the page of /docs
}

// New returns a server. It answers as soon as Run has read the objects.
func New(o Options) (*Server, error) {
	if o.Store == nil || o.Guard == nil {
		return nil, errors.New("api: a store and a guard are needed")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	def(&o.MaxBody, 16<<20)
	def(&o.Timeout, 60*time.Second)
	def(&o.Watches, 1000)
	def(&o.Bookmark, 15*time.Second)
	def(&o.Burst, max(1, int(2*o.Rate)))
	s := &Server{
		cfg: o, store: o.Store, guard: o.Guard, log: o.Log, past: make(chan struct{}, mostPast), tables: make(chan struct{}, mostTables), watches: newPlaces(o.Watches), mux: http.NewServeMux(),
		limits: limits{rate: rate.Limit(o.Rate), burst: o.Burst, who: map[string]*rate.Limiter{}},
	}
	s.metrics = newMetrics(s)
	s.routes()
	if err := s.sayAll(); err != nil {
		return nil, err
	}
	if err := s.docsRoute(); err != nil {
		return nil, err
	}
	return s, nil
}

// def sets a number that was left out.
func def[N int | int64 | time.Duration](v *N, to N) {
	if *v <= 0 {
		*v = to
	}
}

// routes registers all there is.
func (s *Server) routes() {
	cfg := huma.DefaultConfig("weft", s.cfg.Version)
	cfg.Info.Description = "Networks of tenants on SmartNICs and P4 switches: objects, changes of them, and what becomes of packets."
	cfg.DocsPath, cfg.SchemasPath, cfg.CreateHooks = "", "", nil
	cfg.OpenAPIPath = "/openapi"
	cfg.RejectUnknownQueryParameters = true
	cfg.Transformers = []huma.Transformer{ours}
	cfg.Formats = maps.Clone(cfg.Formats)
	for media, f := range cfg.Formats {
		if f.Unmarshal != nil && strings.Contains(media, "json") {
			f.Unmarshal = onceEach(f.Unmarshal)
			cfg.Formats[media] = f
		}
	}
	s.api = humago.New(s.mux, cfg)
	s.api.UseMiddleware(taken)
	s.objectRoutes()
	s.applyRoutes()
	s.watchRoutes()
	s.accountRoutes()
	s.viewRoutes()
	s.mux.HandleFunc("/", nothingAt(s.mux))
}

// Handler answers requests: those below /v1 of those who are let in; descriptions and health of all.
func (s *Server) Handler() http.Handler {
	root := http.NewServeMux()
	root.Handle("/v1/", asWatch(s.gate(s.mux)))
	root.Handle("GET /openapi.json", s.mux)
	root.Handle("GET /openapi.yaml", s.mux)
	root.HandleFunc("GET /docs", s.serveDocs)
	root.HandleFunc("GET /healthz", s.health)
	root.HandleFunc("/", nothingAt(root))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.caught(w, r)
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.cfg.Timeout + answerTime)) // not of a test's recorder; a watch sets its own
		if at := path.Clean(r.URL.Path); at != r.URL.Path {                                            // ServeMux would redirect
			nothingHere(w, r)
			return
		}
		root.ServeHTTP(w, r)
	})
}

// answerTime is how long the other side may take to read an answer.
const answerTime = 10 * time.Second

// caught answers a request that had the server panic. The others go on.
func (s *Server) caught(w http.ResponseWriter, r *http.Request) {
	why := recover()
	if why == nil || why == http.ErrAbortHandler { //nolint:errorlint // as net/http compares it
		return
	}
	s.log.Error("panic", "method", r.Method, "path", r.URL.Path, "why", why, "stack", string(debug.Stack()))
	refuse(http.StatusInternalServerError, "the server failed; its log says why").write(w, r)
}

// nothingAt answers what has no route in a mux: with the methods that there are, if it is the method that is wrong (RFC 9110, section 15.5.6).
func nothingAt(mux *http.ServeMux) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var allow []string
		for _, method := range []string{http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodPatch, http.MethodPost, http.MethodPut} {
			try := r.Clone(r.Context())
			try.Method = method
			if _, pattern := mux.Handler(try); pattern != "" && pattern != "/" {
				allow = append(allow, method)
			}
		}
		if len(allow) == 0 {
			nothingHere(w, r)
			return
		}
		p := refuse(http.StatusMethodNotAllowed, "%s %s: use %s", r.Method, r.URL.Path, strings.Join(allow, ", "))
		p.headers = http.Header{"Allow": {strings.Join(allow, ", ")}}
		p.write(w, r)
	}
}

// nothingHere answers what has no route.
func nothingHere(w http.ResponseWriter, r *http.Request) {
	refuse(http.StatusNotFound, "%s %s: there is nothing; /docs says what there is", r.Method, r.URL.Path).write(w, r)
}

// health says whether requests can be answered.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	if s.store.Catalogue() == nil {
		http.Error(w, "the database has not been read yet", http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

const trimEvery = time.Minute // that the audit log is trimmed

// Run follows the database until ctx ends (nil). The store's own Run is the caller's.
func (s *Server) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.store.FollowObjects(ctx) })
	g.Go(func() error {
		tick := time.NewTicker(trimEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
			if err := s.store.TrimAudit(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("the audit log is not trimmed", "err", err)
			}
		}
	})
	return g.Wait()
}

// catalogue is what is stored, as far as it is known.
func (s *Server) catalogue() (*state.Catalogue, error) {
	c := s.store.Catalogue()
	if c == nil {
		return nil, busy("the database has not been read yet")
	}
	return c, nil
}

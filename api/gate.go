package api

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/weft-sdn/weft/access"
)

type requestKey struct{}

// requestOf is the id of a request.
func requestOf(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}

// maxRequestID bounds the ids that callers choose.
const maxRequestID = 64

// gate lets a request to a handler in: it has an id, is of somebody, is not one of too many, and is not too long.
func (s *Server) gate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Request-Id")
		if !validID(id) {
			id = rand.Text()
		}
		h := w.Header()
		h.Set("X-Request-Id", id)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		ctx := withAddress(context.WithValue(r.Context(), requestKey{}, id), r)
		r = r.WithContext(ctx)
		began, rec := time.Now(), &recorder{ResponseWriter: w}
		defer func() { s.metrics.count(r, rec.status, began) }() // also of one that panics: it has no status
		who, caller, err := s.enter(r)
		if err == nil {
			if wait := s.limits.take(caller); wait > 0 {
				err = tooMany(int(wait/time.Second)+1, "too many requests; wait")
			}
		}
		if err != nil {
			var p *problem
			if errors.As(s.problemOf(ctx, err), &p) {
				p.write(rec, r)
			}
			_, r.Pattern = s.mux.Handler(r) // which nobody has looked for yet
			return
		}
		if r.Body != nil {
			r.Body = http.MaxBytesReader(w, r.Body, s.cfg.MaxBody)
		}
		shown := r
		ctx = context.WithValue(context.WithValue(ctx, identityKey{}, who), stillKey{}, func() bool {
			now, _, err := s.enter(shown)
			return err == nil && now.Subject == who.Subject && now.Role == who.Role && now.Tenant == who.Tenant
		})
		var cancel context.CancelFunc
		if goesOn(r.URL.Path) {
			ctx, cancel = whileServing(ctx)
		} else {
			ctx, cancel = context.WithTimeout(ctx, s.cfg.Timeout)
		}
		defer cancel()
		r = r.WithContext(ctx)
		next.ServeHTTP(rec, r)
		if rec.status == 0 {
			rec.status = http.StatusOK
		}
	})
}

// goesOn reports whether answers to a path are streams, which take as long as they take.
func goesOn(path string) bool { return path == watchPath || path == eventWatchPath || path == livePath }

// enter is who a request is from, and as whom his requests are counted: he who is about to log in is nobody yet, and counts by his address.
func (s *Server) enter(r *http.Request) (access.Identity, string, error) {
	if r.URL.Path == loginPath {
		return access.Identity{}, addressOf(r.Context()).String(), nil
	}
	who, err := s.guard.Authenticate(r)
	return who, who.Subject, err
}

type stillKey struct{}

// stillIn reports whether who made a request would be let in now as the same: for answers that go on.
func stillIn(ctx context.Context) bool {
	still, ok := ctx.Value(stillKey{}).(func() bool)
	return ok && still()
}

type addressKey struct{}

// withAddress notes where a request is from.
func withAddress(ctx context.Context, r *http.Request) context.Context {
	at, _ := netip.ParseAddrPort(r.RemoteAddr)
	return context.WithValue(ctx, addressKey{}, at.Addr().Unmap())
}

// addressOf is where a request is from: the other end of its connection, be it a proxy. The zero Addr if that has none.
func addressOf(ctx context.Context) netip.Addr {
	a, _ := ctx.Value(addressKey{}).(netip.Addr)
	return a
}

// validID reports whether an id that a caller chose can be in logs as it is.
func validID(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for i := range len(id) {
		if c := id[i]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return true
}

// limits bounds how often somebody may ask.
type limits struct {
	rate  rate.Limit // requests a second; 0: any number
	burst int

	mu  sync.Mutex
	who map[string]*rate.Limiter
}

// mostLimits is of how many callers it is remembered how often they asked.
const mostLimits = 10_000

// take returns how long somebody has to wait; 0: he need not.
func (l *limits) take(subject string) time.Duration {
	if l.rate == 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	lim := l.who[subject]
	if lim == nil {
		if len(l.who) >= mostLimits {
			l.forget()
		}
		lim = rate.NewLimiter(l.rate, l.burst)
		l.who[subject] = lim
	}
	r := lim.Reserve()
	wait := r.Delay()
	if wait > 0 {
		r.Cancel()
	}
	return wait
}

// forget forgets those who have not asked lately, and all if all have.
func (l *limits) forget() {
	for subject, lim := range l.who {
		if lim.Tokens() >= float64(l.burst) {
			delete(l.who, subject)
		}
	}
	if len(l.who) >= mostLimits {
		clear(l.who)
	}
}

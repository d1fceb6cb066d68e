package access

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/wait"
)

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// lab is a database with guards, as servers have.
type lab struct {
	t     *testing.T
	store *state.Store
	clock *clock
	log   *buffer
}

// buffer is what was logged.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// running has something run until the test ends.
func running(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func newLab(t *testing.T) *lab {
	t.Helper()
	store, err := state.Open(t.Context(), state.Config{Embedded: &state.EmbeddedConfig{Dir: t.TempDir(), FastTimers: true, UnsafeNoFsync: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	running(t, store.Run)
	return &lab{t, store, &clock{at: time.Now()}, new(buffer)}
}

// guard is that of one more server.
func (l *lab) guard() *Guard {
	l.t.Helper()
	g, err := New(Config{Store: l.store, PasswordCost: bcrypt.MinCost, Now: l.clock.now, Log: slog.New(slog.NewTextHandler(l.log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		l.t.Fatal(err)
	}
	running(l.t, g.Run)
	l.until("users and tokens are known", g.known.isReady)
	return g
}

// until waits for something.
func (l *lab) until(what string, is func() bool) {
	l.t.Helper()
	wait.Until(l.t, what, is)
}

// shown is a request that shows a token.
func shown(text string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/v1/whoami", nil)
	r.Header.Set("Authorization", "Bearer "+text)
	return r
}

// is wants a token to be of somebody; "" of nobody.
func (l *lab) is(g *Guard, text, want string) {
	l.t.Helper()
	id, err := g.Authenticate(shown(text))
	got := fmt.Sprintf("%s %s %s", id.Subject, id.Role, id.Tenant)
	switch {
	case want == "" && !errors.Is(err, ErrUnauthenticated):
		l.t.Errorf("got %s, %v; want nobody", got, err)
	case want != "" && (err != nil || strings.TrimSpace(got) != want):
		l.t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

var here = netip.MustParseAddr("192.0.2.1")

func (l *lab) user(g *Guard, name string, role Role, password string) UserName {
	l.t.Helper()
	u, err := ParseUserName(name)
	if err == nil {
		_, err = g.CreateUser(l.t.Context(), root, User{Name: u.Name, Tenant: u.Tenant, Role: role}, password)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	return u
}

func (l *lab) login(g *Guard, name, password string) string {
	l.t.Helper()
	_, text, err := g.Login(l.t.Context(), here, name, password)
	if err != nil {
		l.t.Fatal(err)
	}
	return text
}

// who is who a token is of.
func (l *lab) who(g *Guard, text string) Identity {
	l.t.Helper()
	id, err := g.Authenticate(shown(text))
	if err != nil {
		l.t.Fatal(err)
	}
	return id
}

package p4rt_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/p4rt/p4rttest"
)

func TestSessionBecomesReady(t *testing.T) {
	l := newLab(t, nil)
	l.ready()
	v := l.srv.View()
	if v.Pushes != 1 || v.Cookie != l.session.Cookie() {
		t.Errorf("%d pushes, cookie %x; want 1, %x", v.Pushes, v.Cookie, l.session.Cookie())
	}
	if !l.terms[0].Pushed {
		t.Error("the term does not know that the pipeline was pushed")
	}
	l.write(l.flows(p4rt.Insert, 0, 3))
	if n := l.srv.View().Entries; n != 3 {
		t.Errorf("%d entries", n)
	}
}

// A stream that breaks must not disturb what is installed.
func TestStreamCut(t *testing.T) {
	l := newLab(t, nil)
	l.ready()
	l.write(l.flows(p4rt.Insert, 0, 3))
	l.srv.CutStreams()
	l.awaitState(p4rt.Ready, 2)
	v := l.srv.View()
	if v.Pushes != 1 || v.Entries != 3 {
		t.Errorf("%d pushes, %d entries; want 1, 3", v.Pushes, v.Entries)
	}
	if l.terms[1].Pushed {
		t.Error("second term thinks that it pushed")
	}
}

func TestTargetRestart(t *testing.T) {
	for _, tc := range []struct {
		name   string
		keep   bool
		pushes int
	}{{"keeps entries", true, 1}, {"forgets", false, 2}} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLab(t, nil)
			l.ready()
			l.write(l.flows(p4rt.Insert, 0, 3))
			l.srv.Restart(tc.keep)
			l.awaitState(p4rt.Ready, 2)
			v := l.srv.View()
			if v.Pushes != tc.pushes || (v.Entries == 3) != tc.keep {
				t.Errorf("%d pushes, %d entries", v.Pushes, v.Entries)
			}
			l.write(l.flows(p4rt.Insert, 10, 12))
		})
	}
}

// A controller that starts anew finds its pipeline and leaves it.
func TestControllerRestart(t *testing.T) {
	srv := p4rttest.NewServer()
	defer srv.Close()
	t.Run("first", func(t *testing.T) {
		l := newLabOn(t, srv, nil)
		l.ready()
		l.write(l.flows(p4rt.Insert, 0, 3))
	})
	t.Run("second", func(t *testing.T) {
		l := newLabOn(t, srv, nil)
		l.ready()
		if v := srv.View(); v.Pushes != 1 || v.Entries != 3 {
			t.Errorf("%d pushes, %d entries; want 1, 3", v.Pushes, v.Entries)
		}
	})
	t.Run("other program", func(t *testing.T) {
		l := newLabOn(t, srv, func(c *p4rt.Config) { c.DeviceConfig = []byte("other") })
		l.ready()
		if v := srv.View(); v.Pushes != 2 {
			t.Errorf("%d pushes, want 2", v.Pushes)
		}
	})
}

func TestElection(t *testing.T) {
	srv := p4rttest.NewServer()
	defer srv.Close()
	var bidA, bidB atomic.Uint64
	bidA.Store(10)
	bidB.Store(5)
	bid := func(b *atomic.Uint64) func(*p4rt.Config) {
		return func(c *p4rt.Config) {
			c.Election = func(p4rt.ElectionID) p4rt.ElectionID { return p4rt.ElectionID{Low: b.Load()} }
		}
	}
	a := newLabOn(t, srv, bid(&bidA))
	a.ready()
	b := newLabOn(t, srv, bid(&bidB))
	b.awaitState(p4rt.Backup, 1)
	if _, err := b.session.Write(b.ctx, b.flows(p4rt.Insert, 0, 1)); !errors.Is(err, p4rt.ErrNotPrimary) {
		t.Errorf("a backup's write: %v", err)
	}
	a.write(a.flows(p4rt.Insert, 0, 1))
	n := 0
	if err := b.session.ReadEntries(b.ctx, p4rt.ReadOptions{}, func(*p4rt.Entry, p4rt.Counter) error { n++; return nil }); err != nil || n != 1 {
		t.Errorf("a backup reads %d entries, %v", n, err)
	}

	// B overtakes; A steps down and takes no more writes.
	bidB.Store(20)
	b.session.Campaign()
	b.ready()
	a.awaitState(p4rt.Backup, 1)
	if _, err := a.session.Write(a.ctx, a.flows(p4rt.Insert, 1, 2)); !errors.Is(err, p4rt.ErrNotPrimary) {
		t.Errorf("the loser's write: %v", err)
	}
	b.write(b.flows(p4rt.Insert, 1, 2))
	if v := srv.View(); v.Pushes != 1 {
		t.Errorf("a change of primary pushed the pipeline again")
	}
	// And back, by B's standing down below A.
	bidA.Store(30)
	a.session.Campaign()
	a.awaitState(p4rt.Ready, 2)
	b.awaitState(p4rt.Backup, 2)
}

// The id that a target has seen is offered to the next bid, so that a controller that comes back
// can outbid its own former self.
func TestElectionSeesHighest(t *testing.T) {
	srv := p4rttest.NewServer()
	defer srv.Close()
	t.Run("first", func(t *testing.T) {
		l := newLabOn(t, srv, func(c *p4rt.Config) {
			c.Election = func(p4rt.ElectionID) p4rt.ElectionID { return p4rt.ElectionID{Low: 100} }
		})
		l.ready()
	})
	t.Run("second", func(t *testing.T) {
		l := newLabOn(t, srv, func(c *p4rt.Config) {
			c.Election = func(seen p4rt.ElectionID) p4rt.ElectionID { return p4rt.ElectionID{Low: seen.Low + 1} }
		})
		l.ready() // a backup at first, of nobody
	})
}

// When the primary leaves, a backup takes over: by a higher bid where the specification wants one,
// at once where the target promotes by itself.
func TestSuccession(t *testing.T) {
	for _, tc := range []struct {
		name   string
		quirks p4rttest.Quirks
		raise  uint64
	}{
		{"by a new bid", p4rttest.Quirks{}, 1},
		{"by the target", p4rttest.Quirks{AutoPromote: true}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			srv := p4rttest.NewServer()
			defer srv.Close()
			srv.SetQuirks(tc.quirks)
			var b *lab
			t.Run("primary", func(inner *testing.T) {
				a := newLabOn(inner, srv, func(c *p4rt.Config) {
					c.Election = func(p4rt.ElectionID) p4rt.ElectionID { return p4rt.ElectionID{High: 1} }
				})
				a.ready()
				b = newLabOn(t, srv, func(c *p4rt.Config) {
					c.Election = func(seen p4rt.ElectionID) p4rt.ElectionID {
						return p4rt.ElectionID{High: seen.High, Low: max(1, tc.raise*(seen.Low+1))}
					}
				})
				if tc.raise == 0 {
					b.awaitState(p4rt.Backup, 1)
				}
			})
			b.ready()
			b.write(b.flows(p4rt.Insert, 0, 1))
		})
	}
}

// The term's context ends with the primaryship, so that a slow reconcile stops.
func TestDemotedWhileReconciling(t *testing.T) {
	srv := p4rttest.NewServer()
	defer srv.Close()
	began, ended := make(chan struct{}), make(chan error, 1)
	a := newLabOn(t, srv, func(c *p4rt.Config) {
		c.OnPrimary = func(ctx context.Context, term *p4rt.Term) error {
			close(began)
			<-ctx.Done()
			_, err := term.Write(context.Background(), []p4rt.Update{})
			_ = err // nothing to write
			e, _ := c.Schema.Table("rewrite")
			_, err = term.Write(context.Background(), []p4rt.Update{{Op: p4rt.Delete, Entity: e.NewEntry()}})
			ended <- err
			return ctx.Err()
		}
	})
	<-began
	newLabOn(t, srv, func(c *p4rt.Config) {
		c.Election = func(p4rt.ElectionID) p4rt.ElectionID { return p4rt.ElectionID{Low: 9} }
	})
	a.awaitState(p4rt.Backup, 1)
	if err := <-ended; !errors.Is(err, p4rt.ErrNotPrimary) {
		t.Errorf("write of an ended term: %v", err)
	}
}

func TestOnPrimaryFails(t *testing.T) {
	var calls atomic.Int32
	l := newLab(t, func(c *p4rt.Config) {
		c.OnPrimary = func(context.Context, *p4rt.Term) error {
			if calls.Add(1) < 3 {
				return errors.New("not today")
			}
			return nil
		}
	})
	l.ready()
	if n := calls.Load(); n != 3 {
		t.Errorf("called %d times", n)
	}
}

// Backoff doubles up to its limit, with jitter, and is reset by success. The clock is fake.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		s, err := p4rt.NewSession(p4rt.Config{
			Schema: miniSchema(t),
			Dial: func(context.Context) (p4rt.Conn, error) {
				at = append(at, time.Now())
				return nil, errors.New("no route")
			},
			BackoffMin: time.Second, BackoffMax: 8 * time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		if err := s.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		limit := time.Second
		for i := 1; i < len(at); i++ {
			d := at[i].Sub(at[i-1])
			if d < limit/2 || d > limit {
				t.Errorf("wait %d is %s, want %s to %s", i, d, limit/2, limit)
			}
			limit = min(2*limit, 8*time.Second)
		}
		if len(at) < 15 || len(at) > 35 {
			t.Errorf("%d attempts in two minutes", len(at))
		}
	})
}

// A target that does not answer is given up after CallTimeout; one that lost its pipeline behind
// our back is found out by the probe. The clock is fake.
func TestSilentTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := p4rttest.NewServer()
		defer srv.Close()
		srv.SetQuirks(p4rttest.Quirks{DeafStream: true})
		cfg := p4rt.Config{Dial: srv.Dial, Schema: miniSchema(t), CallTimeout: 3 * time.Second, ProbeInterval: 10 * time.Second}
		s, err := p4rt.NewSession(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan error)
		go func() { ended <- s.Run(ctx) }()

		start := time.Now()
		for srv.View().Dials < 2 {
			time.Sleep(100 * time.Millisecond) // fake time
		}
		if d := time.Since(start); d < 3*time.Second || d > 4*time.Second {
			t.Errorf("gave up after %s", d)
		}
		srv.SetQuirks(p4rttest.Quirks{})
		<-s.Ready()
		srv.LosePipeline()
		start = time.Now()
		for srv.View().Pushes < 2 {
			time.Sleep(100 * time.Millisecond)
		}
		if d := time.Since(start); d > 11*time.Second {
			t.Errorf("noticed the lost pipeline after %s", d)
		}
		cancel()
		<-ended
	})
}

func TestRoleRefusedByProfile(t *testing.T) {
	srv := p4rttest.NewServer()
	defer srv.Close()
	_, err := p4rt.NewSession(p4rt.Config{Dial: srv.Dial, Schema: miniSchema(t), Role: "flows", Profile: p4rt.BMv2()})
	if !errors.Is(err, p4rt.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}

// A call that breaks in the middle leaves its batch in doubt, and what came after unsent.
func TestCutMidBatch(t *testing.T) {
	l := newLab(t, func(c *p4rt.Config) { c.Profile.MaxBatch = 4 })
	l.ready()
	l.srv.SetQuirks(p4rttest.Quirks{BeforeUpdate: func(n int) error {
		if n >= 6 {
			return status.Error(codes.Unavailable, "power cut")
		}
		return nil
	}})
	res, err := l.session.Write(l.ctx, l.flows(p4rt.Insert, 0, 12))
	if status.Code(err) != codes.Unavailable {
		t.Fatalf("got %v", err)
	}
	for i, r := range res {
		want := p4rt.Applied
		switch {
		case i >= 8:
			want = p4rt.NotSent
		case i >= 4:
			want = p4rt.Unknown
		}
		if r.Outcome != want {
			t.Errorf("update %d: %s, want %s", i, r.Outcome, want)
		}
	}
	if n := l.srv.View().Entries; n != 6 {
		t.Errorf("%d entries", n)
	}
}

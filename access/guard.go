package access

import (
	"context"
	"log/slog"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/weft-sdn/weft/state"
)

// Config says how a guard is to work.
type Config struct {
	Store   *state.Store  // where users and tokens are; nil: there are none
	OIDC    *OIDC         // who else says who somebody is; nil: nobody
	Session time.Duration // that one stays logged in; 12 hours
	// PasswordCost is that of hashing passwords, as bcrypt has it; 0: 12, a quarter of a second.
	PasswordCost int
	Now          func() time.Time // nil: time.Now
	Log          *slog.Logger     // nil: silent
}

// Guard knows who has access, and decides.
type Guard struct {
	cfg     Config
	policy  *policy
	known   *directory
	client  *clientv3.Client // nil: no store
	watcher *state.Watcher
	misses  *rate.Limiter // of looking in the database for a token that is not known
	tries   *throttle

	passwords passwords
	used      *usage
	oidc      *verifier // nil: none
}

// New returns a guard. It knows users and tokens while Run does.
func New(cfg Config) (*Guard, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Session <= 0 {
		cfg.Session = 12 * time.Hour
	}
	p, err := newPolicy()
	if err != nil {
		return nil, err
	}
	g := &Guard{cfg: cfg, policy: p, known: newDirectory(cfg.Log), misses: rate.NewLimiter(20, 20), tries: newThrottle(cfg.Now), used: newUsage(), passwords: newPasswords(cfg.PasswordCost)}
	if cfg.OIDC != nil {
		if g.oidc, err = newVerifier(*cfg.OIDC, cfg.Now); err != nil {
			return nil, err
		}
	}
	if cfg.Store != nil {
		g.client, g.watcher = cfg.Store.Client(), cfg.Store.Follow(userPrefix, tokenPrefix)
	}
	return g, nil
}

// Run follows who has access until ctx ends.
func (g *Guard) Run(ctx context.Context) error {
	if g.watcher == nil {
		<-ctx.Done()
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return g.watcher.Run(ctx, g.known.deliver) })
	group.Go(func() error { return g.used.run(ctx, g.client) })
	return group.Wait()
}

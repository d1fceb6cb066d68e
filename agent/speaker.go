package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/engine"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/rpki"
	"github.com/weft-sdn/weft/telemetry"
	"github.com/weft-sdn/weft/vpn"
)

// Speaking is the agent of an edge that speaks BGP for the router ports there (G1), holds VPNs (V1), and follows the links of its target if it is to (O2).
type Speaking struct {
	*engine.Agent
	speaker   *bgp.Speaker
	keeper    *vpn.Keeper
	collector *telemetry.Collector // nil: the target is not watched
}

// NewSpeaking is engine.NewAgent with a speaker and a keeper of VPNs.
func NewSpeaking(cfg engine.Config, b bgp.Config, v vpn.Config) (*Speaking, error) {
	between, keeper := &between{speaker: bgp.New(b)}, vpn.New(v)
	cfg.Speaker = between
	told := cfg.OnLive
	cfg.OnLive = func(lost error) {
		keeper.Live(lost == nil)
		if told != nil {
			told(lost)
		}
	}
	var err error
	if between.agent, err = engine.NewAgent(cfg); err != nil {
		return nil, err
	}
	return &Speaking{Agent: between.agent, speaker: between.speaker, keeper: keeper}, nil
}

// Run runs all of it until ctx, or the agent, ends. The speaker ends first: its last words go by the agent.
func (s *Speaking) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	ctx, endSpeaker := context.WithCancel(ctx)
	of, endAgent := context.WithCancel(context.WithoutCancel(ctx))
	g.Go(func() error { return s.keeper.Run(ctx) })
	if s.collector != nil {
		g.Go(func() error { return s.collector.Run(ctx) })
	}
	g.Go(func() error {
		defer endAgent()
		return s.speaker.Run(ctx)
	})
	g.Go(func() error {
		defer endSpeaker()
		return s.Agent.Run(of)
	})
	return g.Wait()
}

// VPNs tells how the VPNs are that the edge may hold.
func (s *Speaking) VPNs() []vpn.Status { return s.keeper.Status() }

// Sessions tells how the BGP sessions of the edge are.
func (s *Speaking) Sessions() []bgp.Status { return s.speaker.Status() }

// Routes lists what the neighbour of a session tells, or is told: bgp.Speaker.
func (s *Speaking) Routes(session string, sent bool, c bgp.Choice) ([]bgp.Route, error) {
	if sent {
		return s.speaker.Sent(session, c)
	}
	return s.speaker.Received(session, c)
}

// Caches tells how the RPKI caches of the edge are.
func (s *Speaking) Caches() []rpki.CacheStatus { return s.speaker.Caches() }

// between passes packets, and what is to be done, between agent and speaker, which do not know each other.
type between struct {
	agent   *engine.Agent
	speaker *bgp.Speaker
}

// Speak implements engine.Speaker.
func (b *between) Speak(ctx context.Context, ports []engine.SpeakingPort) {
	list := make([]bgp.Port, len(ports))
	for i, p := range ports {
		id := p.Port.ID
		list[i] = bgp.Port{Port: p.Port, Sessions: p.Sessions, Own: p.Own, Unable: p.Unable, Forwards: p.Forwards, Send: func(packet []byte) { b.agent.Speak(id, packet) }}
	}
	b.speaker.Speak(ctx, list)
}

// Receive implements engine.Speaker.
func (b *between) Receive(port flow.VPortID, packet []byte) { b.speaker.Receive(port, packet) }

// BGP is how an edge speaks BGP.
type BGP struct {
	Stack   string `json:"stack"`   // kernel, userspace; empty: the kernel's where the process may
	Secrets string `json:"secrets"` // folder of files, one a secret, whose first line is the password
	RPKI    []RPKI `json:"rpki"`    // caches that say who may originate a prefix
}

// RPKI is a cache of RPKI data.
type RPKI struct {
	Address string `json:"address"` // HOST:PORT
	TLS     TLS    `json:"tls"`     // zero: plain TCP
}

// caches are the caches as the speaker wants them.
func (b *BGP) caches() (list []rpki.Cache) {
	for _, r := range b.RPKI {
		c := rpki.Cache{Address: r.Address}
		if !r.TLS.IsZero() {
			c.TLS = r.TLS.Client
		}
		list = append(list, c)
	}
	return list
}

// secret reads one that a session of a tenant's names.
func (b *BGP) secret(tenant, name string) (string, error) {
	password, err := readSecret("bgp.secrets", b.Secrets, tenant, name)
	if password = strings.TrimRight(password, "\r"); err == nil && (password == "" || len(password) > maxPassword) {
		return "", fmt.Errorf("its file's first line has %d characters: 1 to %d would do", len(password), maxPassword)
	}
	return password, err
}

// readSecret reads the first line of the file TENANT/NAME in a folder of secrets: what a tenant's objects name is the tenant's. Tenants see the error: paths of the edge's are not in it.
func readSecret(field, folder, tenant, name string) (string, error) {
	if folder == "" {
		return "", fmt.Errorf("the edge's configuration has no %s, the folder of secrets", field)
	}
	for _, part := range [...]string{tenant, name} {
		if !filepath.IsLocal(part) || filepath.Base(part) != part {
			return "", fmt.Errorf("%q: is no name of a file", part)
		}
	}
	file := filepath.Join(tenant, name)
	raw, err := os.ReadFile(filepath.Join(folder, file))
	var why *fs.PathError
	if errors.As(err, &why) {
		return "", fmt.Errorf("file %s in the edge's %s: %w", file, field, why.Err)
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	return line, err
}

// maxPassword is what a kernel takes (TCP_MD5SIG_MAXKEYLEN).
const maxPassword = 80

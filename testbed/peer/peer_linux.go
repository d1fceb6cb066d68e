package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/netns"
)

const (
	established = "Established" // state of a session (RFC 4271 §8.2.2)
	interval    = 20 * time.Millisecond
	patience    = time.Minute // for a program to listen at its control socket
)

// speaker is how a maker's programs are set up and spoken to. All of it goes through files and sockets in one directory.
type speaker interface {
	// write makes the configuration files.
	write(*Config) error
	// programs are what makes up the speaker, in the order in which they start.
	programs(*Config) []program
	// begin lets the running programs speak to neighbours.
	begin(context.Context, *Config) error
	// change has the running programs announce and withdraw. The configuration is the one after it.
	change(ctx context.Context, c *Config, announce, withdraw []netip.Prefix) error
	// state is that of a session, in the words of RFC 4271.
	state(ctx context.Context, c *Config, n *Neighbour) (string, error)
	// watched tells whether BFD has a neighbour up.
	watched(ctx context.Context, n *Neighbour) (bool, error)
	// routes are those that neighbours told.
	routes(context.Context) (map[netip.Prefix][]netip.Addr, error)
}

// program is one process of a speaker.
type program struct {
	name, socket string // it is up when it listens at its socket
	args         []string
}

// Peer is a running speaker on a machine of its own, whose methods (Exec, PingWith, ServeHTTP …) are traffic from there. It is safe for concurrent use.
type Peer struct {
	*netns.Host
	speaker speaker
	dir     string
	log     log

	mu      sync.Mutex // of changes
	cfg     Config
	running []*netns.Process
}

// Open powers a machine on, plugs it into link, and starts a speaker there. It returns when the speaker takes questions, and needs root. The error is
// ErrNotInstalled where the maker's programs are missing. Close it.
func Open(cfg Config, link host.Link) (_ *Peer, err error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	if err := Missing(cfg.Maker); err != nil {
		return nil, fmt.Errorf("peer %q: %w", cfg.Name, err)
	}
	p := &Peer{cfg: cfg}
	defer func() {
		if err != nil {
			p.Close()
			err = fmt.Errorf("peer %q: %w", cfg.Name, err)
		}
	}()
	if p.dir, err = makeDirectory(cfg.Maker); err != nil {
		return nil, err
	}
	p.speaker = &bird{dir: p.dir}
	if cfg.Maker == FRR {
		p.speaker = &frr{dir: p.dir}
	}
	machine, err := netns.New(host.Config{Name: cfg.Name, MAC: cfg.MAC, Addrs: cfg.Addrs, MTU: cfg.MTU}, link)
	if err != nil {
		return nil, err
	}
	p.Host = machine.(*netns.Host)
	if err := p.speaker.write(&p.cfg); err != nil {
		return nil, err
	}
	return p, p.start()
}

// makeDirectory makes the directory of a speaker. FRR as Debian has it gives its privileges up, for those of user frr.
func makeDirectory(maker Maker) (string, error) {
	dir, err := os.MkdirTemp("", "peer")
	if err != nil || maker != FRR {
		return dir, err
	}
	owner, err := user.Lookup("frr")
	if err != nil {
		return dir, nil // built to stay root
	}
	uid, _ := strconv.Atoi(owner.Uid)
	gid, _ := strconv.Atoi(owner.Gid)
	return dir, os.Chown(dir, uid, gid)
}

// start starts the programs, each when the one before is up. The caller has mu, or the only reference.
func (p *Peer) start() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, one := range p.speaker.programs(&p.cfg) {
		path, err := find(p.cfg.Maker, one.name)
		if err != nil {
			return err
		}
		if err := os.Remove(one.socket); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err // of one that was killed
		}
		process, err := p.Start(&p.log, path, one.args...)
		if err != nil {
			return err
		}
		p.running = append(p.running, process)
		err = until(ctx, func() (bool, error) {
			select {
			case <-process.Done():
				return false, fmt.Errorf("%s ended: %w", one.name, process.Err())
			default:
			}
			conn, err := net.Dial("unix", one.socket)
			if err == nil {
				err = conn.Close()
			}
			return err == nil, nil
		})
		if err != nil {
			return fmt.Errorf("start %s: %w; it said: %s", one.name, err, p.log.tail())
		}
	}
	return p.speaker.begin(ctx, &p.cfg)
}

// until asks again and again until it is so.
func until(ctx context.Context, is func() (bool, error)) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if ok, err := is(); ok || err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// State is that of the session with a neighbour, in the words of RFC 4271 §8.2.2: Idle, Connect, Active, OpenSent, OpenConfirm, Established.
func (p *Peer) State(ctx context.Context, neighbour netip.Addr) (string, error) {
	n, err := p.cfg.neighbour(neighbour) // neighbours do not change
	if err != nil {
		return "", err
	}
	state, err := p.speaker.state(ctx, &p.cfg, n)
	return state, p.told(err)
}

// Established waits until the session with a neighbour is up.
func (p *Peer) Established(ctx context.Context, neighbour netip.Addr) error {
	return p.await(ctx, neighbour, func(state string) bool { return state == established })
}

// Down waits until the session with a neighbour is not up.
func (p *Peer) Down(ctx context.Context, neighbour netip.Addr) error {
	return p.await(ctx, neighbour, func(state string) bool { return state != established })
}

func (p *Peer) await(ctx context.Context, neighbour netip.Addr, is func(state string) bool) error {
	var state string
	err := until(ctx, func() (_ bool, err error) {
		state, err = p.State(ctx, neighbour)
		return is(state), err
	})
	if err != nil {
		return fmt.Errorf("peer %q: session with %s is %s: %w; it said: %s", p.cfg.Name, neighbour, state, err, p.log.tail())
	}
	return nil
}

// Watched waits until BFD has a neighbour up. The session may be up before.
func (p *Peer) Watched(ctx context.Context, neighbour netip.Addr) error {
	n, err := p.cfg.neighbour(neighbour)
	if err != nil {
		return err
	}
	err = until(ctx, func() (bool, error) {
		up, err := p.speaker.watched(ctx, n)
		return up, p.told(err)
	})
	if err != nil {
		return fmt.Errorf("peer %q: BFD with %s is not up: %w", p.cfg.Name, neighbour, err)
	}
	return nil
}

// told explains why a question had no answer.
func (p *Peer) told(err error) error {
	if err == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.running) == 0 {
		err = fmt.Errorf("%s %w", p.cfg.Maker, ErrEnded)
	}
	for _, process := range p.running {
		select {
		case <-process.Done():
			err = fmt.Errorf("%s %w: %w; it said: %s", p.cfg.Maker, ErrEnded, err, p.log.tail())
		default:
		}
	}
	return fmt.Errorf("peer %q: %w", p.cfg.Name, err)
}

// Routes are those that neighbours told, with their next hops (link-local ones aside), the best first.
func (p *Peer) Routes(ctx context.Context) (map[netip.Prefix][]netip.Addr, error) {
	routes, err := p.speaker.routes(ctx)
	return routes, p.told(err)
}

// AwaitRoutes waits until the routes that neighbours told are so, and returns them; also those that were not when ctx ended.
func (p *Peer) AwaitRoutes(ctx context.Context, is func(map[netip.Prefix][]netip.Addr) bool) (routes map[netip.Prefix][]netip.Addr, err error) {
	err = until(ctx, func() (bool, error) {
		now, err := p.Routes(ctx)
		if err == nil {
			routes = now
		}
		return err == nil && is(routes), err
	})
	return routes, err
}

// Announce has the speaker announce prefixes besides.
func (p *Peer) Announce(ctx context.Context, prefixes ...netip.Prefix) error {
	return p.change(ctx, prefixes, nil)
}

// Withdraw has the speaker announce prefixes no more.
func (p *Peer) Withdraw(ctx context.Context, prefixes ...netip.Prefix) error {
	return p.change(ctx, nil, prefixes)
}

func (p *Peer) change(ctx context.Context, announce, withdraw []netip.Prefix) error {
	if err := p.cfg.checkPrefixes(announce); err != nil {
		return err
	}
	p.mu.Lock()
	gone := make(map[netip.Prefix]bool, len(withdraw)+len(announce))
	for _, prefix := range slices.Concat(withdraw, announce) {
		gone[prefix] = true
	}
	next := p.cfg
	next.Announce = slices.DeleteFunc(slices.Clone(p.cfg.Announce), func(one netip.Prefix) bool { return gone[one] })
	next.Announce = append(next.Announce, announce...)
	err := p.speaker.write(&next)
	if err == nil {
		p.cfg.Announce = next.Announce
		err = p.speaker.change(ctx, &next, announce, withdraw)
	}
	p.mu.Unlock()
	return p.told(err)
}

// Restart ends the speaker, which tells its neighbours so unless it is gone already, and starts it with the same configuration.
func (p *Peer) Restart() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end((*netns.Process).Stop)
	if err := p.start(); err != nil {
		return fmt.Errorf("peer %q: %w", p.cfg.Name, err)
	}
	return nil
}

// Kill ends the speaker without a word of its own to neighbours (its kernel resets the connections); Restart starts it again. Its programs end at once: none sees another's end, to tell of it.
func (p *Peer) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all sync.WaitGroup
	for _, process := range p.running {
		all.Go(process.Kill)
	}
	all.Wait()
	p.running = nil
}

// end ends the programs, the last first. The caller has mu.
func (p *Peer) end(one func(*netns.Process)) {
	for _, process := range slices.Backward(p.running) {
		one(process)
	}
	p.running = nil
}

// Log is what the speaker has printed.
func (p *Peer) Log() string { return p.log.String() }

// Close ends the speaker, as Restart does, and its machine.
func (p *Peer) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end((*netns.Process).Stop)
	if p.Host != nil {
		p.Host.Close()
	}
	if p.dir != "" {
		_ = os.RemoveAll(p.dir) // a directory of our own in that of temporary files
	}
}

// file is the path of a file of a speaker.
func file(dir, name string) string { return filepath.Join(dir, name) }

// log keeps what programs print.
type log struct {
	mu   sync.Mutex
	said bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said.String()
}

// tail is the end of the log, in one line.
func (l *log) tail() string {
	lines := bytes.Split(bytes.TrimSpace([]byte(l.String())), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-5):], []byte("; ")))
}

package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	askTimeout    = 10 * time.Second // of Capabilities and Get
	maxInterfaces = 1024             // of a target
)

// connect makes one connection and collects by it until it ends.
func (c *Collector) connect(ctx context.Context) error {
	conn, err := grpc.NewClient(c.cfg.Address, c.cfg.Options...)
	if err != nil {
		return err
	}
	defer conn.Close()
	client := gpb.NewGNMIClient(conn)
	common, err := c.capabilities(ctx, client)
	if err != nil {
		return err
	}
	ports := c.cfg.Ports
	if len(ports) == 0 {
		if ports, err = c.discover(ctx, client, common); err != nil {
			return err
		}
	}
	all := attempts(common)
	for _, a := range all {
		var told bool
		if told, err = c.subscribe(ctx, client, a, ports); ctx.Err() != nil || told || !refused(err) && !errors.Is(err, errSilent) {
			return err
		}
		c.act(func(t *table) { t.counts.Refusals++ })
		c.cfg.Log.Debug("subscription refused", "mode", a.mode, "encoding", a.encoding, "err", err)
	}
	return fmt.Errorf("the target takes none of %d kinds of subscription, the last: %w", len(all), err)
}

// capabilities returns the encodings that both sides have.
func (c *Collector) capabilities(ctx context.Context, client gpb.GNMIClient) ([]gpb.Encoding, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	r, err := client.Capabilities(ctx, &gpb.CapabilityRequest{})
	if status.Code(err) == codes.Unimplemented {
		return encodings, nil
	}
	if err != nil {
		return nil, fmt.Errorf("capabilities: %w", err)
	}
	c.mu.Lock()
	c.status.Version = shown(r.GetGNMIVersion(), maxVersion)
	c.mu.Unlock()
	return understood(r.GetSupportedEncodings())
}

// discover asks which interfaces have a port of P4Runtime (openconfig-p4rt).
func (c *Collector) discover(ctx context.Context, client gpb.GNMIClient, common []gpb.Encoding) (map[string]uint16, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req := &gpb.GetRequest{Type: gpb.GetRequest_STATE, Encoding: common[0], Path: []*gpb.Path{path("*", "state", "id")}}
	if c.cfg.Target != "" {
		req.Prefix = &gpb.Path{Target: c.cfg.Target}
	}
	r, err := client.Get(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("which interface has which port (name them in the configuration if the target can't say): %w", err)
	}
	names := map[uint16]string{}
	for _, n := range r.GetNotification() {
		for _, u := range n.GetUpdate() {
			leaves(n.GetPrefix(), u, func(p place, v any) {
				id, ok := number(v)
				if !ok || p.leaf != "state/id" || id > uint64(c.last()) || !goodName(p.iface) || len(names) == maxInterfaces {
					return
				}
				if other, taken := names[uint16(id)]; !taken || p.iface < other {
					names[uint16(id)] = p.iface
				}
			})
		}
	}
	if len(names) == 0 {
		return nil, errors.New("no interface of the target tells its P4Runtime port as state/id: name them in the configuration")
	}
	ports := make(map[string]uint16, len(names))
	for id, name := range names {
		ports[name] = id
	}
	return ports, nil
}

// Bounds of what a target says of itself, in bytes.
const (
	maxVersion = 32
	maxError   = 512
)

// shown is a target's text as it may be kept, and shown to people.
func shown(s string, most int) string {
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, strings.Clone(s))
}

// maxName bounds the names of interfaces, in bytes.
const maxName = 128

// goodName reports whether a name of an interface may be shown to people.
func goodName(name string) bool {
	return name != "" && len(name) <= maxName && !strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })
}

func (c *Collector) last() uint16 {
	if c.cfg.Last == 0 {
		return 1<<16 - 1
	}
	return c.cfg.Last
}

// subscribe collects by one subscription until it ends. told is whether anything came by it.
func (c *Collector) subscribe(ctx context.Context, client gpb.GNMIClient, a attempt, ports map[string]uint16) (told bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// One that hangs looks like one that has nothing to say: but samples are due.
	limit := c.table.stale
	watch := time.AfterFunc(limit, func() { cancel(silent(limit)) })
	defer watch.Stop()
	ended := func(err error) error {
		if cause := context.Cause(ctx); errors.Is(cause, errSilent) {
			return cause
		}
		return err
	}
	stream, err := client.Subscribe(ctx)
	if err != nil {
		return false, ended(err)
	}
	if err := stream.Send(a.request(c.cfg.Target, ports, c.cfg.Interval)); err != nil && !errors.Is(err, io.EOF) { // Recv has the reason
		return false, ended(err)
	}
	for {
		r, err := stream.Recv()
		if err != nil {
			return told, ended(err)
		}
		watch.Reset(limit)
		if !told {
			told = true
			c.began(a, ports)
		}
		c.receive(r)
	}
}

// began notes that a subscription is taken.
func (c *Collector) began(a attempt, ports map[string]uint16) {
	c.act(func(t *table) {
		t.begin(ports, a.mode.sampled())
		t.counts.Connects++
		s := &c.status
		s.Connected, s.Error, s.Since, s.Encoding, s.Mode = true, "", time.Now(), a.encoding.String(), a.mode
	})
	c.cfg.Log.Info("telemetry comes", "target", c.cfg.Address, "interfaces", len(ports), "encoding", a.encoding.String(), "mode", string(a.mode))
}

func (c *Collector) receive(r *gpb.SubscribeResponse) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.table
	switch {
	case r.GetUpdate() != nil:
		t.apply(r.GetUpdate(), time.Now())
	case r.GetSyncResponse():
		t.counts.Syncs++
		c.status.Synced = true
	default:
		t.counts.Malformed++
	}
	if t.moved { // else the next tick does: a target that tells each counter by itself costs no look at all links for each
		c.tell()
	}
}

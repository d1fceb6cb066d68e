package scenario

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/weft-sdn/weft/testbed/host"
)

// How long a ping waits for each answer. One that is to come may be held up by a busy machine: a request is sent once, and waits for the database where its
// connection is stored there.
const (
	pingTimeout = 10 * time.Second
	failTimeout = time.Second // that none is to come
)

// patience is how long a ping waits for each answer: all its time for an ICMP error, which a router may send seconds later, when it has asked for
// the next hop in vain.
func (p *Ping) patience() time.Duration {
	switch {
	case len(p.Outcome.Errors) > 0:
		return p.Within
	case p.Outcome.Fail:
		return min(failTimeout, p.Within)
	}
	return min(pingTimeout, p.Within)
}

// Ping implements Hosts.
func (m *Machines) Ping(ctx context.Context, p Ping) (Measured, error) {
	var took Measured
	err := m.each(ctx, p.From, p.To, p.Family, p.Outcome, p.Within, service{}, func(ctx context.Context, from *machine, to netip.AddrPort) error {
		result, err := from.PingWith(ctx, to.Addr(), host.PingConfig{
			Count: p.Count, Size: p.Size, TTL: p.TTL, DontFragment: p.DontFragment, Interval: p.Interval, Timeout: p.patience(),
		})
		for i, echo := range result.Echoes {
			switch {
			case echo.RTT <= 0: // it was not answered, or nobody knows when
			case i > 0:
				took.Later = append(took.Later, echo.RTT)
			case took.First == 0:
				took.First = echo.RTT
			}
		}
		return err
	})
	return took, err
}

// Traceroute implements Hosts.
func (m *Machines) Traceroute(ctx context.Context, t Traceroute) error {
	return m.each(ctx, t.From, t.To, t.Family, Outcome{}, t.Within, service{}, func(ctx context.Context, from *machine, to netip.AddrPort) error {
		var want []netip.Addr
		for _, addr := range t.Via {
			if addr.Is4() == to.Addr().Is4() {
				want = append(want, addr)
			}
		}
		want = append(want, to.Addr())
		hops, err := from.Trace(ctx, to.Addr(), uint8(len(want)+2)) // two more, to see a detour
		got := make([]netip.Addr, len(hops))
		for i, hop := range hops {
			got[i] = hop.By
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("%w: the path is %v, want %v (%w)", ErrUnexpected, got, want, orUnexpected(err))
		}
		return err
	})
}

// orUnexpected is err, or ErrUnexpected where there is none.
func orUnexpected(err error) error {
	if err == nil {
		return ErrUnexpected
	}
	return err
}

// TCP implements Hosts.
func (m *Machines) TCP(ctx context.Context, t TCP) (Measured, error) {
	return m.transfer(ctx, t, "sink", func(ctx context.Context, from *machine, to netip.AddrPort) (host.Transfer, error) {
		pace := t.Pace
		if _, paces := from.Machine.(*host.Host); pace == nil && paces { // iperf3 goes at its own
			pace = t.Entries
		}
		return from.PushAt(ctx, to, t.Bytes, pace)
	})
}

// HTTP implements Hosts.
func (m *Machines) HTTP(ctx context.Context, h HTTP) (Measured, error) {
	return m.transfer(ctx, TCP(h), "http", func(ctx context.Context, from *machine, to netip.AddrPort) (host.Transfer, error) {
		pace := h.Pace
		if pace == nil {
			pace = h.Entries
		}
		return from.FetchAt(ctx, to, h.Bytes, pace)
	})
}

// transfer moves bytes between a host and a service, in the way of move.
func (m *Machines) transfer(ctx context.Context, t TCP, proto string, move func(context.Context, *machine, netip.AddrPort) (host.Transfer, error)) (Measured, error) {
	var took Measured
	err := m.each(ctx, t.From, t.To, t.Family, t.Outcome, t.Within, service{proto, t.To.Port}, func(ctx context.Context, from *machine, to netip.AddrPort) error {
		result, err := move(ctx, from, to)
		if took.First == 0 {
			took.First = result.Connected
		}
		return err
	})
	return took, err
}

// UDP implements Hosts.
func (m *Machines) UDP(ctx context.Context, u UDP) error {
	payload := make([]byte, u.Size)
	rand.Read(payload)
	return m.each(ctx, u.From, u.To, u.Family, u.Outcome, u.Within, service{"echo", u.To.Port}, func(ctx context.Context, from *machine, to netip.AddrPort) error {
		least, back := cmp.Or(u.Min, u.Count), 0
		for sent := 1; sent <= u.Count; sent++ {
			_, err := from.EchoUDP(ctx, to, payload, cmp.Or(u.Each, u.Within))
			if err == nil {
				back++
			} else if ctx.Err() != nil || back+u.Count-sent < least {
				return fmt.Errorf("%d of %d datagrams came back, want %d of %d: %w", back, sent, least, u.Count, err)
			}
		}
		return nil
	})
}

// Raw implements Hosts.
func (m *Machines) Raw(ctx context.Context, r Raw) error {
	from, err := m.machine(r.Host)
	if err != nil {
		return err
	}
	m.observeAnew()
	return from.InjectAll(ctx, func(yield func([]byte) bool) {
		for range r.Count {
			for _, frame := range r.Frames {
				if !yield(frame) {
					return
				}
			}
		}
	})
}

func (m *Machines) observeAnew() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, one := range m.hosts {
		one.tap.Close()
		one.tap = one.Tap(tapDepth)
	}
}

// Received implements Hosts.
func (m *Machines) Received(ctx context.Context, name string, match func(frame []byte) bool) error {
	one, err := m.machine(name)
	if err != nil {
		return err
	}
	_, err = m.tap(one).Wait(ctx, match)
	return err
}

func (m *Machines) tap(one *machine) *host.Tap {
	m.mu.Lock()
	defer m.mu.Unlock()
	return one.tap
}

// each does an operation towards each address of the target, within the same time each, and
// checks how each ended.
func (m *Machines) each(ctx context.Context, fromName string, to Target, family Family, outcome Outcome, within time.Duration,
	need service, do func(context.Context, *machine, netip.AddrPort) error,
) error {
	from, err := m.machine(fromName)
	if err != nil {
		return err
	}
	addrs, err := m.resolve(from, to, family)
	if err != nil {
		return err
	}
	if err := m.serve(to, need); err != nil {
		return fmt.Errorf("%w: %w", ErrLab, err)
	}
	for _, addr := range addrs {
		timed, cancel := context.WithTimeout(ctx, within)
		err := do(timed, from, netip.AddrPortFrom(addr, to.Port))
		cancel()
		if err := outcome.Check(err); err != nil {
			return err
		}
	}
	return nil
}

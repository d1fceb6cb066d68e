package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	defaultPingSize    = 56
	defaultPingTimeout = time.Second
	traceTimeout       = 10 * time.Second
)

// PingConfig describes echo requests. They go out one at a time: the next when the one
// before was answered or given up, and the interval is over.
type PingConfig struct {
	Count        int           // zero means 1
	Size         int           // payload in bytes; zero means 56
	TTL          uint8         // hop limit; zero means the stack's default
	DontFragment bool          // IPv4
	Interval     time.Duration // from one request to the next at least
	Timeout      time.Duration // per request; zero means 1 s
}

// Echo is what became of one echo request.
type Echo struct {
	Seq uint16
	RTT time.Duration
	TTL uint8      // of the reply
	Err error      // nil: answered; else *ICMPError, ErrTimeout …
	By  netip.Addr // who answered, with a reply or an ICMP error
}

// PingResult is what became of a ping.
type PingResult struct {
	Echoes []Echo
}

// Received counts the replies.
func (r PingResult) Received() int {
	n := 0
	for _, echo := range r.Echoes {
		if echo.Err == nil {
			n++
		}
	}
	return n
}

// RTTs are the round trip times of the replies.
func (r PingResult) RTTs() []time.Duration {
	var rtts []time.Duration
	for _, echo := range r.Echoes {
		if echo.Err == nil {
			rtts = append(rtts, echo.RTT)
		}
	}
	return rtts
}

// Ping sends count echo requests. The error is that of the first request that was not
// answered; the result is complete all the same.
func (h *Host) Ping(ctx context.Context, to netip.Addr, count int) (PingResult, error) {
	return h.PingWith(ctx, to, PingConfig{Count: count})
}

// PingWith is Ping with all options.
func (h *Host) PingWith(ctx context.Context, to netip.Addr, cfg PingConfig) (PingResult, error) {
	if cfg.Count <= 0 {
		cfg.Count = 1
	}
	if cfg.Size <= 0 {
		cfg.Size = defaultPingSize
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultPingTimeout
	}
	var result PingResult
	p, err := h.newPinger(to, cfg)
	if err != nil {
		return result, fmt.Errorf("ping %s: %w", to, err)
	}
	defer p.close()
	var first error
	var pause *time.Ticker
	if cfg.Interval > 0 {
		pause = time.NewTicker(cfg.Interval)
		defer pause.Stop()
	}
	for seq := range cfg.Count {
		if pause != nil && seq > 0 {
			select {
			case <-pause.C:
			case <-ctx.Done():
			}
		}
		echo := p.ask(ctx, uint16(seq+1))
		result.Echoes = append(result.Echoes, echo)
		if echo.Err != nil && first == nil {
			first = fmt.Errorf("ping %s, request %d of %d: %w", to, seq+1, cfg.Count, echo.Err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return result, first
}

// Hop is one router, or the destination, on a path.
type Hop struct {
	TTL     uint8
	By      netip.Addr // invalid: no answer
	RTT     time.Duration
	Reached bool
	Err     error // why it is not a hop: timeout, unreachable …
}

// Trace finds the path by echo requests with growing TTL, up to maxHops. It ends at the
// destination or at the first error that is not an exceeded TTL or a timeout.
func (h *Host) Trace(ctx context.Context, to netip.Addr, maxHops uint8) ([]Hop, error) {
	return TraceBy(ctx, h.PingWith, to, maxHops)
}

// Pinger sends echo requests as Host.PingWith does.
type Pinger func(ctx context.Context, to netip.Addr, cfg PingConfig) (PingResult, error)

// TraceBy is Host.Trace by any machine's pings.
func TraceBy(ctx context.Context, ping Pinger, to netip.Addr, maxHops uint8) ([]Hop, error) {
	var hops []Hop
	for ttl := uint8(1); ttl <= maxHops; ttl++ {
		result, err := ping(ctx, to, PingConfig{TTL: ttl, Timeout: traceTimeout})
		if len(result.Echoes) == 0 {
			return hops, err
		}
		echo := result.Echoes[0]
		hop := Hop{TTL: ttl, By: echo.By, RTT: echo.RTT, Reached: echo.Err == nil}
		var icmpErr *ICMPError
		exceeded := errors.As(echo.Err, &icmpErr) && icmpErr.Kind == TTLExceeded
		if !exceeded {
			hop.Err = echo.Err
		}
		hops = append(hops, hop)
		switch {
		case hop.Reached:
			return hops, nil
		case !exceeded && !errors.Is(echo.Err, ErrTimeout):
			return hops, err
		}
	}
	return hops, fmt.Errorf("trace %s: not reached within %d hops", to, maxHops)
}

// pinger is one echo socket.
type pinger struct {
	host     *Host
	to       netip.Addr
	cfg      PingConfig
	endpoint tcpip.Endpoint
	queue    waiter.Queue
	entry    waiter.Entry
	readable chan struct{}
	watch    *Watch
	message  []byte
}

func (h *Host) newPinger(to netip.Addr, cfg PingConfig) (*pinger, error) {
	p := &pinger{host: h, to: to, cfg: cfg}
	transport, proto := icmp.ProtocolNumber4, uint8(ProtoICMP4)
	if to.Is6() {
		transport, proto = icmp.ProtocolNumber6, ProtoICMP6
	}
	endpoint, err := h.stack.NewEndpoint(transport, protocol(to), &p.queue)
	if err != nil {
		return nil, stackError(err)
	}
	p.endpoint = endpoint
	if err := p.setOptions(); err != nil {
		endpoint.Close()
		return nil, stackError(err)
	}
	if err := endpoint.Connect(fullAddress(netip.AddrPortFrom(to, 0))); err != nil {
		endpoint.Close()
		return nil, stackError(err)
	}
	local, err := endpoint.GetLocalAddress()
	if err != nil {
		endpoint.Close()
		return nil, stackError(err)
	}
	p.entry, p.readable = waiter.NewChannelEntry(waiter.ReadableEvents)
	p.queue.EventRegister(&p.entry)
	p.watch = h.witness.Watch(proto, to, local.Port) // the "port" is the identifier
	p.message = make([]byte, header.ICMPv4MinimumSize+cfg.Size)
	for i := range p.message[header.ICMPv4MinimumSize:] {
		p.message[header.ICMPv4MinimumSize+i] = byte(i)
	}
	return p, nil
}

func (p *pinger) setOptions() tcpip.Error {
	fragment := tcpip.PMTUDiscoveryDont
	if p.cfg.DontFragment {
		fragment = tcpip.PMTUDiscoveryDo
	}
	ttlOption := tcpip.IPv4TTLOption
	if p.to.Is6() {
		ttlOption = tcpip.IPv6HopLimitOption
		p.endpoint.SocketOptions().SetReceiveHopLimit(true)
	} else {
		p.endpoint.SocketOptions().SetReceiveTTL(true)
		if err := p.endpoint.SetSockOptInt(tcpip.MTUDiscoverOption, int(fragment)); err != nil {
			return err
		}
	}
	if p.cfg.TTL != 0 {
		return p.endpoint.SetSockOptInt(ttlOption, int(p.cfg.TTL))
	}
	return nil
}

func (p *pinger) close() {
	p.watch.Close()
	p.queue.EventUnregister(&p.entry)
	p.endpoint.Close()
}

// ask sends one request and waits for what becomes of it.
func (p *pinger) ask(ctx context.Context, seq uint16) Echo {
	echo := Echo{Seq: seq}
	if p.to.Is4() {
		m := header.ICMPv4(p.message)
		m.SetType(header.ICMPv4Echo)
		m.SetSequence(seq)
	} else {
		m := header.ICMPv6(p.message)
		m.SetType(header.ICMPv6EchoRequest)
		m.SetSequence(seq)
	}
	begin := time.Now()
	if _, err := p.endpoint.Write(bytes.NewReader(p.message), tcpip.WriteOptions{}); err != nil {
		echo.Err = stackError(err)
		return echo
	}
	timer := time.NewTimer(p.cfg.Timeout)
	defer timer.Stop()
	for {
		select {
		case <-p.readable:
			if p.read(&echo) {
				echo.RTT = time.Since(begin)
				return echo
			}
		case icmpErr := <-p.watch.got:
			if icmpErr.Dst.Port() != seq {
				continue
			}
			echo.RTT, echo.Err, echo.By = time.Since(begin), icmpErr, icmpErr.From
			return echo
		case <-timer.C:
			echo.Err = ErrTimeout
			return echo
		case <-ctx.Done():
			echo.Err = context.Cause(ctx)
			return echo
		case <-p.host.ctx.Done():
			echo.Err = ErrClosed
			return echo
		}
	}
}

// read takes replies until it meets that to echo.Seq.
func (p *pinger) read(echo *Echo) bool {
	for {
		var reply bytes.Buffer
		result, err := p.endpoint.Read(&reply, tcpip.ReadOptions{NeedRemoteAddr: true})
		if err != nil {
			return false
		}
		var seq uint16
		if p.to.Is4() {
			seq = header.ICMPv4(reply.Bytes()).Sequence()
			echo.TTL = result.ControlMessages.TTL
		} else {
			seq = header.ICMPv6(reply.Bytes()).Sequence()
			echo.TTL = result.ControlMessages.HopLimit
		}
		if seq != echo.Seq {
			continue
		}
		echo.By = netipAddr(result.RemoteAddr.Addr)
		if !bytes.Equal(reply.Bytes()[header.ICMPv4MinimumSize:], p.message[header.ICMPv4MinimumSize:]) {
			echo.Err = ErrCorrupt
		}
		return true
	}
}

package netns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/weft-sdn/weft/testbed/host"
)

const (
	defaultPingSize    = 56
	defaultPingTimeout = time.Second
	minPingInterval    = time.Millisecond
)

// PingWith implements scenario.Machine by the system's ping. What ICMP errors say is read from the frames that arrive; ping knows no round trip time of them.
func (h *Host) PingWith(ctx context.Context, to netip.Addr, cfg host.PingConfig) (host.PingResult, error) {
	cfg.Count = max(cfg.Count, 1)
	cfg.Size = cmp.Or(cfg.Size, defaultPingSize)
	cfg.Timeout = cmp.Or(cfg.Timeout, defaultPingTimeout)
	proto := uint8(host.ProtoICMP4)
	if to.Is6() {
		proto = host.ProtoICMP6
	}
	if cfg.DontFragment {
		if err := h.ns.do(h.forgetMTUs); err != nil {
			return host.PingResult{}, fmt.Errorf("ping %s: %w", to, err)
		}
	}
	tap := h.witness.TapIf(cfg.Count+tapSlack, func(frame []byte) bool {
		r, ok := host.ParseEchoReply(frame)
		return ok && r.From == to
	})
	defer tap.Close()
	errorsOf, stop := h.collect(proto, to)
	stdout, stderr, err := h.output(ctx, "ping", pingArgs(to, cfg)...)
	icmpErrors := errorsOf()
	stop()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return host.PingResult{}, fmt.Errorf("ping %s: %w", to, err)
	}
	result := host.PingResult{Echoes: parsePing(string(stdout), cfg.Count)}
	if result.Received() > 0 {
		late(ctx, tap, result.Echoes, cfg.Timeout)
	}
	var first error
	for i := range result.Echoes {
		echo := &result.Echoes[i]
		switch icmpErr := icmpErrors[echo.Seq]; {
		case icmpErr != nil && echo.Err != nil:
			echo.Err, echo.By = icmpErr, icmpErr.From
		case len(stderr) > 0 && echo.Err != nil:
			echo.Err = fmt.Errorf("%w: %s", echo.Err, said(stderr))
		}
		if echo.Err != nil && first == nil {
			first = fmt.Errorf("ping %s, request %d of %d: %w", to, echo.Seq, cfg.Count, echo.Err)
		}
	}
	return result, first
}

// tapSlack is for answers to others' requests.
const tapSlack = 64

// late takes in the answers that came, or come in time, when ping had ended already: once it has an answer, it waits only twice as long for the others
// as the longest took so far. Of these no round trip time is known.
func late(ctx context.Context, tap *host.Tap, echoes []host.Echo, patience time.Duration) {
	missing := 0
	for _, echo := range echoes {
		if errors.Is(echo.Err, host.ErrTimeout) {
			missing++
		}
	}
	if missing == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, _ = tap.Wait(ctx, func(frame []byte) bool { // an error means that some are missing still
		r, _ := host.ParseEchoReply(frame)
		if at := int(r.Seq) - 1; at >= 0 && at < len(echoes) && errors.Is(echoes[at].Err, host.ErrTimeout) {
			echoes[at] = host.Echo{Seq: r.Seq, TTL: r.TTL, By: r.From}
			missing--
		}
		return missing == 0
	})
}

// forgetMTUs drops what the kernel has learnt of paths: it would refuse a long packet itself, and nothing would be seen of the path. IPv6 keeps it
// with its routes, IPv4 apart.
func (h *Host) forgetMTUs() error {
	return errors.Join(setting("ipv4/route/flush", "1"), h.routes(netlink.RouteReplace))
}

// pingArgs is the command line of iputils' ping.
func pingArgs(to netip.Addr, cfg host.PingConfig) []string {
	seconds := func(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 4, 64) }
	args := []string{
		"-n", "-c", strconv.Itoa(cfg.Count), "-i", seconds(max(cfg.Interval, minPingInterval)), "-W", seconds(cfg.Timeout), "-s", strconv.Itoa(cfg.Size),
	}
	if cfg.TTL != 0 {
		args = append(args, "-t", strconv.Itoa(int(cfg.TTL)))
	}
	switch {
	case cfg.DontFragment:
		args = append(args, "-M", "do")
	case to.Is4():
		args = append(args, "-M", "dont")
	}
	return append(args, to.String())
}

// reply is the line of an answer.
var reply = regexp.MustCompile(`^\d+ bytes from ([0-9a-f.:]+)(?:%\w+)?: icmp_seq=(\d+) ttl=(\d+) time=([0-9.]+) ms( \(DUP!\))?`)

// parsePing reads what ping printed about count requests. Those without an answer time out.
func parsePing(text string, count int) []host.Echo {
	echoes := make([]host.Echo, count)
	for i := range echoes {
		echoes[i] = host.Echo{Seq: uint16(i + 1), Err: host.ErrTimeout}
	}
	last := -1 // whose data a line of complaint is about
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "wrong data byte") && last >= 0 {
			echoes[last].Err = host.ErrCorrupt
		}
		m := reply.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		seq, _ := strconv.Atoi(m[2])
		if seq < 1 || seq > count || m[5] != "" {
			continue
		}
		last = seq - 1
		ms, _ := strconv.ParseFloat(m[4], 64)
		ttl, _ := strconv.ParseUint(m[3], 10, 8)
		by, _ := netip.ParseAddr(m[1])
		echoes[last] = host.Echo{Seq: uint16(seq), RTT: time.Duration(ms * float64(time.Millisecond)), TTL: uint8(ttl), By: by}
	}
	return echoes
}

// collect gathers the ICMP errors about echo requests to an address, by sequence number, until stop. errorsOf returns those so far.
func (h *Host) collect(proto uint8, to netip.Addr) (errorsOf func() map[uint16]*host.ICMPError, stop func()) {
	watch := h.witness.Watch(proto, to, 0)
	ask, done := make(chan chan map[uint16]*host.ICMPError), make(chan struct{})
	go func() {
		all := map[uint16]*host.ICMPError{}
		for {
			select {
			case icmpErr := <-watch.Errors():
				all[icmpErr.Dst.Port()] = icmpErr
			case answer := <-ask:
				for len(watch.Errors()) > 0 {
					icmpErr := <-watch.Errors()
					all[icmpErr.Dst.Port()] = icmpErr
				}
				answer <- all
				return
			case <-done:
				return
			}
		}
	}()
	errorsOf = func() map[uint16]*host.ICMPError {
		answer := make(chan map[uint16]*host.ICMPError)
		ask <- answer
		return <-answer
	}
	return errorsOf, func() { close(done); watch.Close() }
}

// Trace implements scenario.Machine.
func (h *Host) Trace(ctx context.Context, to netip.Addr, maxHops uint8) ([]host.Hop, error) {
	return host.TraceBy(ctx, h.PingWith, to, maxHops)
}

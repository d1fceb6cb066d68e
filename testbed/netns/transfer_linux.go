package netns

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weft-sdn/weft/testbed/host"
)

// ErrPace is what PushAt reports when it is given a pace: iperf3 goes at its own.
var ErrPace = errors.New("iperf3 cannot be slowed down and held; use an HTTP transfer")

// ServeHTTP implements scenario.Machine: a server of this process on a socket in the namespace.
func (h *Host) ServeHTTP(port uint16) error {
	listener, err := h.listen(port)
	if err != nil {
		return err
	}
	server := host.HTTPServer(h.ctx)
	h.serve(func() { _ = server.Serve(listener) }, func() { _ = server.Close() })
	return nil
}

func (h *Host) listen(port uint16) (listener net.Listener, err error) {
	err = h.ns.do(func() error {
		listener, err = net.Listen("tcp", ":"+strconv.Itoa(int(port)))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("host %s: listen on TCP port %d: %w", h.cfg.Name, port, err)
	}
	return listener, nil
}

// serve runs a service until the machine closes; stop makes it end.
func (h *Host) serve(run, stop func()) {
	h.running.Go(run)
	h.running.Go(func() {
		<-h.ctx.Done()
		stop()
	})
}

// FetchAt implements scenario.Machine by curl; a slow reader makes curl, and so TCP, wait.
func (h *Host) FetchAt(ctx context.Context, from netip.AddrPort, n int64, pace host.Pace) (host.Transfer, error) {
	download := host.NewDownload(n)
	watch := h.witness.Watch(host.ProtoTCP, from.Addr(), 0)
	defer watch.Close()
	cmd, cancel := h.command(ctx, "curl", "--silent", "--show-error", "--fail", "--no-buffer", "--globoff", "--output", "-",
		"--write-out", "%{stderr}connected %{time_connect}\n", download.URL(from))
	defer cancel()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	begin := time.Now()
	var result host.Transfer
	err := h.ns.do(func() error {
		body, err := cmd.StdoutPipe()
		if err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		var read error
		result, read = download.Check(ctx, body, pace)
		if read != nil {
			cancel() // it may wait for a reader
		}
		return errors.Join(cmd.Wait(), read)
	})
	if err != nil {
		return host.Transfer{}, fmt.Errorf("host %s: fetch from %s: %w", h.cfg.Name, from, h.why(ctx, err, watch, from, &stderr))
	}
	result.Connected, result.Duration = connectTime(stderr.String()), time.Since(begin)
	return result, nil
}

// connectTime reads curl's time until the connection stood.
func connectTime(text string) time.Duration {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "connected "); ok {
			if s, err := strconv.ParseFloat(strings.TrimSpace(rest), 64); err == nil {
				return time.Duration(s * float64(time.Second))
			}
		}
	}
	return 0
}

// why explains a failure by an ICMP error that arrived about it, or by what the program said.
func (h *Host) why(ctx context.Context, err error, watch *host.Watch, to netip.AddrPort, stderr *bytes.Buffer) error {
	err = h.ended(ctx, err)
	for len(watch.Errors()) > 0 {
		if icmpErr := <-watch.Errors(); icmpErr.Dst == to && icmpErr.Kind != host.TooBig {
			return fmt.Errorf("%w: %w", err, icmpErr)
		}
	}
	if text := said(stderr.Bytes()); text != "" {
		return fmt.Errorf("%w: %s", err, text)
	}
	return err
}

// ServeSink implements scenario.Machine: an iperf3 server, which takes one transfer at a time. It returns when the server listens.
func (h *Host) ServeSink(port uint16) error {
	cmd, cancel := h.command(h.ctx, "iperf3", "--server", "--forceflush", "--port", strconv.Itoa(int(port)))
	heard := &firstLine{listening: make(chan struct{})}
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = heard, &stderr
	ended := make(chan error, 1)
	h.running.Go(func() {
		defer cancel()
		ended <- h.ns.do(cmd.Run)
	})
	select {
	case <-heard.listening:
		return nil
	case err := <-ended:
		return fmt.Errorf("host %s: iperf3 on TCP port %d: %w: %s", h.cfg.Name, port, h.ended(h.ctx, err), said(append(heard.text.Bytes(), stderr.Bytes()...)))
	}
}

// firstLine waits for iperf3 to say that it listens, and then for nothing more.
type firstLine struct {
	once      sync.Once
	text      bytes.Buffer
	listening chan struct{}
}

// Write implements io.Writer.
func (f *firstLine) Write(b []byte) (int, error) {
	select {
	case <-f.listening:
		return len(b), nil
	default:
	}
	f.text.Write(b)
	if bytes.Contains(f.text.Bytes(), []byte("Server listening")) {
		f.once.Do(func() { close(f.listening) })
	}
	return len(b), nil
}

// pushWindow is the size of each end's socket buffer, which the kernel doubles; pushMore is more than what can be under way in them.
const (
	pushWindow = 128 << 10
	pushMore   = 1 << 20
)

// PushAt implements scenario.Machine by iperf3. Its receiver counts what has arrived when its sender is done sending; that must be n bytes, and the
// sender sends as much more as may be under way. There is no hash of it: SHA256 stays zero.
func (h *Host) PushAt(ctx context.Context, to netip.AddrPort, n int64, pace host.Pace) (host.Transfer, error) {
	if pace != nil {
		return host.Transfer{}, fmt.Errorf("host %s: push to %s: %w", h.cfg.Name, to, ErrPace)
	}
	watch := h.witness.Watch(host.ProtoTCP, to.Addr(), 0)
	defer watch.Close()
	stdout, stderr, err := h.output(ctx, "iperf3", "--client", to.Addr().String(), "--port", strconv.Itoa(int(to.Port())), "--bytes", strconv.FormatInt(n+pushMore, 10),
		"--window", strconv.Itoa(pushWindow), "--json", "--connect-timeout", "60000")
	result, said := parseIperf(stdout, n)
	if err == nil {
		err, said = said, nil
	}
	if err != nil {
		text := bytes.NewBuffer(stderr)
		if said != nil {
			fmt.Fprintf(text, " %v", said)
		}
		return host.Transfer{}, fmt.Errorf("host %s: push to %s: %w", h.cfg.Name, to, h.why(ctx, err, watch, to, text))
	}
	return result, nil
}

// parseIperf reads iperf3's JSON about a transfer of n bytes.
func parseIperf(text []byte, n int64) (host.Transfer, error) {
	var report struct {
		Error string
		End   struct {
			Sent struct {
				Bytes   int64
				Seconds float64
			} `json:"sum_sent"`
			Received struct{ Bytes int64 } `json:"sum_received"`
		}
	}
	if err := json.Unmarshal(text, &report); err != nil {
		return host.Transfer{}, fmt.Errorf("iperf3's report: %w", err)
	}
	if report.Error != "" {
		return host.Transfer{}, errors.New(report.Error)
	}
	sent, received := report.End.Sent.Bytes, report.End.Received.Bytes
	if received < n {
		return host.Transfer{}, fmt.Errorf("%w: %d of %d bytes arrived, at least %d were to", host.ErrCorrupt, received, sent, n)
	}
	return host.Transfer{Bytes: received, Duration: time.Duration(report.End.Sent.Seconds * float64(time.Second))}, nil
}

package host

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"
)

// maxHTTPBytes bounds one answer of the HTTP service: 1 TB.
const maxHTTPBytes = 1 << 40

// ServeHTTP serves HTTP on port, until the host closes. GET /bytes?n=N&seed=S answers with N
// bytes that follow from S.
func (h *Host) ServeHTTP(port uint16) error {
	listener, err := h.ListenTCP(port)
	if err != nil {
		return err
	}
	server := HTTPServer(h.ctx)
	if err := h.start(server, func() { server.Serve(listener) }); err != nil {
		listener.Close()
		return err
	}
	return nil
}

// HTTPServer is what ServeHTTP runs. Requests end with ctx.
func HTTPServer(ctx context.Context) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /bytes", serveBytes)
	return &http.Server{Handler: mux, ReadHeaderTimeout: 30 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
}

func serveBytes(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.FormValue("n"), 10, 64)
	if err != nil || n < 0 || n > maxHTTPBytes {
		http.Error(w, fmt.Sprintf("n must be a number of bytes up to %d", int64(maxHTTPBytes)), http.StatusBadRequest)
		return
	}
	seed, err := strconv.ParseUint(r.FormValue("seed"), 10, 64)
	if err != nil {
		http.Error(w, "seed must be a number", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	if _, err := io.Copy(w, pattern(seed, n)); err != nil {
		return // the client sees a short body
	}
}

// Fetch gets n bytes by HTTP from a host that serves HTTP, and checks their hash against
// that of what the server must have sent.
func (h *Host) Fetch(ctx context.Context, from netip.AddrPort, n int64) (Transfer, error) {
	return h.FetchAt(ctx, from, n, nil)
}

// FetchAt is Fetch at a pace.
func (h *Host) FetchAt(ctx context.Context, from netip.AddrPort, n int64, pace Pace) (Transfer, error) {
	fail := func(err error) (Transfer, error) {
		return Transfer{}, fmt.Errorf("host %s: fetch from %s: %w", h.cfg.Name, from, err)
	}
	var connected time.Duration
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			begin := time.Now()
			conn, err := h.DialTCP(ctx, from)
			connected = time.Since(begin)
			return conn, err
		},
	}}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(h.ctx, cancel)
	defer stop()
	download := NewDownload(n)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, download.URL(from), nil)
	if err != nil {
		return fail(err)
	}
	begin := time.Now()
	response, err := client.Do(request)
	if err != nil {
		return fail(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fail(fmt.Errorf("status %s", response.Status))
	}
	result, err := download.Check(ctx, response.Body, pace)
	if err != nil {
		return fail(err)
	}
	result.Connected, result.Duration = connected, time.Since(begin)
	return result, nil
}

// Download is what a client asks ServeHTTP for, and what it must get.
type Download struct {
	seed uint64
	n    int64
}

// NewDownload asks for n bytes that nobody asked for before.
func NewDownload(n int64) Download { return Download{seed: rand.Uint64(), n: n} }

// URL is what to get from a server.
func (d Download) URL(from netip.AddrPort) string {
	return fmt.Sprintf("http://%s/bytes?n=%d&seed=%d", from, d.n, d.seed)
}

// Check reads a body to its end, at a pace, and compares it. The times of the transfer are the caller's to fill in.
func (d Download) Check(ctx context.Context, body io.Reader, pace Pace) (Transfer, error) {
	hash := sha256.New()
	got, err := io.Copy(hash, paced(ctx, body, pace))
	if err != nil {
		return Transfer{}, err
	}
	result := Transfer{Bytes: got, SHA256: [sha256.Size]byte(hash.Sum(nil))}
	want, err := patternSum(d.seed, d.n)
	if err != nil {
		return Transfer{}, err
	}
	if got != d.n || result.SHA256 != want {
		return Transfer{}, fmt.Errorf("%w: %d of %d bytes arrived", ErrCorrupt, got, d.n)
	}
	return result, nil
}

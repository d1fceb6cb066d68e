package api

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/testbed/certs"
	"github.com/weft-sdn/weft/testbed/wait"
)

// notes is what a process wrote.
type notes struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (n *notes) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(b)
}

// find waits until a pattern was written, and returns what is in its parentheses.
func (n *notes) find(t *testing.T, pattern string) (found string) {
	t.Helper()
	wait.Until(t, pattern, func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		m := regexp.MustCompile(pattern).FindSubmatch(n.text.Bytes())
		if m != nil {
			found = string(m[1])
		}
		return m != nil
	})
	return found
}

// process is a server of a configuration file.
type process struct {
	t       *testing.T
	dir     string
	ca      *certs.Authority
	address string
	first   string // token of the first run
	stop    context.CancelFunc
	ended   chan error
}

// started runs a server over TLS on an empty database, as weft api does.
func started(t *testing.T) *process {
	t.Helper()
	p := &process{t: t, dir: t.TempDir(), ended: make(chan error, 1)}
	p.ca = certsIn(t, p.dir, "server")
	write(t, filepath.Join(p.dir, "api.yaml"), fmt.Sprintf(`etcd: {endpoints: [%q]}
listen: 127.0.0.1:0
metrics: 127.0.0.1:0
tls: {cert: server.crt, key: server.key, ca: ca.crt}
`, embedded(t).Endpoints()[0]))
	cfg, err := Load(filepath.Join(p.dir, "api.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	log, out := new(notes), new(notes)
	go func() {
		p.ended <- Run(ctx, cfg, slog.New(slog.NewTextHandler(log, nil)), out)
	}()
	t.Cleanup(p.end)
	p.address = log.find(t, `at=(\S+) tls=true`)
	p.first = out.find(t, `(weft_\S+)`)
	wait.Until(t, "health", func() bool {
		resp, _ := p.get(t.Context(), p.asker(""), "/healthz", "")
		return resp.StatusCode == http.StatusOK
	})
	return p
}

// end has the server end, as SIGTERM does, and waits until it has.
func (p *process) end() {
	p.t.Helper()
	p.stop()
	if err := <-p.ended; err != nil {
		p.t.Errorf("run: %v", err)
	}
	p.ended <- nil // for who asks again
}

// asker is an HTTP client that trusts the server's authority, and shows a certificate unless that is empty.
func (p *process) asker(cert string) *http.Client {
	p.t.Helper()
	files := agent.TLS{CA: p.ca.Cert("ca")}
	if cert != "" {
		files.Cert, files.Key = p.ca.Cert(cert), p.ca.Key(cert)
	}
	trust, err := files.Client()
	if err != nil {
		p.t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: trust, ForceAttemptHTTP2: true}
	p.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// get asks, with a token unless that is empty.
func (p *process) get(ctx context.Context, c *http.Client, path, token string) (*http.Response, string) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+p.address+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp, string(body)
}

// TestTLS: a server is asked over TLS alone, 1.2 at least, HTTP/2 where the other side has it; a client certificate of its authority is an agent's, and one of another is refused.
func TestTLS(t *testing.T) {
	p := started(t)
	if resp, body := p.get(t.Context(), p.asker(""), "/v1/whoami", p.first); resp.ProtoMajor != 2 || !strings.Contains(body, `"role":"provider-admin"`) {
		t.Errorf("%s %s", resp.Proto, body)
	}
	if resp, body := p.get(t.Context(), p.asker(""), "/v1/whoami", ""); resp.StatusCode != http.StatusUnauthorized || resp.Header.Get("Www-Authenticate") == "" {
		t.Errorf("%s %s", resp.Status, body)
	}
	resp, err := http.Get("http://" + p.address + "/v1/whoami")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("without TLS: %s", resp.Status)
	}
	if _, err := tls.Dial("tcp", p.address, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil { //nolint:gosec // it is to be refused
		t.Error("TLS 1.1 is taken")
	}
	if err := p.ca.Issue("edge1"); err != nil {
		t.Fatal(err)
	}
	if _, body := p.get(t.Context(), p.asker("edge1"), "/v1/whoami", ""); !strings.Contains(body, `"role":"agent"`) || !strings.Contains(body, `"method":"certificate"`) {
		t.Errorf("with a certificate: %s", body)
	}
	if _, body := p.get(t.Context(), p.asker("edge1"), "/v1/whoami", p.first); !strings.Contains(body, `"role":"provider-admin"`) {
		t.Errorf("with a certificate and a token: %s", body)
	}
	other := certsIn(t, t.TempDir(), "edge1")
	stranger := p.asker("")
	pair, err := tls.LoadX509KeyPair(other.Cert("edge1"), other.Key("edge1"))
	if err != nil {
		t.Fatal(err)
	}
	stranger.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{pair}
	if resp, err := stranger.Get("https://" + p.address + "/v1/whoami"); err == nil {
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized { // Go's client does not show a certificate of an authority that is not asked for
			t.Errorf("a certificate of a stranger: %s", resp.Status)
		}
	}
}

// TestRenewedCertificates: a certificate, and an authority of clients, that are renewed are taken without a restart.
func TestRenewedCertificates(t *testing.T) {
	p := started(t)
	serial := func() string {
		resp, _ := p.get(t.Context(), p.asker(""), "/healthz", "")
		return resp.TLS.PeerCertificates[0].SerialNumber.String()
	}
	old := serial()
	if err := p.ca.Issue("server"); err != nil {
		t.Fatal(err)
	}
	if serial() == old {
		t.Error("the old certificate is shown")
	}
	// The authority is replaced. The server's certificate stays one of the old, which the client goes on trusting.
	trusting := p.asker("").Transport.(*http.Transport).TLSClientConfig
	other := certsIn(t, t.TempDir(), "edge1")
	pem, err := os.ReadFile(other.Cert("ca"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, p.ca.Cert("ca"), string(pem))
	pair, err := tls.LoadX509KeyPair(other.Cert("edge1"), other.Key("edge1"))
	if err != nil {
		t.Fatal(err)
	}
	trusting.Certificates = []tls.Certificate{pair}
	transport := &http.Transport{TLSClientConfig: trusting}
	defer transport.CloseIdleConnections()
	if _, body := p.get(t.Context(), &http.Client{Transport: transport}, "/v1/whoami", ""); !strings.Contains(body, `"role":"agent"`) {
		t.Errorf("a certificate of the new authority: %s", body)
	}
}

// TestEnd: a server that is to end tells streams so, and finishes the change that is coming in.
func TestEnd(t *testing.T) {
	p := started(t)
	streams := map[string]*bufio.Scanner{}
	for _, path := range []string{"/v1/watch", "/v1/vports?watch=true", "/v1/events?watch=true"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+p.address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+p.first)
		resp, err := p.asker("").Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		if !lines.Scan() { // it has begun
			t.Fatalf("%s: %s %v", path, resp.Status, lines.Err())
		}
		streams[path] = lines
	}
	// A change of which the server has the headers and a part of the body.
	trust := p.asker("").Transport.(*http.Transport).TLSClientConfig
	conn, err := tls.Dial("tcp", p.address, trust)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const body = `{"spec": {}}`
	fmt.Fprintf(conn, "PUT /v1/bridges/acme/lan HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", p.first, len(body))
	answers := bufio.NewReader(conn)
	if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") { // the handler reads the body
		t.Fatal(line, err)
	}

	p.stop()
	for path, lines := range streams {
		text := ""
		for lines.Scan() {
			text += lines.Text() + "\n"
		}
		if lines.Err() != nil || !strings.Contains(text, strings.TrimSpace(lastWords)) {
			t.Errorf("%s: %q, %v: want a clean end that is told", path, text, lines.Err())
		}
	}
	wait.Until(t, "no new connections", func() bool {
		c, err := net.Dial("tcp", p.address)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	fmt.Fprint(conn, body)
	if _, err := answers.ReadString('\n'); err != nil { // of the 100
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusCreated {
		t.Errorf("the change under way: %s %s", resp.Status, text)
	}
	p.end()
}

// TestWaitingEnds: who waits for something has an answer when the server is to end.
func TestWaitingEnds(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	entered := make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		waiting, cancel := whileServing(r.Context())
		defer cancel()
		close(entered)
		<-waiting.Done()
		if r.Context().Err() == nil { // it is not the request that ends
			fmt.Fprint(w, "answer")
		}
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, handler, nil, slog.New(slog.DiscardHandler)) }()
	go func() { <-entered; stop() }()
	resp, err := http.Get("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "answer" {
		t.Errorf("%q, %v", text, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

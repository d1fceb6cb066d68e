package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Config says where the API is, and who asks.
type Config struct {
	Server string // https://HOST[:PORT], or http:// for a server on this machine
	// Token returns what proves who asks; it is called for each request. nil: nothing does.
	Token     func(context.Context) (string, error)
	TLS       *tls.Config   // nil: the system's authorities
	Timeout   time.Duration // of one try; 75 s, for a server says within 60 s that it can't
	Retries   int           // of what the server was too busy for, or did not answer; 4. Negative: none
	UserAgent string
	// Lost is called when the server of a watch does not answer any more, once until it does again: the watch goes on meanwhile. nil: nobody is told.
	Lost func(error)
}

// Token returns a Config.Token that is always the same.
func Token(text string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return text, nil }
}

const (
	defaultTimeout = 75 * time.Second
	defaultRetries = 4
	retryFor       = 30 * time.Second       // from the first try: what took longer than that is not tried again
	firstPause     = 100 * time.Millisecond // doubled with each try
	longestPause   = 10 * time.Second
	maxAnswer      = 1 << 30 // bytes
)

// Client asks the API. It may be used by several goroutines.
type Client struct {
	cfg  Config
	base string
	http *http.Client
}

// New returns a client. It connects when it is asked.
func New(cfg Config) (*Client, error) {
	u, err := url.Parse(cfg.Server)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return nil, fmt.Errorf("%q is no address of an API; use https://HOST:PORT", cfg.Server)
	}
	if a, err := netip.ParseAddr(u.Hostname()); u.Scheme == "http" && u.Hostname() != "localhost" && !(err == nil && a.IsLoopback()) {
		return nil, fmt.Errorf("%q: passwords and tokens would be sent in the clear: http is for a server on this machine; use https", cfg.Server)
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Retries == 0 {
		cfg.Retries = defaultRetries
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "weft-client"
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext, TLSClientConfig: cfg.TLS, TLSHandshakeTimeout: 5 * time.Second,
		ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 64, IdleConnTimeout: 90 * time.Second,
	}
	return &Client{cfg: cfg, base: strings.TrimSuffix(cfg.Server, "/"), http: &http.Client{Transport: transport, CheckRedirect: noRedirect}}, nil
}

// noRedirect: a token is for the server that it was given for.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Server is the address of the API.
func (c *Client) Server() string { return c.base }

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Request is one request of the API.
type Request struct {
	Method string
	Path   string // below the server, such as /v1/vports
	Query  url.Values
	Header http.Header
	Body   any // sent as JSON; []byte: as it is
}

// Do makes a request and reads the answer into a value, unless that is nil. What the server refuses is a *Problem. What it is too busy for is asked again, and what it does not
// answer, if that can be asked twice: reading can, and a change that has an Idempotency-Key.
func (c *Client) Do(ctx context.Context, r Request, into any) (http.Header, error) {
	var body []byte
	switch b := r.Body.(type) {
	case nil:
	case []byte:
		body = b
	default:
		var err error
		if body, err = json.Marshal(b); err != nil {
			return nil, err
		}
	}
	repeatable := r.Method == http.MethodGet || r.Header.Get(headerKey) != ""
	for pause, try, began := firstPause, 0, time.Now(); ; pause, try = pause*2, try+1 {
		header, wait, err := c.once(ctx, r, body, into)
		var refused *Problem
		again := errors.As(err, &refused) && (refused.Status == http.StatusTooManyRequests || refused.Status == http.StatusServiceUnavailable && repeatable)
		if err != nil && refused == nil {
			again = repeatable && ctx.Err() == nil && !errors.Is(err, errAnswer)
		}
		if !again || try >= c.cfg.Retries || wait > longestPause || time.Since(began) > retryFor { // who asks may know better what to do meanwhile: one who logs in, say
			return header, err
		}
		timer := time.NewTimer(min(max(wait, pause), longestPause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, errors.Join(err, ctx.Err())
		}
	}
}

// ErrNoAnswer: the server is not reached, or the connection was lost before the answer was there. A change without an Idempotency-Key may have been made.
var ErrNoAnswer = errors.New("does not answer")

// errAnswer: there was an answer, and it can't be read.
var errAnswer = errors.New("the server's answer can't be read")

// once makes a request once. It returns how long the server asks to wait.
func (c *Client) once(ctx context.Context, r Request, body []byte, into any) (http.Header, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	resp, err := c.send(ctx, r, body)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, 0, c.failed(err)
	}
	if resp.StatusCode/100 != 2 && resp.StatusCode != http.StatusNotModified {
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return resp.Header, time.Duration(seconds) * time.Second, problemOf(resp, answer)
	}
	if into != nil && len(answer) > 0 {
		if err := json.Unmarshal(answer, into); err != nil {
			return resp.Header, 0, fmt.Errorf("%s: %w: %w", c.base, errAnswer, err)
		}
	}
	return resp.Header, 0, nil
}

// send sends a request.
func (c *Client) send(ctx context.Context, r Request, body []byte) (*http.Response, error) {
	target := c.base + r.Path
	if len(r.Query) > 0 {
		target += "?" + r.Query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("User-Agent", c.cfg.UserAgent)
	for name, values := range r.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	if c.cfg.Token != nil {
		token, err := c.cfg.Token(ctx)
		if err != nil {
			return nil, err
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.failed(err)
	}
	return resp, nil
}

// failed is an error of the connection, with whom was asked.
func (c *Client) failed(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return fmt.Errorf("the API at %s %w: %w", c.base, ErrNoAnswer, err)
}

// headerKey is that of a request that may be made twice and counts once.
const headerKey = "Idempotency-Key"

// NewKey returns an Idempotency-Key that nobody else has.
func NewKey() string { return rand.Text() }

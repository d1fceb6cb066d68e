package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

const maxAnswer = 1 << 30 // bytes

// Client asks an agent's status server.
type Client struct {
	base string
	http *http.Client
}

// NewClient returns a client of a server: http://HOST:PORT, https://HOST:PORT, HOST:PORT or unix:/PATH. TLS is for https.
func NewClient(address string, t TLS) (*Client, error) {
	transport := &http.Transport{Proxy: nil, DisableKeepAlives: true, TLSHandshakeTimeout: headerTimeout}
	c := &Client{http: &http.Client{Transport: transport, Timeout: answerTimeout + headerTimeout}}
	dialer := net.Dialer{Timeout: headerTimeout}
	transport.DialContext = dialer.DialContext
	path, unix := strings.CutPrefix(address, "unix:")
	switch {
	case unix && strings.HasPrefix(path, "/"):
		c.base = "http://agent"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dialer.DialContext(ctx, "unix", path) }
		return c, nil
	case strings.HasPrefix(address, "http://"), strings.HasPrefix(address, "https://"):
		c.base = strings.TrimSuffix(address, "/")
	default:
		c.base = "http://" + address
	}
	if u, err := url.Parse(c.base); err != nil || u.Port() == "" || u.Path != "" {
		return nil, fmt.Errorf("%q is no address of an agent; use HOST:PORT, http://HOST:PORT, https://HOST:PORT or unix:/PATH", address)
	}
	if strings.HasPrefix(c.base, "https://") {
		var err error
		if transport.TLSClientConfig, err = t.Client(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Flows returns the installed flows of one edge, or of all that the agent runs if edge is empty.
func (c *Client) Flows(ctx context.Context, edge string) (FlowList, error) {
	var list FlowList
	return list, c.get(ctx, of(pathFlows, edge), &list)
}

// Drops returns what was dropped at one edge, or at all that the agent runs if edge is empty.
func (c *Client) Drops(ctx context.Context, edge string) (DropList, error) {
	var list DropList
	return list, c.get(ctx, of(pathDrops, edge), &list)
}

// of is a path that asks for one edge, or all.
func of(path, edge string) string {
	if edge == "" {
		return path
	}
	return path + "?edge=" + url.QueryEscape(edge)
}

// Edges returns where the agent's edges stand.
func (c *Client) Edges(ctx context.Context) (EdgeList, error) {
	var list EdgeList
	return list, c.get(ctx, pathEdges, &list)
}

// Stats returns the counts of the agent's edges.
func (c *Client) Stats(ctx context.Context) (StatsList, error) {
	var list StatsList
	return list, c.get(ctx, pathStats, &list)
}

// get reads an answer into a value.
func (c *Client) get(ctx context.Context, path string, into any) error {
	return c.ask(ctx, path, func(body *json.Decoder) error { return body.Decode(into) })
}

// ask has an answer read.
func (c *Client) ask(ctx context.Context, path string, read func(*json.Decoder) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // the caller says whom it asked
		}
		return err
	}
	defer resp.Body.Close()
	body := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode != http.StatusOK {
		var why EdgeError
		if err := body.Decode(&why); err != nil || why.Error == "" {
			return fmt.Errorf("it answers %s", resp.Status)
		}
		return errors.New(why.Error)
	}
	if err := read(body); err != nil {
		return fmt.Errorf("its answer can't be read: %w", err)
	}
	return nil
}

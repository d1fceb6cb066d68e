package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Rows is what a view answers. T is the view's: Edge, Lease, Connection …; agent.Flow of flows.
type Rows[T any] struct {
	Items    []T         `json:"items"`
	Continue string      `json:"continue,omitempty"` // ask for what follows with this
	Revision int64       `json:"revision,omitempty"` // of the database, as it was read
	Errors   []EdgeError `json:"errors,omitempty"`   // edges that did not answer
}

// EdgeError is why an edge did not answer.
type EdgeError struct {
	Edge  string `json:"edge"`
	Error string `json:"error"`
}

// View asks for a view by its name, such as edges or leases; docs/api.md lists them.
func View[T any](ctx context.Context, c *Client, name string, q url.Values) (*Rows[T], error) {
	rows := new(Rows[T])
	_, err := c.Do(ctx, Request{Method: http.MethodGet, Path: "/v1/" + name, Query: q}, rows)
	return rows, err
}

// Place is where a vport lives.
type Place struct {
	VPort     string `json:"vport"` // TENANT/NAME
	ID        uint32 `json:"id"`
	Edge      string `json:"edge"`
	Interface string `json:"interface"`
	VLAN      uint16 `json:"vlan,omitempty"`
	Live      bool   `json:"live"` // the edge's agent is
}

// Applied tells which edges have a revision.
type Applied struct {
	Revision int64    `json:"revision"`
	Applied  bool     `json:"applied"`          // by all that are live
	Edges    int      `json:"edges"`            // that are live
	Waiting  int      `json:"waiting"`          // of these, those that have not
	Behind   []string `json:"behind,omitempty"` // which those are; told to the provider alone
	Away     []string `json:"away,omitempty"`   // not live, and a vport of the caller is bound there
	Lacks    []string `json:"lacks,omitempty"`  // what of the caller's network edges can not do
}

// Applied waits, for some time at most, until all live edges have a revision.
func (c *Client) Applied(ctx context.Context, revision int64, wait time.Duration) (*Applied, error) {
	out := new(Applied)
	const each = 30 * time.Second // of one request
	for end := time.Now().Add(wait); ; {
		left := max(0, min(time.Until(end), each))
		q := url.Values{"revision": {strconv.FormatInt(revision, 10)}, "wait": {left.Round(time.Millisecond).String()}}
		if _, err := c.Do(ctx, Request{Method: http.MethodGet, Path: "/v1/applied", Query: q}, out); err != nil || out.Applied || left == 0 {
			return out, err
		}
	}
}

// Packet is what Trace follows. What is left out is chosen as the host at the vport would.
type Packet struct {
	VPort    string `json:"vport" doc:"Exterior vport where the packet comes in, TENANT/NAME; NAME is one of the caller's tenant"`
	Dst      string `json:"dst" doc:"Destination address, IPv4 or IPv6"`
	Src      string `json:"src,omitempty" doc:"Source address; default: the vport's first one of the destination's family"`
	SrcMAC   string `json:"srcMAC,omitempty" doc:"Source MAC; default: that of the vport's host"`
	DstMAC   string `json:"dstMAC,omitempty" doc:"Destination MAC; default: what the host would learn by ARP or ND"`
	Proto    string `json:"proto,omitempty" doc:"icmp (default), tcp, udp, sctp, a number, or arp: ask for the MAC of dst (ND in IPv6)"`
	SPort    uint16 `json:"sport,omitempty" doc:"Source port of tcp, udp, sctp; default: 40000"`
	DPort    uint16 `json:"dport,omitempty" doc:"Destination port of tcp, udp, sctp; default: 80"`
	TTL      uint8  `json:"ttl,omitempty" doc:"TTL or hop limit; default: 64"`
	Len      uint16 `json:"len,omitempty" doc:"Length of the IP packet in bytes; default: its headers"`
	ICMPType *uint8 `json:"icmpType,omitempty" doc:"ICMP or ICMPv6 type; default: echo request"`
	DF       bool   `json:"df,omitempty" doc:"IPv4: don't fragment"`
}

// Trace is what becomes of a packet, and why.
type Trace struct {
	Assumed     []Assumption `json:"assumed,omitempty" doc:"What was left out, and was chosen"`
	Packet      string       `json:"packet" doc:"The packet, in words"`
	Steps       []TraceStep  `json:"steps" doc:"What happened, in order"`
	Outcomes    []TraceEnd   `json:"outcomes" doc:"What becomes of it; several of a packet whose copies differ"`
	Match       string       `json:"match" doc:"The packets that share the decision"`
	Guards      string       `json:"guards" doc:"What each of them must meet besides"`
	Installable bool         `json:"installable" doc:"The decision can be an entry of the pipeline"`
	Kept        string       `json:"not_installable,omitempty" doc:"Why not"`
	Effects     []string     `json:"effects,omitempty" doc:"What devices would learn or ask for"`
	Originated  []string     `json:"originated,omitempty" doc:"Packets that devices send of themselves, and where they leave"`
	Read        string       `json:"read" doc:"Fields that devices looked at"`
	Depends     []string     `json:"depends" doc:"What of the network the decision relies on"`
}

// Assumption is what was chosen for a field of a packet that was left out.
type Assumption struct {
	Field string `json:"field" doc:"Field of the packet"`
	Value string `json:"value" doc:"What was chosen"`
	Why   string `json:"why" doc:"Why that"`
}

// TraceStep is one thing that happened.
type TraceStep struct {
	Device string `json:"device,omitempty" doc:"Where; empty: to the packet as a whole"`
	Port   string `json:"port,omitempty" doc:"By which the device got the copy"`
	What   string `json:"what" doc:"What happened"`
}

// TraceEnd is what becomes of a copy.
type TraceEnd struct {
	Verdict  string `json:"verdict" doc:"forward, drop, consumed or incomplete"`
	To       string `json:"to,omitempty" doc:"Of forward: a vport, or all of a bridge"`
	Reason   string `json:"reason,omitempty" doc:"Of drop"`
	Rewrite  string `json:"rewrite,omitempty" doc:"Of forward: what is changed in it"`
	Fragment uint16 `json:"fragment,omitempty" doc:"Of forward: bytes that fragments have at most"`
	Text     string `json:"text" doc:"The same in words"`
}

// Trace follows one packet through the network as it is now. Nothing is changed or sent.
func (c *Client) Trace(ctx context.Context, p Packet) (*Trace, error) {
	out := new(Trace)
	_, err := c.Do(ctx, Request{Method: http.MethodPost, Path: "/v1/trace", Body: p, Header: http.Header{headerKey: {NewKey()}}}, out)
	return out, err
}

package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// LiveRequest asks for real packets that come in by a vport to be followed.
type LiveRequest struct {
	VPort   string    `json:"vport" doc:"Exterior vport where the packets come in, TENANT/NAME"`
	Match   LiveMatch `json:"match,omitzero" doc:"Which of its packets; none: all IP packets"`
	Packets int       `json:"packets,omitempty" minimum:"0" maximum:"1000" doc:"It ends after so many; default: 10"`
	Seconds int       `json:"seconds,omitempty" minimum:"0" maximum:"300" doc:"It ends after so long; default: 30"`
}

// LiveMatch says which packets are followed. What is left out may be anything.
type LiveMatch struct {
	Src    string `json:"src,omitempty" doc:"Source address or prefix, IPv4 or IPv6"`
	Dst    string `json:"dst,omitempty" doc:"Destination address or prefix"`
	Family string `json:"family,omitempty" enum:"ipv4,ipv6" doc:"ipv4 or ipv6 alone"`
	Proto  string `json:"proto,omitempty" doc:"icmp, tcp, udp, sctp or a number"`
	SPort  uint16 `json:"sport,omitempty" doc:"Source port of tcp, udp, sctp"`
	DPort  uint16 `json:"dport,omitempty" doc:"Destination port of tcp, udp, sctp"`
}

// Kinds of live events.
const (
	LiveBegan  = "began"  // packets are followed from now on
	LivePacket = "packet" // one was
	LiveArrive = "arrive" // an edge where packets go tells what it has for them
	LiveEnded  = "ended"  // the last event
)

// LiveEvent is what a live trace tells.
type LiveEvent struct {
	Kind     string        `json:"kind" enum:"began,packet,arrive,ended"`
	At       time.Time     `json:"at" doc:"By the clock of the edge"`
	Edge     string        `json:"edge,omitempty" doc:"That tells it"`
	Place    string        `json:"place,omitempty" doc:"Of began: where the vport's packets come in, EDGE:INTERFACE"`
	Counting string        `json:"counting,omitempty" doc:"Of began: why packets are not brought up, and flows are followed by counters alone"`
	Why      string        `json:"why,omitempty" doc:"Of ended"`
	Packets  int           `json:"packets,omitempty" doc:"Of ended: how many were told"`
	Passed   uint64        `json:"passed,omitempty" doc:"Of ended: others that came up with them, as the target can not tell them apart"`
	Entries  []LiveEntry   `json:"entries,omitempty" doc:"Of began and ended: flow entries that such packets meet, with what the target has counted"`
	Packet   *FollowedOne  `json:"packet,omitempty" doc:"Of packet"`
	Arrivals []LiveArrival `json:"arrivals,omitempty" doc:"Of arrive and ended"`
}

// FollowedOne is a real packet that was followed.
type FollowedOne struct {
	N          int        `json:"n"`
	Text       string     `json:"text" doc:"The packet, in words"`
	Entry      *LiveEntry `json:"entry,omitempty" doc:"The flow entry that it met; none: it was the first of its flow, or the first after a change"`
	Outcomes   []LiveEnd  `json:"outcomes" doc:"What became of it: what the edge did"`
	Sends      int        `json:"sends,omitempty" doc:"Packets that devices sent because of it"`
	Simulation *Trace     `json:"simulation,omitempty" doc:"What the network says should become of it, in the form of POST /v1/trace"`
	Differs    string     `json:"differs,omitempty" doc:"How the two differ; they may if the network changed in between"`
}

// LiveEntry is a flow entry of a target.
type LiveEntry struct {
	Table       string `json:"table"`
	Match       string `json:"match,omitempty"`
	Action      string `json:"action" doc:"forward, drop or punt"`
	To          string `json:"to,omitempty" doc:"Of forward: a vport, or all of a bridge"`
	Rewrite     string `json:"rewrite,omitempty"`
	Packets     uint64 `json:"packets" doc:"That the target has counted"`
	Bytes       uint64 `json:"bytes"`
	MorePackets uint64 `json:"morePackets,omitempty" doc:"Of ended: since it began"`
	MoreBytes   uint64 `json:"moreBytes,omitempty"`
	Absent      bool   `json:"absent,omitempty" doc:"The target does not have it"`
	Simulation  *Trace `json:"simulation,omitempty" doc:"Of began and ended: what the network says should become of its packets"`
}

// LiveEnd is what became of a packet, or of a copy.
type LiveEnd struct {
	TraceEnd
	Place  string `json:"place,omitempty" doc:"Of forward: where it leaves the network, EDGE:INTERFACE"`
	Tunnel string `json:"tunnel,omitempty" doc:"By which it went to another edge: KIND SOURCE → DESTINATION by port PORT"`
}

// LiveArrival is what an edge has for packets that come by tunnel.
type LiveArrival struct {
	Edge   string            `json:"edge"`
	VPort  string            `json:"vport" doc:"Where they go, TENANT/NAME"`
	Port   uint16            `json:"port" doc:"Of the target, by which they leave"`
	VLAN   uint16            `json:"vlan,omitempty"`
	Absent bool              `json:"absent,omitempty" doc:"The target has no entry for them"`
	Passed uint64            `json:"passed,omitempty" doc:"Of ended: frames of all vports that came there by tunnel meanwhile and went on; told to the provider alone"`
	Lost   map[string]uint64 `json:"lost,omitempty" doc:"Of ended: those that were dropped meanwhile, by reason; told to the provider alone"`
	Error  string            `json:"error,omitempty"`
}

var errNoEnd = errors.New("the server did not tell the end of the live trace")

// TraceLive follows real packets, and calls fn with what is found, until the trace ends (nil), or fn returns an error, which it returns. That ends the trace, and so does the end of ctx.
func (c *Client) TraceLive(ctx context.Context, r LiveRequest, fn func(LiveEvent) error) error {
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	resp, err := c.send(ctx, Request{Method: http.MethodPost, Path: "/v1/trace/live", Header: http.Header{"Accept": {"text/event-stream"}}}, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		answer, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20)) // as much of it as there is
		return problemOf(resp, answer)
	}
	ended := false
	err = readEvents(resp.Body, func(data []byte) error {
		var e LiveEvent
		if err := json.Unmarshal(data, &e); err != nil {
			return fmt.Errorf("%s: %w: %w", c.base, errAnswer, err)
		}
		ended = ended || e.Kind == LiveEnded
		return fn(e)
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil && !ended:
		return fmt.Errorf("%s: %w", c.base, errNoEnd)
	}
	return err
}

package main

import (
	"net/netip"
	"testing"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

func TestHealthText(t *testing.T) {
	at := netip.MustParseAddr
	s := &topology.PoolSpec{Members: []topology.MemberSpec{{Address: at("10.0.0.1"), Port: 80}, {Address: at("10.0.0.2"), Port: 80}, {Address: at("fd00::3")}, {Address: at("fd00::4"), Drain: true}}}
	h := state.PoolHealth{Members: map[topology.MemberKey]state.Health{
		topology.MemberAt(at("10.0.0.1"), 80): {}, topology.MemberAt(at("10.0.0.2"), 80): {Down: true, Why: "no answer within 2s"}, topology.MemberAt(at("fd00::4"), 0): {},
	}}
	if got := healthText(s, h, false); got != "3 up; 1 up, drains" {
		t.Errorf("without a monitor %q", got)
	}
	s.Monitor = &topology.MonitorSpec{Type: "icmp"}
	if got := healthText(s, h, false); got != "1 up; 1 not probed yet; 1 down; 1 up, drains" {
		t.Errorf("in short %q", got)
	}
	if got := healthText(s, h, true); got != "10.0.0.1:80 up; 10.0.0.2:80 down (no answer within 2s); fd00::3 not probed yet; fd00::4 up, drains" {
		t.Errorf("each %q", got)
	}
}

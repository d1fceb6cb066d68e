package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

func TestHealthText(t *testing.T) {
	at, now := netip.MustParseAddr, time.Date(2026, 3, 1, 18, 0, 0, 0, time.UTC)
	s := &topology.PoolSpec{Members: []topology.MemberSpec{{Address: at("10.0.0.1"), Port: 80}, {Address: at("10.0.0.2"), Port: 80}, {Address: at("fd00::3")}, {Address: at("fd00::4"), Drain: true}}}
	h := state.PoolHealth{Members: map[topology.MemberKey]state.Health{
		topology.MemberAt(at("10.0.0.1"), 80): {}, topology.MemberAt(at("10.0.0.2"), 80): {Down: true, Why: "no answer within 2s"}, topology.MemberAt(at("fd00::4"), 0): {},
	}}
	if got := healthText(s, h, false, now); got != "3 up; 1 up, drains" {
		t.Errorf("without a monitor %q", got)
	}
	s.Monitor = &topology.MonitorSpec{Type: "icmp"}
	if got := healthText(s, h, false, now); got != "1 up; 1 not probed yet; 1 down; 1 up, drains" {
		t.Errorf("in short %q", got)
	}
	if got := healthText(s, h, true, now); got != "10.0.0.1:80 up; 10.0.0.2:80 down (no answer within 2s); fd00::3 not probed yet; fd00::4 up, drains" {
		t.Errorf("each %q", got)
	}
	until := now.Add(time.Minute)
	s.Members[0].DrainUntil, s.Members[1].DrainUntil = until, now
	if got, want := healthText(s, h, true, now), "10.0.0.1:80 up, drains until "+until.Local().Format(time.RFC3339)+"; 10.0.0.2:80 down, drained ("; !strings.HasPrefix(got, want) {
		t.Errorf("each %q, want %q", got, want)
	}
	if got := healthText(s, h, false, now); got != "1 not probed yet; 2 up, drains; 1 down, drained" {
		t.Errorf("in short %q", got)
	}
}

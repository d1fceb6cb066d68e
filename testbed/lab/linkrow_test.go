package lab

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/testbed/bulk"
	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/scenario"
	"github.com/weft-sdn/weft/testbed/wait"
)

// The second link's rate, bits a second, and what is allowed for. The first one's is benchRate.
const (
	secondRate = 8e6
	rowSlack   = 0.05
	rowWindow  = 10_000_000 // bytes over the first link, after which is counted: 4 s, of which a burst is a twentieth
)

// rowScene is rateScene with last in a bridge behind one more link.
var rowScene = strings.Replace(rateScene, "-- edges --\n", bulk.Object("Bridge", "red", "end", "")+
	bulk.Object("VPort", "red", "wan-end", `device: bridge/wan, peer: end-wan, rate: 8M`)+bulk.Object("VPort", "red", "end-wan", `device: bridge/end, peer: wan-end`)+
	bulk.Object("VPort", "red", "last", `device: bridge/end, mac: "02:00:00:00:00:05", addresses: [10.2.0.15/24, "fd02::15/64"]`)+
	"-- edges --\n", 1) + "last vport=red/last edge=e3 gw=10.2.0.1,fd02::1\n"

// TestLinksInARow (Q1): of two links in a row, both are held to: vm1 sends twice as much as the first has over that alone, and vm2, at another edge, more than twice what the second has over both. Neither link
// ever carries more than its rate, and both come to carry it.
func TestLinksInARow(t *testing.T) {
	s, err := scenario.Parse("row.txtar", []byte(rowScene))
	if err != nil {
		t.Fatal(err)
	}
	l, err := New(Config{Scenario: s})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.While(t.Context(), func(ctx context.Context) error {
		for _, name := range []string{"beyond", "last"} {
			if err := swallow(l.Host(name).(*host.Host)); err != nil {
				return err
			}
		}
		for _, family := range []string{"IPv4", "IPv6"} {
			t.Run(family, func(t *testing.T) { l.linksHold(t, ctx, family == "IPv6") })
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func (l *Lab) linksHold(t *testing.T, ctx context.Context, v6 bool) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 2)
	sending := 0
	defer func() {
		for cancel(); sending > 0; sending-- {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}()
	to := map[string]*host.Host{}
	for from, name := range map[string]string{"vm1": "beyond", "vm2": "last"} {
		far := l.Host(name).(*host.Host)
		to[from] = far
		addr := far.Addr4()
		if v6 {
			addr = far.Addr6()
		}
		if _, err := l.Host(from).PingWith(ctx, addr, host.PingConfig{Count: 2}); err != nil {
			t.Fatal(err)
		}
		senders := map[string]int{"vm1": 1, "vm2": 2}[from] // sendUDP's measure: twice benchRate, or its half
		sending++
		go func(addr netip.Addr) { ended <- sendUDP(ctx, l.Host(from).(*host.Host), addr, senders) }(addr)
	}
	for n := 0; ; n++ {
		bytes := func() (alone, both uint64) {
			return to["vm1"].Counters().BytesReceived, to["vm2"].Counters().BytesReceived
		}
		began := time.Now()
		alone, both := bytes()
		var alone2, both2 uint64
		wait.Until(t, "that both links carry something", func() bool {
			alone2, both2 = bytes()
			return alone2-alone+both2-both > rowWindow
		})
		took := time.Since(began).Seconds()
		first, second := float64(alone2-alone+both2-both)*8/took, float64(both2-both)*8/took
		t.Logf("the first link carries %.2f Mbit/s, the second %.2f", first/1e6, second/1e6)
		settled := n > 1 // edges have learnt of each other
		if settled && (first > (1+rowSlack)*benchRate || second > (1+rowSlack)*secondRate) {
			t.Fatal("that is more than they have")
		}
		if settled && first > (1-rowSlack)*benchRate && second > (1-rowSlack)*secondRate {
			return
		}
		if n == 20 {
			t.Fatal("that is less than they have")
		}
	}
}

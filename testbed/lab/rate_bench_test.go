package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/weft-sdn/weft/testbed/bulk"
	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/scenario"
	"github.com/weft-sdn/weft/testbed/wire"
)

const (
	benchRate = 20e6 // bits a second, as in rateScene
	rateTime  = 10 * time.Second
	rateFlows = 8 // of TCP
	ratePort  = 5001
	rateRTT   = 20 * time.Millisecond // of the way between the hosts
)

// rateScene: vm1 and vm2, at edges of their own, send to beyond, at a third one, over one link.
var rateScene = "-- network.yaml --\n" + bulk.Object("Bridge", "red", "lan", "") + bulk.Object("Bridge", "red", "wan", "") +
	bulk.Object("Router", "red", "near", `routes: [{dst: 10.2.0.0/24, via: 10.9.0.2, port: near-up}, {dst: "fd02::/64", via: "fd09::2", port: near-up}]`) +
	bulk.Object("Router", "red", "away", `routes: [{dst: 10.1.0.0/24, via: 10.9.0.1, port: away-up}, {dst: "fd01::/64", via: "fd09::1", port: away-up}]`) +
	bulk.Object("VPort", "red", "lan-near", `device: bridge/lan, peer: near-lan`) +
	bulk.Object("VPort", "red", "near-lan", `device: router/near, peer: lan-near, addresses: [10.1.0.1/24, "fd01::1/64"]`) +
	bulk.Object("VPort", "red", "near-up", `device: router/near, peer: away-up, rate: 20M, addresses: [10.9.0.1/30, "fd09::1/126"]`) +
	bulk.Object("VPort", "red", "away-up", `device: router/away, peer: near-up, addresses: [10.9.0.2/30, "fd09::2/126"]`) +
	bulk.Object("VPort", "red", "away-wan", `device: router/away, peer: wan-away, addresses: [10.2.0.1/24, "fd02::1/64"]`) +
	bulk.Object("VPort", "red", "wan-away", `device: bridge/wan, peer: away-wan`) +
	bulk.Object("VPort", "red", "vm1", `device: bridge/lan, mac: "02:00:00:00:00:01", addresses: [10.1.0.11/24, "fd01::11/64"]`) +
	bulk.Object("VPort", "red", "vm2", `device: bridge/lan, mac: "02:00:00:00:00:02", addresses: [10.1.0.12/24, "fd01::12/64"]`) +
	bulk.Object("VPort", "red", "beyond", `device: bridge/wan, mac: "02:00:00:00:00:04", addresses: [10.2.0.14/24, "fd02::14/64"]`) +
	"-- edges --\ne1\ne2\ne3\n-- hosts --\nvm1 vport=red/vm1 edge=e1 gw=10.1.0.1,fd01::1\nvm2 vport=red/vm2 edge=e2 gw=10.1.0.1,fd01::1\nbeyond vport=red/beyond edge=e3 gw=10.2.0.1,fd02::1\n"

// BenchmarkRate reports rate_error (%): by how much what arrived within 10 s, in bytes of frames, was not what the link's rate of 20 Mbit/s has for that time, the worst of: UDP at twice the rate
// (IPv4), and 8 TCP connections (IPv6), from one edge, and from two, half from each. The way to the receiver is 20 ms long. Each in a lab of its own, from the first packet on.
func BenchmarkRate(b *testing.B) {
	s, err := scenario.Parse("rate.txtar", []byte(rateScene))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		worst := 0.0
		for name, send := range map[string]func(context.Context, *host.Host, netip.Addr, int) error{"udp": sendUDP, "tcp": sendTCP} {
			for _, senders := range [][]string{{"vm1"}, {"vm1", "vm2"}} {
				l, err := New(Config{Scenario: s})
				if err != nil {
					b.Fatal(err)
				}
				var got float64
				if err := l.While(b.Context(), func(ctx context.Context) (err error) {
					got, err = l.rateOf(ctx, senders, send, name == "tcp")
					return err
				}); err != nil {
					b.Fatal(err)
				}
				off := 100 * (got/benchRate - 1)
				b.Logf("%s from %d edges: %.2f Mbit/s, %+.1f %%", name, len(senders), got/1e6, off)
				b.ReportMetric(off, fmt.Sprintf("rate_error_%s_%d:%%", name, len(senders)))
				worst = max(worst, math.Abs(off))
			}
		}
		b.ReportMetric(worst, "rate_error:%")
	}
}

// rateOf returns the bits a second that arrived.
func (l *Lab) rateOf(ctx context.Context, senders []string, send func(context.Context, *host.Host, netip.Addr, int) error, v6 bool) (float64, error) {
	receiver := l.Host("beyond").(*host.Host)
	l.plugs.mu.Lock()
	far := newFarLink(l.plugs.at[2])
	l.plugs.mu.Unlock()
	go far.run(ctx)
	receiver.Connect(far)
	to := receiver.Addr4()
	if v6 {
		to = receiver.Addr6()
	}
	for _, name := range senders { // neighbours are known, and addresses
		if _, err := l.Host(name).PingWith(ctx, to, host.PingConfig{Count: 2}); err != nil {
			return 0, err
		}
	}
	if err := swallow(receiver); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make(chan error, len(senders))
	var sending sync.WaitGroup
	defer sending.Wait()
	defer cancel()
	before, began := receiver.Counters().BytesReceived, time.Now()
	for _, name := range senders {
		sending.Go(func() { errs <- send(ctx, l.Host(name).(*host.Host), to, len(senders)) })
	}
	select {
	case <-time.After(rateTime):
	case err := <-errs:
		return 0, fmt.Errorf("a sender ended: %w", err)
	}
	arrived, took := receiver.Counters().BytesReceived-before, time.Since(began)
	return float64(arrived) * 8 / took.Seconds(), nil
}

// farLink is a link on which what is sent takes its time: the round trip, all of it on the way back.
type farLink struct {
	*wire.Member
	queue chan farFrame
}

type farFrame struct {
	frame []byte
	at    time.Time
}

func newFarLink(m *wire.Member) *farLink { return &farLink{m, make(chan farFrame, 1<<14)} }

// Send implements host.Link.
func (f *farLink) Send(frame []byte) {
	select {
	case f.queue <- farFrame{bytes.Clone(frame), time.Now().Add(rateRTT)}:
	default: // more than a link holds
	}
}

func (f *farLink) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case x := <-f.queue:
			time.Sleep(time.Until(x.at))
			f.Member.Send(x.frame)
		}
	}
}

// swallow takes what is sent to ratePort.
func swallow(h *host.Host) error {
	datagrams, err := h.ListenUDP(ratePort)
	if err != nil {
		return err
	}
	go func() {
		buf := make([]byte, 2048)
		for {
			if _, _, err := datagrams.ReadFrom(buf); err != nil {
				return
			}
		}
	}()
	listener, err := h.ListenTCP(ratePort)
	if err != nil {
		return err
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, conn) }()
		}
	}()
	return nil
}

// sendUDP sends datagrams at twice the rate, or its part of that, until ctx ends.
func sendUDP(ctx context.Context, from *host.Host, to netip.Addr, senders int) error {
	conn, err := from.DialUDP(netip.AddrPortFrom(to, ratePort))
	if err != nil {
		return err
	}
	defer conn.Close()
	payload := make([]byte, 1300)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	began, sent := time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			for due := 2 * benchRate / 8 * now.Sub(began).Seconds() / float64(senders); float64(sent) < due; sent += len(payload) {
				if _, err := conn.Write(payload); err != nil {
					return err
				}
			}
		}
	}
}

// sendTCP sends over its part of 8 connections, as fast as they take it, until ctx ends.
func sendTCP(ctx context.Context, from *host.Host, to netip.Addr, senders int) error {
	var all sync.WaitGroup
	failed := make(chan error, rateFlows)
	for range rateFlows / senders {
		conn, err := from.DialTCP(ctx, netip.AddrPortFrom(to, ratePort))
		if err != nil {
			return err
		}
		stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
		all.Go(func() {
			defer conn.Close()
			defer stop()
			failed <- fill(ctx, conn)
		})
	}
	all.Wait()
	return <-failed
}

func fill(ctx context.Context, conn net.Conn) error {
	payload := make([]byte, 16<<10)
	for {
		if _, err := conn.Write(payload); ctx.Err() != nil {
			return nil
		} else if err != nil {
			return err
		}
	}
}

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/lab"
	"github.com/weft-sdn/weft/testbed/netns"
	"github.com/weft-sdn/weft/testbed/scenario"
	"github.com/weft-sdn/weft/testbed/wait"
	"github.com/weft-sdn/weft/vpn"
)

// officeNetwork has a VPN for which e1 and e2 compete, called at a port of a provider's router, by an office that a host in the provider's network leads to.
const officeNetwork = `
-- edges --
e1
e2
e3
-- hosts --
vm vport=acme/vm edge=e3 mac=02:00:00:00:00:01 ip=10.1.0.5/24,fd01::5/64 gw=10.1.0.1,fd01::1 mtu=1300
inet vport=isp/up edge=e3 mac=02:00:00:00:99:01 ip=203.0.113.9/24,2001:db8:113::9/64 gw=203.0.113.1,2001:db8:113::1
office remote=acme/office via=inet
-- network.yaml --
{apiVersion: weft/v1, kind: Router, metadata: {name: core, tenant: acme}, spec: {routes: [{dst: 192.168.50.0/24, port: office}, {dst: "fd50::/64", port: office}]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm, tenant: acme}, spec: {device: router/core, addresses: [10.1.0.1/24, "fd01::1/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: office, tenant: acme}, spec: {device: router/core, addresses: [10.9.0.1/30, "fd09::1/64"], mtu: 1300}}
---
{apiVersion: weft/v1, kind: Router, metadata: {name: border, tenant: isp}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: up, tenant: isp}, spec: {device: router/border, addresses: [203.0.113.1/24, "2001:db8:113::1/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vpn, tenant: isp}, spec: {device: router/border, singleHost: true, addresses: [198.51.100.10/24, "2001:db8:51::10/64"]}}
---
apiVersion: weft/v1
kind: VPN
metadata: {name: office, tenant: acme}
spec:
  vport: office
  edges: [e1, e2]
  publicPort: isp/vpn
  listenPort: 51820
  mtu: 1300
  networks: [10.1.0.0/24, "fd01::/64"]
  peers:
  - {name: office, allowedIPs: [192.168.50.0/24, "fd50::/64"], addresses: [192.168.50.2/24, "fd50::2/64"], keepalive: 5}
`

var (
	officeVM, officeVM6 = netip.MustParseAddr("10.1.0.5"), netip.MustParseAddr("fd01::5")
	officePC, officePC6 = netip.MustParseAddr("192.168.50.2"), netip.MustParseAddr("fd50::2")
)

// officeLab is officeNetwork with etcd, agents and softswitches in processes of their own, and a data port of the kernel's between each agent and its softswitch.
type officeLab struct {
	testing.TB
	*lab.Lab
}

func newOfficeLab(t testing.TB, dataPort string) *officeLab {
	t.Helper()
	if err := netns.Denied(); err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil && dataPort == "tap" {
		t.Skipf("SKIPPED: %v", err)
	}
	weft, err := exec.LookPath("weft")
	if err != nil {
		t.Fatal(err)
	}
	s, err := scenario.Parse(t.Name(), []byte(officeNetwork))
	if err != nil {
		t.Fatal(err)
	}
	l, err := lab.New(lab.Config{Scenario: s, Processes: true, Executable: weft, DataPort: dataPort, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("lab: %v", err)
		}
	})
	select {
	case <-l.Ready():
	case err := <-ended:
		ended <- nil
		t.Fatalf("lab ended: %v", err)
	}
	return &officeLab{t, l}
}

// state is how the VPN is at an edge; empty: the edge does not tell.
func (l *officeLab) state(edge string) vpn.State {
	all, err := l.VPNs(l.Context(), edge)
	if err != nil || len(all) != 1 {
		return ""
	}
	return all[0].State
}

// holder waits until one edge carries the VPN and the other stands by.
func (l *officeLab) holder() (edge, other string) {
	l.Helper()
	wait.Until(l, "an edge holds the VPN, and the other stands by", func() bool {
		edge, other = "e1", "e2"
		if l.state(other) == vpn.Up {
			edge, other = other, edge
		}
		return l.state(edge) == vpn.Up && l.state(other) == vpn.Standby
	})
	return edge, other
}

// reaches waits until a host reaches addresses by ping.
func (l *officeLab) reaches(from string, to ...netip.Addr) {
	l.Helper()
	for _, a := range to {
		wait.Until(l, fmt.Sprintf("%s reaches %v", from, a), func() bool {
			r, err := l.Host(from).PingWith(l.Context(), a, host.PingConfig{Count: 1, Timeout: 500 * time.Millisecond})
			return err == nil && r.Received() == 1
		})
	}
}

// kill kills the process of the agent that holds the VPN, and returns for how long the office had no answer from the VM. The agent starts again then.
func (l *officeLab) kill() time.Duration {
	l.Helper()
	edge, other := l.holder()
	ctx, cancel := context.WithCancel(l.Context())
	gaps := make(chan time.Duration, 1)
	go func() { gaps <- l.longestGap(ctx) }()
	if err := l.KillAgent(edge); err != nil {
		l.Fatal(err)
	}
	wait.Until(l, other+" holds the VPN", func() bool { return l.state(other) == vpn.Up })
	l.reaches("office", officeVM, officeVM6)
	l.reaches("vm", officePC, officePC6)
	cancel()
	gap := <-gaps
	if err := l.StartAgent(edge); err != nil {
		l.Fatal(err)
	}
	return gap
}

// longestGap pings the VM from the office, a hundred times a second, until ctx ends, and returns for how long at most there was no answer.
func (l *officeLab) longestGap(ctx context.Context) (gap time.Duration) {
	last := time.Now()
	for ctx.Err() == nil {
		r, err := l.Host("office").PingWith(ctx, officeVM, host.PingConfig{Count: 1, Timeout: 100 * time.Millisecond})
		if err == nil && r.Received() == 1 {
			gap = max(gap, time.Since(last))
			last = time.Now()
		}
		pace := time.NewTimer(10 * time.Millisecond)
		select {
		case <-ctx.Done():
		case <-pace.C:
		}
		pace.Stop()
	}
	return max(gap, time.Since(last))
}

// TestVPNProcessIsKilled: agents and softswitches are processes with interfaces of the kernel's between them. The agent that holds a VPN is killed (kill -9): another one serves, the remote end is what it was, a TCP connection through the tunnel lives on.
func TestVPNProcessIsKilled(t *testing.T) {
	for _, dataPort := range []string{"veth", "tap"} {
		t.Run(dataPort, func(t *testing.T) {
			t.Parallel()
			l := newOfficeLab(t, dataPort)
			l.reaches("office", officeVM, officeVM6)
			l.reaches("vm", officePC, officePC6)
			if err := l.Host("vm").ServeSink(9); err != nil {
				t.Fatal(err)
			}
			pushed := make(chan error, 1)
			begun, killed := make(chan struct{}), make(chan struct{})
			go func() {
				once := false
				_, err := l.Host("office").PushAt(t.Context(), netip.AddrPortFrom(officeVM, 9), 2<<20, func(ctx context.Context, moved int64) error {
					if moved < 1<<20 || once {
						return nil
					}
					once = true
					close(begun)
					select { // the second half goes when another edge serves
					case <-killed:
						return nil
					case <-ctx.Done():
						return ctx.Err()
					}
				})
				pushed <- err
			}()
			select {
			case <-begun:
			case err := <-pushed:
				t.Fatalf("the TCP connection ended: %v", err)
			}
			gap := l.kill()
			close(killed)
			if err := <-pushed; err != nil {
				t.Errorf("the TCP connection: %v", err)
			}
			t.Logf("no ping was answered for %v", gap)
		})
	}
}

// BenchmarkVPNFailover reports vpn_failover, in seconds: the process of the agent that holds a VPN is killed; how long it is until a ping through the tunnel is answered again, the longest of five.
func BenchmarkVPNFailover(b *testing.B) {
	const kills = 5
	l := newOfficeLab(b, "veth")
	l.reaches("office", officeVM)
	for range b.N {
		var longest time.Duration
		for range kills {
			longest = max(longest, l.kill())
		}
		b.ReportMetric(longest.Seconds(), "vpn_failover:s")
	}
}

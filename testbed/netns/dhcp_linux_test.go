package netns_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/lab"
	"github.com/weft-sdn/weft/testbed/netns"
	"github.com/weft-sdn/weft/testbed/scenario"
)

const leasedLab = `-- hosts --
vm1 vport=acme/vm1 edge=e1 mac=02:00:00:00:00:01 mtu=1400
vm2 vport=acme/vm2 edge=e2 mac=02:00:00:00:00:02 mtu=1400
-- network.yaml --
apiVersion: weft/v1
kind: DHCP
metadata: {name: pool, tenant: acme}
spec:
  leaseTime: 600
  dns: [10.1.0.53, "fd01::53"]
  domain: acme.example
  subnets:
  - {prefix: 10.1.0.0/24, router: 10.1.0.1, ranges: [10.1.0.100-10.1.0.109], routes: [{dst: 10.2.0.0/16, via: 10.1.0.2}]}
  - {prefix: "fd01::/64", ranges: ["fd01::100-fd01::109"]}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm1, tenant: acme}, spec: {device: bridge/lan, dhcp: pool}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm2, tenant: acme}, spec: {device: bridge/lan, dhcp: pool}}
---
{apiVersion: weft/v1, kind: Router, metadata: {name: gw, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: lan-gw, tenant: acme}, spec: {device: bridge/lan, peer: gw-lan}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-lan, tenant: acme}, spec: {device: router/gw, peer: lan-gw, addresses: [10.1.0.1/24, "fd01::1/64"]}}
`

// Scripts that the clients call: they configure the interface as they are told, and note what that is.
const (
	udhcpcScript = `#!/bin/sh
[ "$1" = bound ] || [ "$1" = renew ] || exit 0
IP addr replace $ip/$mask dev $interface
IP route replace default via $router
echo "$1 $ip/$mask router=$router dns=$dns domain=$domain lease=$lease mtu=$mtu routes=$staticroutes" >> LOG
`
	dhclientScript = `#!/bin/sh
case "$reason" in
BOUND) IP addr replace $new_ip_address/24 dev $interface ;;
BOUND6) IP addr replace $new_ip6_address/128 dev $interface nodad; IP route replace fd01::/64 dev $interface ;;
RELEASE|RELEASE6|STOP|STOP6) IP addr flush dev $interface scope global ;;
esac
echo "$reason $new_ip_address $new_routers $new_dhcp_lease_time $new_interface_mtu $new_ip6_address $new_dhcp6_name_servers" >> LOG
exit 0
`
)

// runner is what a machine in a namespace can do besides.
type runner interface {
	Exec(ctx context.Context, name string, args ...string) (stdout, stderr []byte, err error)
}

// client is a DHCP client in a namespace, with its script and what it noted.
type client struct {
	t   *testing.T
	run runner
	dir string
}

func newClient(t *testing.T, l *lab.Lab, host, script string) *client {
	t.Helper()
	ip, err := exec.LookPath("ip")
	if err != nil {
		t.Skip("DHCP clients need ip on PATH, to configure what they are given")
	}
	c := &client{t: t, run: l.Host(host).(runner), dir: t.TempDir()}
	script = strings.NewReplacer("IP ", ip+" ", "LOG", c.file("log")).Replace(script)
	if err := os.WriteFile(c.file("script"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *client) file(name string) string { return filepath.Join(c.dir, name) }

// do runs a program to its end.
func (c *client) do(ctx context.Context, name string, args ...string) string {
	c.t.Helper()
	stdout, stderr, err := c.run.Exec(ctx, name, args...)
	if err != nil {
		c.t.Fatalf("%s %v: %v\n%s%s%s", name, args, err, stdout, stderr, c.log())
	}
	return string(stdout) + string(stderr)
}

func (c *client) log() string {
	b, _ := os.ReadFile(c.file("log"))
	return string(b)
}

// noted wants a line of the log to be so, and returns its first group.
func (c *client) noted(pattern string) string {
	c.t.Helper()
	m := regexp.MustCompile("(?m)" + pattern).FindStringSubmatch(c.log())
	if m == nil {
		c.t.Fatalf("no line %s in what the client was told:\n%s", pattern, c.log())
	}
	return m[len(m)-1]
}

// TestDHCPClients: the clients that distributions bring take their addresses from weft, reach each other across edges with them, and give them back.
func TestDHCPClients(t *testing.T) {
	if err := netns.Missing(); err != nil {
		t.Skip(err)
	}
	for _, tool := range []string{"udhcpc", "dhclient"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not on PATH: Debian has it in packages udhcpc and isc-dhcp-client", tool)
		}
	}
	s, err := scenario.Parse("leased.txtar", []byte(leasedLab))
	if err != nil {
		t.Fatal(err)
	}
	l, err := lab.New(lab.Config{Scenario: s, PowerOn: netns.New})
	if err != nil {
		t.Fatal(err)
	}
	err = l.While(t.Context(), func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
		defer cancel()
		clients(ctx, t, l)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func clients(ctx context.Context, t *testing.T, l *lab.Lab) {
	store, err := state.Open(ctx, state.Config{Client: state.ClientConfig{Endpoints: l.Endpoints()}})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	leased := func() (addrs []netip.Addr) {
		all, err := store.Leases(ctx, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range all {
			if one.Use == state.LeaseBound {
				addrs = append(addrs, one.Addr)
			}
		}
		return addrs
	}

	// vm1: busybox' client, IPv4.
	u := newClient(t, l, "vm1", udhcpcScript)
	udhcpc := []string{"-i", "eth0", "-f", "-n", "-t", "5", "-T", "2", "-s", u.file("script"), "-O", "mtu", "-O", "staticroutes"}
	u.do(ctx, "udhcpc", append(udhcpc, "-q")...)
	first := u.noted(`^bound (10\.1\.0\.10\d)/24 router=10\.1\.0\.1 dns=10\.1\.0\.53 domain=acme\.example lease=600 mtu=\d+ routes=10\.2\.0\.0/16 10\.1\.0\.2 0\.0\.0\.0/0 10\.1\.0\.1$`)
	// It asks for the same again, and gets it.
	u.do(ctx, "udhcpc", append(udhcpc, "-q", "-r", first)...)
	if got := strings.Count(u.log(), "bound "+first+"/24"); got != 2 {
		t.Errorf("vm1 was given %s %d times, want twice:\n%s", first, got, u.log())
	}

	// vm2: ISC's client, both IP versions.
	for _, family := range []string{"4", "6"} {
		d := newClient(t, l, "vm2", dhclientScript)
		dhclient := []string{"-" + family, "-cf", "/dev/null", "-sf", d.file("script"), "-lf", d.file("leases"), "-pf", d.file("pid")}
		if err := os.WriteFile(d.file("leases"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		d.do(ctx, "dhclient", append(dhclient, "-1", "eth0")...)
		defer func() { // it has ended, unless the test failed
			_, _, _ = d.run.Exec(context.WithoutCancel(ctx), "dhclient", append(dhclient, "-x", "eth0")...)
		}()
		var addr, peer string
		if family == "4" {
			addr, peer = d.noted(`^BOUND (10\.1\.0\.10\d) 10\.1\.0\.1 600 \d+ `), first
		} else {
			addr, peer = d.noted(`^BOUND6 .*(fd01::10\d) fd01::53$`), "fd01::1"
		}
		if addr == first {
			t.Errorf("vm1 and vm2 both have %s", addr)
		}
		d.do(ctx, "ping", "-c", "2", "-W", "5", peer) // across the edges, and to the router
		if got := leased(); len(got) != 2 {
			t.Errorf("leased are %v, want those of vm1 and vm2", got)
		}
		if family == "4" { // a release is sent once, and lost if the address is taken off the interface before the server's MAC is known
			d.do(ctx, "ping", "-c", "1", "-W", "5", "10.1.0.1")
		}
		d.do(ctx, "dhclient", append(dhclient, "-r", "eth0")...)
		if err := waitFor(ctx, func() bool { return len(leased()) == 1 }); err != nil {
			t.Errorf("%v after the release: leased are %v", err, leased())
		}
	}
}

// waitFor looks until it is so.
func waitFor(ctx context.Context, is func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("not so: %w", ctx.Err())
		}
	}
	return nil
}

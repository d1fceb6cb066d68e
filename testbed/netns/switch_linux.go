package netns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strconv"

	"github.com/weft-sdn/weft/softswitch/port"
)

// Switch is an Ethernet switch that snoops IGMP and MLD, and asks for members itself: a bridge of the kernel in a namespace of its own, with a router on it. Its ports are
// numbered from 1.
type Switch struct {
	ns    *namespace
	ports []port.Port
}

// SwitchConfig says what a switch is like.
type SwitchConfig struct {
	Ports   int
	Routers []netip.Prefix                // addresses of the router, one a family
	Routes  map[netip.Prefix][]netip.Addr // and what it knows beyond: by which address of the link
	IGMP    int                           // version that it asks by: 2 or 3
	MLD     int                           // 1 or 2
}

// NewSwitch needs root and the programs ip and bridge. Close it.
func NewSwitch(ctx context.Context, cfg SwitchConfig) (_ *Switch, err error) {
	s := new(Switch)
	if s.ns, err = newNamespace(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	setUp := [][]string{
		{"link", "set", "lo", "up"},
		{"link", "add", "br0", "type", "bridge", "mcast_snooping", "1", "mcast_querier", "1", "mcast_igmp_version", strconv.Itoa(cfg.IGMP), "mcast_mld_version", strconv.Itoa(cfg.MLD),
			"mcast_query_response_interval", "100"}, // 1 s, until the end of which the kernel floods what nobody has asked for yet
		{"link", "set", "br0", "up"},
	}
	for _, p := range cfg.Routers {
		address := []string{"addr", "add", p.String(), "dev", "br0"}
		if p.Addr().Is6() {
			address = append(address, "nodad")
		}
		setUp = append(setUp, address)
	}
	for n := 1; n <= cfg.Ports; n++ {
		setUp = append(setUp,
			[]string{"link", "add", s.inner(n), "mtu", "1600", "type", "veth", "peer", "name", s.outer(n), "mtu", "1600"},
			[]string{"link", "set", s.inner(n), "master", "br0"},
			[]string{"link", "set", s.inner(n), "up"}, []string{"link", "set", s.outer(n), "up"})
	}
	for to, by := range cfg.Routes {
		for _, via := range by {
			setUp = append(setUp, []string{"route", "add", to.String(), "via", via.String()})
		}
	}
	return s, s.ns.do(func() error {
		for _, forward := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
			if err := setting(forward, "1"); err != nil {
				return err
			}
		}
		for _, args := range setUp {
			if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
				return fmt.Errorf("ip %v: %w: %s", args, err, out)
			}
		}
		for n := 1; n <= cfg.Ports; n++ {
			p, err := port.OpenInterface(s.outer(n))
			if err != nil {
				return err
			}
			s.ports = append(s.ports, p)
		}
		return nil
	})
}

func (*Switch) inner(n int) string { return "p" + strconv.Itoa(n) }
func (*Switch) outer(n int) string { return "u" + strconv.Itoa(n) }

// Port is the far end of the cable at port n. Whoever reads it closes it.
func (s *Switch) Port(n int) port.Port { return s.ports[n-1] }

// Groups are the multicast groups that stations at port n have asked for, as the kernel snooped it.
func (s *Switch) Groups(ctx context.Context, n int) (map[netip.Addr]struct{}, error) {
	var tables []struct {
		MDB []struct{ Port, Grp string } `json:"mdb"`
	}
	if err := s.ask(ctx, &tables, "bridge", "-j", "mdb", "show", "dev", "br0"); err != nil {
		return nil, err
	}
	groups := map[netip.Addr]struct{}{}
	for _, t := range tables {
		for _, e := range t.MDB {
			if a, err := netip.ParseAddr(e.Grp); err == nil && e.Port == s.inner(n) {
				groups[a] = struct{}{}
			}
		}
	}
	return groups, nil
}

// Sent counts the frames that left by port n.
func (s *Switch) Sent(ctx context.Context, n int) (uint64, error) {
	var links []struct {
		Stats64 struct{ TX struct{ Packets uint64 } }
	}
	if err := s.ask(ctx, &links, "ip", "-j", "-s", "link", "show", "dev", s.inner(n)); err != nil {
		return 0, err
	}
	return links[0].Stats64.TX.Packets, nil
}

// Ask has the switch ask all stations for their groups now.
func (s *Switch) Ask(ctx context.Context) error {
	return s.ns.do(func() error {
		for _, querier := range []string{"0", "1"} {
			if out, err := exec.CommandContext(ctx, "ip", "link", "set", "br0", "type", "bridge", "mcast_querier", querier).CombinedOutput(); err != nil {
				return fmt.Errorf("bridge: %w: %s", err, out)
			}
		}
		return nil
	})
}

// ask runs a program in the namespace and decodes what it prints.
func (s *Switch) ask(ctx context.Context, into any, program string, args ...string) error {
	return s.ns.do(func() error {
		out, err := exec.CommandContext(ctx, program, args...).Output()
		if err != nil {
			return fmt.Errorf("%s %v: %w", program, args, err)
		}
		return json.Unmarshal(out, into)
	})
}

// Close ends the switch, its namespace with it.
func (s *Switch) Close() error { return s.ns.close() }

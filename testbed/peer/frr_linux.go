package peer

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// frr is FRR: zebra sets the kernel's routes, bgpd speaks, bfdd beside it where a neighbour wants BFD. Each has its file, and its socket for vtysh,
// through which it also takes changes.
type frr struct{ dir string }

func (f *frr) programs(c *Config) []program {
	names := []string{"zebra", "bgpd"}
	if c.any(func(n Neighbour) bool { return n.BFD }) {
		names = []string{"zebra", "bfdd", "bgpd"}
	}
	var all []program
	for _, name := range names {
		one := program{name: name, socket: file(f.dir, name+".vty"), args: []string{
			"-f", file(f.dir, name+".conf"), "-i", file(f.dir, name+".pid"), "-z", file(f.dir, "zserv.api"), "--vty_socket", f.dir, "-P", "0", "--log", "stdout",
		}}
		if name == "bfdd" {
			one.args = append(one.args, "--bfdctl", file(f.dir, "bfdd.sock"))
		}
		all = append(all, one)
	}
	return all
}

func (f *frr) write(c *Config) error {
	var w bytes.Buffer
	fmt.Fprintf(&w, "hostname %s\nbgp as-path access-list own permit ^$\n", c.Name)
	for _, n := range c.Neighbours {
		if n.Prepend > 0 {
			fmt.Fprintf(&w, "route-map prepend%d permit 10\n set as-path prepend%s\nexit\n", n.Prepend, strings.Repeat(fmt.Sprintf(" %d", c.AS), n.Prepend))
		}
	}
	fmt.Fprintf(&w, "router bgp %d\n", c.AS)
	fmt.Fprintf(&w, " bgp router-id %s\n no bgp ebgp-requires-policy\n no bgp default ipv4-unicast\n no bgp network import-check\n bgp bestpath as-path multipath-relax\n", c.RouterID)
	if c.any(func(n Neighbour) bool { return n.Graceful }) {
		fmt.Fprint(&w, " bgp graceful-restart\n bgp graceful-restart preserve-fw-state\n")
	}
	for i := range c.Neighbours {
		f.describe(&w, c, &c.Neighbours[i])
	}
	for _, is4 := range [...]bool{true, false} {
		fmt.Fprintf(&w, " address-family %s unicast\n", family(is4))
		for _, prefix := range c.Announce {
			if prefix.Addr().Is4() == is4 {
				fmt.Fprintf(&w, "  network %s\n", prefix)
			}
		}
		for i := range c.Neighbours {
			if n := &c.Neighbours[i]; is4 && n.V4 || !is4 && n.V6 {
				f.activate(&w, n)
			}
		}
		fmt.Fprint(&w, " exit-address-family\n")
	}
	for name, config := range map[string][]byte{"zebra": nil, "bfdd": nil, "bgpd": w.Bytes()} {
		if err := os.WriteFile(file(f.dir, name+".conf"), config, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// describe writes what a session is like.
func (f *frr) describe(w *bytes.Buffer, c *Config, n *Neighbour) {
	option := func(on bool, format string, args ...any) {
		if on {
			fmt.Fprintf(w, " neighbor %s %s\n", n.Addr, fmt.Sprintf(format, args...))
		}
	}
	option(true, "remote-as %d", n.AS)
	option(true, "shutdown") // until begin
	option(true, "update-source %s", c.local(n.Addr))
	option(true, "timers connect 1")
	option(true, "advertisement-interval 0")
	option(n.HoldTime > 0, "timers %d %d", n.HoldTime/3, n.HoldTime)
	option(n.Multihop > 0 && n.AS != c.AS, "ebgp-multihop %d", n.Multihop)
	option(n.Password != "", "password %s", n.Password)
	option(n.Passive, "passive")
	option(n.TTLSecurity, "ttl-security hops 1")
	option(n.BFD, "bfd 3 %d %[1]d", n.BFDTime)
	option(n.BFD && n.BFDGraceful, "bfd check-control-plane-failure")
}

// activate writes what the session exchanges of one family.
func (f *frr) activate(w *bytes.Buffer, n *Neighbour) {
	fmt.Fprintf(w, "  neighbor %s activate\n  neighbor %[1]s filter-list own out\n  neighbor %[1]s next-hop-self\n", n.Addr)
	if n.MaxPrefix > 0 {
		fmt.Fprintf(w, "  neighbor %s maximum-prefix %d\n", n.Addr, n.MaxPrefix)
	}
	if n.Prepend > 0 {
		fmt.Fprintf(w, "  neighbor %s route-map prepend%d out\n", n.Addr, n.Prepend)
	}
	if n.Reflect {
		fmt.Fprintf(w, "  neighbor %s route-reflector-client\n", n.Addr)
	}
	if n.AddPath {
		fmt.Fprintf(w, "  neighbor %s addpath-tx-all-paths\n", n.Addr)
	}
}

func family(is4 bool) string {
	if is4 {
		return "ipv4"
	}
	return "ipv6"
}

// begin waits until zebra has told bgpd the interface and its addresses: before, bgpd takes what neighbours say of next hops for wrong.
func (f *frr) begin(ctx context.Context, c *Config) error {
	err := until(ctx, func() (bool, error) {
		answer, err := f.ask(ctx, "zebra", "show zebra client")
		return addressesTold(answer) >= len(c.Addrs), err
	})
	if err != nil {
		return fmt.Errorf("zebra: tell bgpd of the interface: %w", err)
	}
	commands := []string{"configure terminal", fmt.Sprintf("router bgp %d", c.AS)}
	for _, n := range c.Neighbours {
		commands = append(commands, fmt.Sprintf("no neighbor %s shutdown", n.Addr))
	}
	_, err = f.ask(ctx, "bgpd", append(commands, "end")...)
	return err
}

// addressesTold reads how many addresses zebra has told bgpd of, from a line such as "Intf Addr   3           0           0" below "Client: bgp".
func addressesTold(clients []byte) (n int) {
	var client string
	for line := range strings.Lines(string(clients)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 2 && fields[0] == "Client:":
			client = fields[1]
		case client == "bgp" && len(fields) > 2 && fields[0] == "Intf" && fields[1] == "Addr":
			n, _ = strconv.Atoi(fields[2]) // none yet, if it is no number
		}
	}
	return n
}

func (f *frr) change(ctx context.Context, c *Config, announce, withdraw []netip.Prefix) error {
	commands := []string{"configure terminal", fmt.Sprintf("router bgp %d", c.AS)}
	for _, is4 := range [...]bool{true, false} {
		commands = append(commands, fmt.Sprintf("address-family %s unicast", family(is4)))
		for _, prefix := range withdraw {
			if prefix.Addr().Is4() == is4 {
				commands = append(commands, "no network "+prefix.String())
			}
		}
		for _, prefix := range announce {
			if prefix.Addr().Is4() == is4 {
				commands = append(commands, "network "+prefix.String())
			}
		}
		commands = append(commands, "exit-address-family")
	}
	_, err := f.ask(ctx, "bgpd", append(commands, "end")...)
	return err
}

func (f *frr) state(ctx context.Context, _ *Config, n *Neighbour) (string, error) {
	s, err := f.told(ctx, n)
	return s.BGPState, err
}

func (f *frr) watched(ctx context.Context, n *Neighbour) (bool, error) {
	s, err := f.told(ctx, n)
	return s.PeerBFDInfo.Status == "Up", err
}

// session is what bgpd tells of one.
type session struct {
	BGPState    string
	PeerBFDInfo struct{ Status string }
}

func (f *frr) told(ctx context.Context, n *Neighbour) (session, error) {
	answer, err := f.ask(ctx, "bgpd", fmt.Sprintf("show bgp neighbors %s json", n.Addr))
	if err != nil {
		return session{}, err
	}
	var sessions map[string]session
	if err := json.Unmarshal(answer, &sessions); err != nil {
		return session{}, fmt.Errorf("bgpd: session with %s: %w", n.Addr, err)
	}
	return sessions[n.Addr.String()], nil
}

func (f *frr) routes(ctx context.Context) (map[netip.Prefix][]netip.Addr, error) {
	routes := map[netip.Prefix][]netip.Addr{}
	for _, is4 := range [...]bool{true, false} {
		answer, err := f.ask(ctx, "bgpd", fmt.Sprintf("show bgp %s unicast json", family(is4)))
		if err != nil {
			return nil, err
		}
		var table struct {
			Routes map[netip.Prefix][]struct {
				PeerID   string
				Nexthops []struct {
					IP    netip.Addr
					Scope string
				}
			}
		}
		if err := json.Unmarshal(answer, &table); err != nil {
			return nil, fmt.Errorf("bgpd: routes: %w", err)
		}
		for prefix, paths := range table.Routes {
			for _, path := range paths {
				for _, hop := range path.Nexthops {
					if path.PeerID != "(unspec)" && hop.Scope != "link-local" { // it is not its own
						routes[prefix] = append(routes[prefix], hop.IP)
					}
				}
			}
		}
	}
	return routes, nil
}

// ask has a daemon do commands as vtysh would, and returns what they print. Each ends with a zero byte; the answer ends with three and one that tells how it
// went: 0 is well, 1 a warning.
func (f *frr) ask(ctx context.Context, daemon string, commands ...string) ([]byte, error) {
	conn, err := dial(ctx, file(f.dir, daemon+".vty"))
	if err != nil {
		return nil, err
	}
	defer conn.close()
	var said []byte
	in := bufio.NewReader(conn)
	for _, command := range append([]string{"enable"}, commands...) {
		if _, err := conn.Write(append([]byte(command), 0)); err != nil {
			return nil, conn.why(err)
		}
		begin := len(said)
		for !ended(said[begin:]) {
			b, err := in.ReadByte()
			if err != nil {
				return nil, conn.why(fmt.Errorf("%s: %s: the answer breaks off: %w", daemon, command, err))
			}
			said = append(said, b)
		}
		end := len(said) - 4
		if result := said[len(said)-1]; result > 1 {
			return nil, fmt.Errorf("%s: %s: result %d: %s", daemon, command, result, bytes.TrimSpace(said[begin:end]))
		}
		said = said[:end]
	}
	return said, nil
}

func ended(answer []byte) bool {
	return len(answer) >= 4 && bytes.Equal(answer[len(answer)-4:len(answer)-1], []byte{0, 0, 0})
}

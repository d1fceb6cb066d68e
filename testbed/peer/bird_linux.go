package peer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// bird is BIRD 2: one program, one file that is written anew for each change, one control socket.
type bird struct{ dir string }

func (b *bird) socket() string { return file(b.dir, "bird.ctl") }
func (b *bird) config() string { return file(b.dir, "bird.conf") }

func (b *bird) programs(*Config) []program {
	return []program{{name: "bird", socket: b.socket(), args: []string{"-f", "-c", b.config(), "-s", b.socket(), "-P", file(b.dir, "bird.pid")}}}
}

func (b *bird) write(c *Config) error {
	var w bytes.Buffer
	fmt.Fprintf(&w, "log stderr all;\nrouter id %s;\nprotocol device { }\n", c.RouterID)
	for _, family := range [...]string{"ipv4", "ipv6"} {
		fmt.Fprintf(&w, "protocol kernel { merge paths on; %s { import none; export where source = RTS_BGP; }; }\n", family)
		fmt.Fprintf(&w, "protocol static announced_%s {\n %[1]s;\n", family)
		for _, prefix := range c.Announce {
			if prefix.Addr().Is4() == (family == "ipv4") {
				fmt.Fprintf(&w, " route %s blackhole;\n", prefix)
			}
		}
		fmt.Fprint(&w, "}\n")
	}
	for i, way := range c.Ways {
		fmt.Fprintf(&w, "protocol static way%d { %s; route %s via %s; }\n", i, family(way.Prefix.Addr().Is4()), way.Prefix, way.Via)
	}
	bfd := func(n Neighbour) bool { return n.BFD }
	if c.any(bfd) {
		every := fmt.Sprintf("{ interval %d ms; multiplier 3; }", c.Neighbours[slices.IndexFunc(c.Neighbours, bfd)].BFDTime)
		fmt.Fprintf(&w, "protocol bfd { interface \"*\" %s; multihop %[1]s; }\n", every)
	}
	for i := range c.Neighbours {
		b.describe(&w, c, i)
	}
	return os.WriteFile(b.config(), w.Bytes(), 0o644)
}

// describe writes the protocol of the neighbour of number i.
func (b *bird) describe(w *bytes.Buffer, c *Config, i int) {
	n := &c.Neighbours[i]
	fmt.Fprintf(w, "protocol bgp %s {\n local %s as %d; neighbor %s as %d;\n", protocol(i), c.local(n.Addr), c.AS, n.Addr, n.AS)
	fmt.Fprint(w, " connect delay time 1; connect retry time 1; error wait time 1, 1;\n")
	option := func(on bool, format string, args ...any) {
		if on {
			fmt.Fprintf(w, " "+format+";\n", args...)
		}
	}
	option(n.Multihop > 0, "multihop %d", n.Multihop)
	option(n.Multihop == 0, "direct")
	option(n.Password != "", "password %q", n.Password)
	option(n.Passive, "passive on")
	option(n.TTLSecurity, "ttl security on")
	option(n.HoldTime > 0, "hold time %d", n.HoldTime)
	option(n.BFD && !n.BFDGraceful, "bfd on")
	option(n.BFD && n.BFDGraceful, "bfd graceful")
	option(n.Graceful, "graceful restart on")
	option(n.Reflect, "rr client")
	own := "if source != RTS_STATIC then reject; "
	if n.Reflect {
		own = ""
	}
	for family, on := range map[string]bool{"ipv4": n.V4, "ipv6": n.V6} {
		if !on {
			continue
		}
		fmt.Fprintf(w, " %s {\n import all;\n export filter { %s%saccept; };\n", family, own, strings.Repeat(fmt.Sprintf("bgp_path.prepend(%d); ", c.AS), n.Prepend))
		option(len(c.Ways) == 0, "next hop self") // else it is that of the way, and its own where there is none
		option(n.MaxPrefix > 0, "receive limit %d action disable", n.MaxPrefix)
		option(n.AddPath, "add paths on")
		fmt.Fprint(w, " };\n")
	}
	fmt.Fprint(w, "}\n")
}

// protocol is BIRD's name of the session with the neighbour of number i.
func protocol(i int) string { return "n" + strconv.Itoa(i) }

func (*bird) begin(context.Context, *Config) error { return nil } // it does from its start

func (b *bird) change(ctx context.Context, _ *Config, _, _ []netip.Prefix) error {
	return b.ask(ctx, "configure", func(string) error { return nil })
}

func (b *bird) state(ctx context.Context, c *Config, n *Neighbour) (state string, err error) {
	for i := range c.Neighbours {
		if &c.Neighbours[i] != n {
			continue
		}
		err = b.ask(ctx, "show protocols all "+protocol(i), func(line string) error {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "BGP state" {
				state = strings.TrimSpace(value)
			}
			return nil
		})
	}
	switch state {
	case "":
		return "", errors.Join(err, fmt.Errorf("bird tells no state of the session with %s", n.Addr))
	case "Down":
		state = "Idle" // that is RFC 4271's word
	}
	return state, err
}

// watched reads lines of an address, an interface, a state and times.
func (b *bird) watched(ctx context.Context, n *Neighbour) (up bool, err error) {
	err = b.ask(ctx, "show bfd sessions", func(line string) error {
		fields := strings.Fields(line)
		up = up || len(fields) > 2 && fields[0] == n.Addr.String() && fields[2] == "Up"
		return nil
	})
	return up, err
}

// routes reads lines such as these, where a prefix stands at the first of its routes only:
//
//	10.0.0.0/24          unicast [n0 12:00:00.000] * (100) [AS65001i]
//		BGP.next_hop: 2001:db8::1 fe80::1
func (b *bird) routes(ctx context.Context) (map[netip.Prefix][]netip.Addr, error) {
	routes := map[netip.Prefix][]netip.Addr{}
	var prefix netip.Prefix
	err := b.ask(ctx, "show route all where source = RTS_BGP", func(line string) error {
		fields := strings.Fields(line)
		switch {
		case len(fields) < 2:
			return nil
		case fields[0] == "BGP.next_hop:":
			hop, err := netip.ParseAddr(fields[1])
			if err != nil {
				return fmt.Errorf("bird: route %s: next hop: %w", prefix, err)
			}
			routes[prefix] = append(routes[prefix], hop)
		case line[0] != ' ' && line[0] != '\t' && line[0] != 'T': // not "Table master4:"
			var err error
			if prefix, err = netip.ParsePrefix(fields[0]); err != nil {
				return fmt.Errorf("bird: routes: line %q: %w", line, err)
			}
		}
		return nil
	})
	return routes, err
}

// ask has BIRD do a command and calls line with each line of the answer, its code taken off. An answer of code 8000 or 9000 and above is an error. Lines
// are those of BIRD's doc/reply_codes: "1007-text" when others follow, "0000 text" is the last, " text" has the code of the one before.
func (b *bird) ask(ctx context.Context, command string, line func(string) error) error {
	conn, err := dial(ctx, b.socket())
	if err != nil {
		return err
	}
	defer conn.close()
	lines := bufio.NewScanner(conn)
	for answers := 0; lines.Scan(); {
		text := lines.Text()
		code, more, ok := parseReply(text)
		switch {
		case answers == 0: // the welcome
		case !ok: // continuation
			err = line(strings.TrimPrefix(text, " "))
		case code >= 8000:
			return fmt.Errorf("bird: %s: %s", command, text)
		case len(text) > 5:
			err = line(text[5:])
		}
		if err != nil {
			return err
		}
		if !ok || more {
			continue
		}
		if answers++; answers == 2 {
			return nil
		}
		if _, err := conn.Write([]byte(command + "\n")); err != nil {
			return conn.why(err)
		}
	}
	if err := lines.Err(); err != nil {
		return conn.why(err)
	}
	return conn.why(fmt.Errorf("bird: %s: the answer breaks off", command))
}

// parseReply reads the code at the begin of a line, and whether lines follow.
func parseReply(line string) (code int, more, ok bool) {
	if len(line) < 5 || line[4] != '-' && line[4] != ' ' {
		return 0, false, false
	}
	code, err := strconv.Atoi(line[:4])
	return code, line[4] == '-', err == nil
}

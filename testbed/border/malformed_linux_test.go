package border

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	msg "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/peer"
)

// byHand is a neighbour that says what a test has it say, in memory.
type byHand struct {
	b        *border
	listener net.Listener
	restarts bool // it says that it restarts gracefully, and so helps who does
	conn     net.Conn
	marks    int // routes that are there besides
	open     *msg.BGPOpen
	ended    chan error // what the router said at last: a NOTIFICATION, or how the connection ended
}

// notified is a NOTIFICATION that came.
type notified struct{ code, subcode uint8 }

func (n *notified) Error() string { return msg.NewNotificationErrorCode(n.code, n.subcode).String() }

// byHand has a host wait for sessions.
func (b *border) byHand(name string) *byHand {
	b.Helper()
	l, err := b.host(name).Machine.(*host.Host).ListenTCP(179)
	b.must(err)
	b.Cleanup(func() { l.Close() })
	return &byHand{b: b, listener: l}
}

// establish brings a session up: the router begins it.
func (h *byHand) establish() {
	h.b.Helper()
	ready := make(chan error, 1)
	go func() {
		for {
			conn, err := h.listener.Accept()
			if err != nil {
				ready <- err
				return
			}
			if open, err := h.greet(conn); err == nil {
				h.conn, h.open = conn, open
				ready <- nil
				return
			}
			conn.Close() // the router gave it up
		}
	}()
	select {
	case err := <-ready:
		h.b.must(err)
	case <-h.b.limited().Done():
		h.b.Fatal("the router begins no session")
	}
	h.ended, h.marks = make(chan error, 1), 0
	go h.read(h.conn, h.ended)
}

// greet exchanges OPENs and the first KEEPALIVEs, and returns the router's OPEN.
func (h *byHand) greet(conn net.Conn) (*msg.BGPOpen, error) {
	able := []msg.ParameterCapabilityInterface{msg.NewCapMultiProtocol(msg.RF_IPv4_UC), msg.NewCapMultiProtocol(msg.RF_IPv6_UC), msg.NewCapFourOctetASNumber(64502)}
	if h.restarts {
		able = append(able, msg.NewCapGracefulRestart(false, false, 90, []*msg.CapGracefulRestartTuple{msg.NewCapGracefulRestartTuple(msg.RF_IPv4_UC, true), msg.NewCapGracefulRestartTuple(msg.RF_IPv6_UC, true)}))
	}
	open, err := msg.NewBGPOpenMessage(64502, 90, isp2v4, []msg.OptionParameterInterface{msg.NewOptionParameterCapability(able)})
	if err != nil {
		return nil, err
	}
	for _, m := range []*msg.BGPMessage{open, msg.NewBGPKeepAliveMessage()} {
		raw, err := m.Serialize()
		if err == nil {
			_, err = conn.Write(raw)
		}
		if err != nil {
			return nil, err
		}
	}
	said := new(msg.BGPOpen)
	for _, want := range []uint8{msg.BGP_MSG_OPEN, msg.BGP_MSG_KEEPALIVE} {
		kind, body, err := readMessage(conn)
		if err != nil || kind != want {
			return nil, errors.Join(err, io.ErrUnexpectedEOF)
		}
		if kind == msg.BGP_MSG_OPEN {
			if err := said.DecodeFromBytes(body); err != nil {
				return nil, err
			}
		}
	}
	return said, nil
}

// read takes what the router says until the end.
func (h *byHand) read(conn net.Conn, ended chan<- error) {
	for {
		kind, body, err := readMessage(conn)
		if err == nil && kind == msg.BGP_MSG_NOTIFICATION && len(body) >= 2 {
			err = &notified{body[0], body[1]}
		}
		if err != nil {
			conn.Close()
			ended <- err
			return
		}
	}
}

func readMessage(conn net.Conn) (kind uint8, body []byte, err error) {
	header := make([]byte, msg.BGP_HEADER_LENGTH)
	if _, err := io.ReadFull(conn, header); err != nil {
		return 0, nil, err
	}
	body = make([]byte, max(0, int(binary.BigEndian.Uint16(header[16:]))-len(header)))
	_, err = io.ReadFull(conn, body)
	return header[18], body, err
}

// message is one of a type with a body, whatever that is; an extra counts in its length without being there.
func message(kind uint8, body []byte, extra int) []byte {
	raw := make([]byte, 16, 19+len(body))
	for i := range raw {
		raw[i] = 0xff
	}
	raw = binary.BigEndian.AppendUint16(raw, uint16(19+len(body)+extra))
	return append(append(raw, kind), body...)
}

// update is the body of an UPDATE that withdraws nothing and has attributes and, behind them, prefixes.
func update(attributes, nlri []byte) []byte {
	body := binary.BigEndian.AppendUint16([]byte{0, 0}, uint16(len(attributes)))
	return append(append(body, attributes...), nlri...)
}

// Attributes of a path that is right, as they stand in an UPDATE.
var (
	origin  = []byte{0x40, 1, 1, 0}
	asPath  = []byte{0x40, 2, 6, 2, 1, 0, 0, 0xfb, 0xf6} // 64502
	nextHop = []byte{0x40, 3, 4, 192, 0, 3, 9}
	prefix  = []byte{24, 198, 51, 102} // 198.51.102.0/24
)

func join(parts ...[]byte) (all []byte) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// parts is how many installations share the messages: after each that ends the session, GoBGP waits for five seconds.
const parts = 3

// TestMalformed: of what is wrong with an UPDATE, some is passed over, some makes its prefixes withdrawn ones (RFC 7606), and some ends the session with a NOTIFICATION, from
// which it recovers. Other sessions do not notice.
func TestMalformed(t *testing.T) {
	t.Parallel()
	peer.Need(t, peer.BIRD)
	for _, stack := range []bgp.Stack{bgp.Kernel, bgp.Userspace} {
		for part := range parts {
			t.Run(fmt.Sprintf("%s/%d", stack, part), func(t *testing.T) {
				t.Parallel()
				b := newBorder(t, testConfig{
					stack:    stack,
					sessions: session("first", "up1", 64501, isp1v4, "") + session("second", "up2", 64502, isp2v4, "noDamping: true"),
					peers:    map[string]peer.Config{"isp1": upstream(peer.BIRD, 64501, nil, up1v4)},
				})
				began := b.up("e1", "first", 2)
				h := b.byHand("isp2")
				h.establish()
				for i := part; i < len(malformed); i += parts {
					x := &malformed[i]
					if got := h.say(x.name, x.raw); got != x.want {
						t.Errorf("%s: %s, want %s", x.name, got, x.want)
					}
				}
				if st := b.up("e1", "first", 2); st.Flaps != 0 || !st.Since.Equal(began.Since) {
					t.Errorf("the session beside: %+v", st)
				}
			})
		}
	}
}

// outcome is what becomes of a session, and of a prefix.
type outcome string

const (
	taken     outcome = "taken"         // the prefix is a route
	withdrawn outcome = "withdrawn"     // it is none
	ignored   outcome = "ignored"       // it is what it was before
	reset     outcome = "session reset" // with a NOTIFICATION about the UPDATE, or its header
)

// malformed are messages; the first is right.
var malformed = []struct {
	name string
	raw  []byte
	want outcome
}{
	{"right", message(2, update(join(origin, asPath, nextHop), prefix), 0), taken},
	{"unknown optional attribute", message(2, update(join(origin, asPath, nextHop, []byte{0xc0, 250, 3, 1, 2, 3}), prefix), 0), taken},
	{"unknown well-known attribute", message(2, update(join(origin, asPath, nextHop, []byte{0x40, 251, 1, 1}), prefix), 0), reset},
	{"wrong flags of ORIGIN", message(2, update(join([]byte{0xc0, 1, 1, 0}, asPath, nextHop), prefix), 0), withdrawn},
	{"ORIGIN of 7", message(2, update(join([]byte{0x40, 1, 1, 7}, asPath, nextHop), prefix), 0), withdrawn},
	{"a loop", message(2, update(join(origin, []byte{0x40, 2, 10, 2, 2, 0, 0, 0xfb, 0xf6, 0, 0, 0xfb, 0xf4}, nextHop), prefix), 0), withdrawn}, // 64502 64500
	{"no ORIGIN", message(2, update(join(asPath, nextHop), prefix), 0), withdrawn},
	{"no AS_PATH", message(2, update(join(origin, nextHop), prefix), 0), withdrawn},
	{"no NEXT_HOP", message(2, update(join(origin, asPath), prefix), 0), withdrawn},
	{"AS_PATH with a segment cut", message(2, update(join(origin, []byte{0x40, 2, 6, 2, 9, 0, 0, 0xfb, 0xf6}, nextHop), prefix), 0), withdrawn},
	{"NEXT_HOP of 5 bytes", message(2, update(join(origin, asPath, []byte{0x40, 3, 5, 192, 0, 3, 9, 1}), prefix), 0), withdrawn},
	{"MED of 3 bytes", message(2, update(join(origin, asPath, nextHop, []byte{0x80, 4, 3, 0, 0, 1}), prefix), 0), withdrawn},
	{"COMMUNITIES of 5 bytes", message(2, update(join(origin, asPath, nextHop, []byte{0xc0, 8, 5, 1, 2, 3, 4, 5}), prefix), 0), withdrawn},
	{"AGGREGATOR of 1 byte", message(2, update(join(origin, asPath, nextHop, []byte{0xc0, 7, 1, 1}), prefix), 0), taken},            // attribute discard
	{"an attribute beyond the end", message(2, update(join(origin, asPath, nextHop, []byte{0xc0, 8, 200, 1}), prefix), 0), ignored}, // RFC 7606 section 4 would have it withdrawn; GoBGP does not get to the prefixes
	{"prefix of 33 bits", message(2, update(join(origin, asPath, nextHop), []byte{33, 198, 51, 102, 0, 0}), 0), reset},
	{"prefix cut", message(2, update(join(origin, asPath, nextHop), []byte{24, 198, 51}), 0), reset},
	{"attributes longer than it", message(2, append([]byte{0, 0, 0xff, 0}, origin...), 0), reset},
	{"withdrawn longer than it", message(2, []byte{0x10, 0, 0, 0}, 0), reset},
	{"nothing in it", message(2, nil, 0), reset},
	{"length below that of a header", message(2, nil, -3), reset},
	{"length beyond what may be", message(2, nil, 5000), reset},
	{"marker of zeros", make([]byte, 23), reset},
	{"type 9", message(9, update(join(origin, asPath, nextHop), prefix), 0), reset},
	{"MP_REACH cut", message(2, update(join(origin, asPath, []byte{0x80, 14, 5, 0, 2, 1, 16, 0x20}), nil), 0), reset},
	{"MP_REACH of an unknown family", message(2, update(join(origin, asPath, nextHop, []byte{0x80, 14, 10, 0, 99, 9, 4, 1, 2, 3, 4, 0, 0}), prefix), 0), reset},
}

// say says something, once while the prefix is no route and once while it is, and returns what becomes of it.
func (h *byHand) say(name string, raw []byte) outcome {
	h.b.Helper()
	var after [2]bool
	for i, before := range [][]byte{message(2, append(binary.BigEndian.AppendUint16(nil, uint16(len(prefix))), append(prefix[:len(prefix):len(prefix)], 0, 0)...), 0), malformed[0].raw} {
		h.write(before)
		if was, lost := h.mark(); lost != nil || was != (i == 1) {
			h.b.Fatalf("%s: before: %v, %v", name, was, lost)
		}
		h.write(raw)
		is, lost := h.mark()
		if lost != nil {
			var n *notified
			if !errors.As(lost, &n) || n.code != msg.BGP_ERROR_MESSAGE_HEADER_ERROR && n.code != msg.BGP_ERROR_UPDATE_MESSAGE_ERROR {
				h.b.Errorf("%s: the session ended by %v", name, lost)
			}
			h.b.await("e2", "second", name+": down", func(st *bgp.Status) bool { return st.State != bgp.Established && st.Routes == 0 })
			h.establish()
			return reset
		}
		after[i] = is
	}
	switch after {
	case [2]bool{true, true}:
		return taken
	case [2]bool{false, false}:
		return withdrawn
	}
	return ignored
}

// mark announces two more prefixes and waits until they are routes, or the session is lost: that is what comes then. It tells whether the prefix is a route.
func (h *byHand) mark() (is bool, lost error) {
	h.b.Helper()
	h.marks += 2
	_, _ = h.conn.Write(message(2, update(join(origin, asPath, nextHop), []byte{24, 10, 0, byte(h.marks), 24, 10, 1, byte(h.marks)}), 0)) // that it fails is told by what is read
	var st bgp.Status
	if !h.b.eventually(func() bool {
		select {
		case lost = <-h.ended:
			return true
		default:
		}
		st, _ = h.b.status("e2", "second") // while there is none, Routes is 0
		return st.Routes >= h.marks && st.Pending == 0
	}) {
		h.b.Fatalf("what is said is neither taken nor refused: %+v", st)
	}
	return st.Routes > h.marks, lost
}

func (h *byHand) write(raw []byte) {
	h.b.Helper()
	_, err := h.conn.Write(raw)
	h.b.must(err)
}

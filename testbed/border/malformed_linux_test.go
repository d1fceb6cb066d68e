package border

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	msg "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/peer"
)

// byHand is a neighbour that says what a test has it say, in memory.
type byHand struct {
	b        *border
	listener net.Listener
	conn     net.Conn
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
			if h.greet(conn) == nil {
				h.conn = conn
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
	h.ended = make(chan error, 1)
	go h.read(h.conn, h.ended)
}

// greet exchanges OPENs and the first KEEPALIVEs.
func (h *byHand) greet(conn net.Conn) error {
	open, err := msg.NewBGPOpenMessage(64502, 90, isp2v4, []msg.OptionParameterInterface{msg.NewOptionParameterCapability([]msg.ParameterCapabilityInterface{
		msg.NewCapMultiProtocol(msg.RF_IPv4_UC), msg.NewCapMultiProtocol(msg.RF_IPv6_UC), msg.NewCapFourOctetASNumber(64502),
	})})
	if err != nil {
		return err
	}
	for _, m := range []*msg.BGPMessage{open, msg.NewBGPKeepAliveMessage()} {
		raw, err := m.Serialize()
		if err == nil {
			_, err = conn.Write(raw)
		}
		if err != nil {
			return err
		}
	}
	for _, want := range []uint8{msg.BGP_MSG_OPEN, msg.BGP_MSG_KEEPALIVE} {
		if kind, _, err := readMessage(conn); err != nil || kind != want {
			return errors.Join(err, io.ErrUnexpectedEOF)
		}
	}
	return nil
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

// TestMalformed: of what is wrong with an UPDATE, some is passed over, some makes its prefixes withdrawn ones (RFC 7606), and some ends the session with a NOTIFICATION, from
// which it recovers. Other sessions do not notice.
func TestMalformed(t *testing.T) {
	peer.Need(t, peer.BIRD)
	for _, stack := range []bgp.Stack{bgp.Kernel, bgp.Userspace} {
		t.Run(string(stack), func(t *testing.T) {
			t.Parallel()
			b := newBorder(t, testConfig{
				stack:    stack,
				sessions: session("first", "up1", 64501, isp1v4, "") + session("second", "up2", 64502, isp2v4, ""),
				peers:    map[string]peer.Config{"isp1": upstream(peer.BIRD, 64501, nil, up1v4)},
			})
			began := b.up("e1", "first", 2)
			h := b.byHand("isp2")
			h.establish()
			for name, x := range malformed {
				h.say(name, x.raw, x.want)
			}
			if st := b.up("e1", "first", 2); st.Flaps != 0 || !st.Since.Equal(began.Since) {
				t.Errorf("the session beside: %+v", st)
			}
		})
	}
}

// outcome is what becomes of a session and of prefix.
type outcome uint8

const (
	taken     outcome = iota // the prefix is a route
	withdrawn                // it is none; the session goes on
	reset                    // the session ends, with a NOTIFICATION about the UPDATE, or its header
)

var malformed = map[string]struct {
	raw  []byte
	want outcome
}{
	"right":                         {message(2, update(join(origin, asPath, nextHop), prefix), 0), taken},
	"unknown optional attribute":    {message(2, update(join(origin, asPath, nextHop, []byte{0xc0, 250, 3, 1, 2, 3}), prefix), 0), taken},
	"unknown well-known attribute":  {message(2, update(join(origin, asPath, nextHop, []byte{0x40, 251, 1, 1}), prefix), 0), reset},
	"wrong flags of ORIGIN":         {message(2, update(join([]byte{0xc0, 1, 1, 0}, asPath, nextHop), prefix), 0), withdrawn},
	"ORIGIN of 7":                   {message(2, update(join([]byte{0x40, 1, 1, 7}, asPath, nextHop), prefix), 0), withdrawn},
	"no ORIGIN":                     {message(2, update(join(asPath, nextHop), prefix), 0), withdrawn},
	"no AS_PATH":                    {message(2, update(join(origin, nextHop), prefix), 0), withdrawn},
	"no NEXT_HOP":                   {message(2, update(join(origin, asPath), prefix), 0), withdrawn},
	"AS_PATH with a segment cut":    {message(2, update(join(origin, []byte{0x40, 2, 6, 2, 9, 0, 0, 0xfb, 0xf6}, nextHop), prefix), 0), withdrawn},
	"NEXT_HOP of 5 bytes":           {message(2, update(join(origin, asPath, []byte{0x40, 3, 5, 192, 0, 3, 9, 1}), prefix), 0), withdrawn},
	"MED of 3 bytes":                {message(2, update(join(origin, asPath, nextHop, []byte{0x80, 4, 3, 0, 0, 1}), prefix), 0), withdrawn},
	"COMMUNITIES of 5 bytes":        {message(2, update(join(origin, asPath, nextHop, []byte{0xc0, 8, 5, 1, 2, 3, 4, 5}), prefix), 0), withdrawn},
	"AGGREGATOR of 1 byte":          {message(2, update(join(origin, asPath, nextHop, []byte{0xc0, 7, 1, 1}), prefix), 0), taken}, // attribute discard
	"an attribute beyond the end":   {message(2, update(join(origin, asPath, nextHop, []byte{0xc0, 8, 200, 1}), prefix), 0), withdrawn},
	"prefix of 33 bits":             {message(2, update(join(origin, asPath, nextHop), []byte{33, 198, 51, 102, 0, 0}), 0), reset},
	"prefix cut":                    {message(2, update(join(origin, asPath, nextHop), []byte{24, 198, 51}), 0), reset},
	"attributes longer than it":     {message(2, append([]byte{0, 0, 0xff, 0}, origin...), 0), reset},
	"withdrawn longer than it":      {message(2, []byte{0x10, 0, 0, 0}, 0), reset},
	"nothing in it":                 {message(2, nil, 0), reset},
	"length below that of a header": {message(2, nil, -3), reset},
	"length beyond what may be":     {message(2, nil, 5000), reset},
	"marker of zeros":               {make([]byte, 23), reset},
	"type 9":                        {message(9, update(join(origin, asPath, nextHop), prefix), 0), reset},
	"MP_REACH cut":                  {message(2, update(join(origin, asPath, []byte{0x80, 14, 5, 0, 2, 1, 16, 0x20}), nil), 0), reset},
	"MP_REACH of an unknown family": {message(2, update(join(origin, asPath, nextHop, []byte{0x80, 14, 10, 0, 99, 9, 4, 1, 2, 3, 4, 0, 0}), prefix), 0), taken},
}

// say says something, and looks what becomes of the session and the prefix; then the prefix is a route again.
func (h *byHand) say(name string, raw []byte, want outcome) {
	h.b.Helper()
	right := malformed["right"].raw
	is := func(routes int) func(*bgp.Status) bool {
		return func(st *bgp.Status) bool {
			return st.State == bgp.Established && st.Routes == routes && st.Pending == 0
		}
	}
	h.write(right)
	before := h.b.await("e2", "second", name+": up before", is(1))
	h.write(raw)
	switch want {
	case reset:
		h.over(name)
		h.establish()
		return
	case taken: // and what is said behind it
		h.write(message(2, update(join(origin, asPath, nextHop), []byte{24, 198, 51, 103}), 0))
		h.b.await("e2", "second", name+": passed over", is(2))
		h.write(message(2, append([]byte{0, 4, 24, 198, 51, 103}, 0, 0), 0))
	case withdrawn:
		h.b.await("e2", "second", name+": taken for a withdrawal", is(0))
		h.write(right)
	}
	if st := h.b.await("e2", "second", name+": up after", is(1)); st.Flaps != before.Flaps {
		h.b.Errorf("%s: the session was lost: %s", name, st.Why)
	}
}

// over waits for the end of the session, which is to be a NOTIFICATION about a header or an UPDATE.
func (h *byHand) over(name string) {
	h.b.Helper()
	select {
	case err := <-h.ended:
		var n *notified
		if !errors.As(err, &n) || n.code != msg.BGP_ERROR_MESSAGE_HEADER_ERROR && n.code != msg.BGP_ERROR_UPDATE_MESSAGE_ERROR {
			h.b.Errorf("%s: the session ended by %v", name, err)
		}
	case <-time.After(patience):
		st, err := h.b.status("e2", "second")
		h.b.Fatalf("%s: the session goes on: %+v, %v", name, st, err)
	}
}

func (h *byHand) write(raw []byte) {
	h.b.Helper()
	_, err := h.conn.Write(raw)
	h.b.must(err)
}

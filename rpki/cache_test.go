package rpki

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/osrg/gobgp/v4/pkg/packet/rtr"
)

// script is a cache that says what a test has it say.
type script struct {
	t       *testing.T
	conns   chan net.Conn // each connection of the client
	refused atomic.Bool
	conn    net.Conn
}

func (s *script) dial(context.Context, string) (net.Conn, error) {
	if s.refused.Load() {
		return nil, errors.New("connection refused")
	}
	own, its := net.Pipe()
	s.conns <- own
	return its, nil
}

// accept takes the client's next connection.
func (s *script) accept() { s.conn = <-s.conns }

// asked reads a query: its type, version, session and serial.
func (s *script) asked() (kind, version uint8, session uint16, serial uint32) {
	s.t.Helper()
	head := make([]byte, headerLen)
	if _, err := io.ReadFull(s.conn, head); err != nil {
		s.t.Fatal(err)
	}
	rest := make([]byte, binary.BigEndian.Uint32(head[4:])-headerLen)
	if _, err := io.ReadFull(s.conn, rest); err != nil {
		s.t.Fatal(err)
	}
	if len(rest) == 4 {
		serial = binary.BigEndian.Uint32(rest)
	}
	return head[1], head[0], binary.BigEndian.Uint16(head[2:]), serial
}

// wantQuery reads a query that is to be so.
func (s *script) wantQuery(kind uint8, session uint16, serial uint32) {
	s.t.Helper()
	if k, _, id, n := s.asked(); k != kind || kind == rtr.RTR_SERIAL_QUERY && (id != session || n != serial) {
		s.t.Fatalf("asked by type %d, session %d, serial %d; want %d, %d, %d", k, id, n, kind, session, serial)
	}
}

// say sends messages of version 1.
func (s *script) say(messages ...[]byte) {
	s.t.Helper()
	for _, m := range messages {
		if _, err := s.conn.Write(m); err != nil {
			s.t.Fatal(err)
		}
	}
}

func raw(m rtr.RTRMessage) []byte {
	b, err := m.Serialize()
	if err != nil {
		panic(err)
	}
	b[0] = 1
	return b
}

func begin(session uint16) []byte { return raw(rtr.NewRTRCacheResponse(session)) }

func tells(v VRP, flags uint8) []byte {
	return raw(rtr.NewRTRIPPrefix(v.Prefix.Addr(), uint8(v.Prefix.Bits()), v.MaxLen, v.AS, flags))
}

func end(session uint16, serial, refresh, retry, expire uint32) []byte {
	b := raw(rtr.NewRTREndOfData(session, serial))
	b[7] = timersLen
	for _, n := range [...]uint32{refresh, retry, expire} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return b
}

// scripted runs a test with a client of a cache that it speaks for.
func scripted(t *testing.T, test func(s *script, c *Client, changed *[]string)) {
	t.Helper()
	scriptedEvents(t, func(s *script, c *Client, changed *[]string, _ *[]Kind) { test(s, c, changed) })
}

func scriptedEvents(t *testing.T, test func(s *script, c *Client, changed *[]string, events *[]Kind)) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, conns: make(chan net.Conn)}
		c := New([]Cache{{Address: "cache:323", Dial: s.dial}}, nil)
		var changed []string
		c.OnChange(func(x *Changes) { x.Each(func(p netip.Prefix) { changed = append(changed, p.String()) }) })
		var events []Kind
		c.OnEvent(func(e Event) { events = append(events, e.Kind) })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = c.Run(ctx) }()
		test(s, c, &changed, &events)
		cancel()
		<-done
	})
}

var four, six = vrp("192.0.2.0/24", 24, 64501), vrp("2001:db8::/32", 48, 64501)

// TestRefreshAndExpire: the cache is asked again at its refresh interval, and at once when it says that there is more; what it told holds for its expire interval, while it is away.
func TestRefreshAndExpire(t *testing.T) {
	scriptedEvents(t, func(s *script, c *Client, changed *[]string, events *[]Kind) {
		s.accept()
		s.wantQuery(rtr.RTR_RESET_QUERY, 0, 0)
		s.say(begin(7), tells(four, 1))
		synctest.Wait()
		if state, _ := c.Validate(four.Prefix, 64501); state != NotFound {
			t.Errorf("what is not told whole counts: %s", state)
		}
		s.say(end(7, 1, 100, 50, 600))
		synctest.Wait()
		if st := c.Status()[0]; !st.Up || st.V4 != 1 || st.Refresh != 100 || st.Retry != 50 || st.Expire != 600 || st.Session != 7 || st.Serial != 1 {
			t.Errorf("%+v", st)
		}
		began := time.Now()
		s.wantQuery(rtr.RTR_SERIAL_QUERY, 7, 1)
		if waited := time.Since(began); waited != 100*time.Second {
			t.Errorf("asked again after %v", waited)
		}
		s.say(begin(7), tells(six, 1), raw(rtr.NewRTRSerialNotify(7, 3)), end(7, 2, 100, 50, 600))
		s.wantQuery(rtr.RTR_SERIAL_QUERY, 7, 2) // of what came up during the answer
		s.say(begin(7), tells(four, 0), end(7, 3, 100, 50, 600))
		synctest.Wait()
		if st := c.Status()[0]; st.V4 != 0 || st.V6 != 1 || st.Serial != 3 {
			t.Errorf("%+v", st)
		}
		s.say(raw(rtr.NewRTRSerialNotify(7, 3))) // is known
		s.say(raw(rtr.NewRTRSerialNotify(7, 4)))
		s.wantQuery(rtr.RTR_SERIAL_QUERY, 7, 3)
		s.say(raw(rtr.NewRTRCacheReset()))
		s.wantQuery(rtr.RTR_RESET_QUERY, 0, 0)
		s.say(begin(8), tells(six, 1), tells(four, 1), end(8, 1, 100, 50, 600))
		synctest.Wait()
		if got := strings.Join(*changed, " "); got != "192.0.2.0/24 2001:db8::/32 192.0.2.0/24 192.0.2.0/24" {
			t.Errorf("changed: %s", got)
		}
		s.refused.Store(true)
		s.conn.Close()
		time.Sleep(599 * time.Second)
		synctest.Wait()
		if st := c.Status()[0]; st.Up || st.V4+st.V6 != 2 || st.Lost != 1 || st.Why != "connection refused" {
			t.Errorf("away: %+v", st)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if st := c.Status()[0]; st.V4+st.V6 != 0 || st.Expired != 1 {
			t.Errorf("away for too long: %+v", st)
		}
		if !slices.Equal(*events, []Kind{CacheUp, CacheLost, CacheExpired}) {
			t.Errorf("events %v", *events)
		}
		s.refused.Store(false)
		s.accept()
		s.wantQuery(rtr.RTR_RESET_QUERY, 0, 0)
	})
}

// TestExpiresDuringAnswer: what is new since counts only together with what was told before; if that expires meanwhile, all is asked for.
func TestExpiresDuringAnswer(t *testing.T) {
	scripted(t, func(s *script, c *Client, _ *[]string) {
		s.accept()
		s.wantQuery(rtr.RTR_RESET_QUERY, 0, 0)
		s.say(begin(7), tells(four, 1), end(7, 1, 100, 50, 600))
		s.wantQuery(rtr.RTR_SERIAL_QUERY, 7, 1)
		s.say(begin(7), tells(six, 1))
		for range 11 {
			time.Sleep(answerTime - time.Second)
			s.say([]byte{1, typeRouter, 0, 0, 0, 0, 0, headerLen})
		}
		s.say(end(7, 2, 100, 50, 600))
		s.accept()
		if st := c.Status()[0]; st.Expired != 1 || st.V4+st.V6 != 0 {
			t.Errorf("%+v", st)
		}
		s.wantQuery(rtr.RTR_RESET_QUERY, 0, 0)
	})
}

// TestExpiresLate: an answer that counts before what was told expires has it hold.
func TestExpiresLate(t *testing.T) {
	scripted(t, func(s *script, c *Client, _ *[]string) {
		s.accept()
		s.wantQuery(rtr.RTR_RESET_QUERY, 0, 0)
		s.say(begin(7), tells(four, 1), end(7, 1, 100, 50, 600))
		synctest.Wait()
		c.caches[0].drop() // its time was over just before
		if st := c.Status()[0]; st.Expired != 0 || st.V4 != 1 {
			t.Errorf("%+v", st)
		}
	})
}

// TestWrong: a cache that breaks the protocol is told so, and asked for all when it is connected again; what it told before holds.
func TestWrong(t *testing.T) {
	short := tells(four, 1)
	short[7] = 12
	for name, x := range map[string]struct {
		say  [][]byte
		code uint16
		why  string
	}{
		"another session":    {[][]byte{begin(9)}, errCorrupt, "it answers in session 9 what was asked in session 7"},
		"twice the same":     {[][]byte{begin(7), tells(four, 1), end(7, 2, 1, 1, 600)}, errDuplicate, "it announces 192.0.2.0/24 AS 64501, which it has announced before"},
		"none of its":        {[][]byte{begin(7), tells(six, 0), end(7, 2, 1, 1, 600)}, errUnknownWithdrawal, "it withdraws 2001:db8::/32 to /48 AS 64501, which it did not announce"},
		"withdrawn twice":    {[][]byte{begin(7), tells(four, 0), tells(four, 0), end(7, 2, 1, 1, 600)}, errUnknownWithdrawal, "it withdraws 192.0.2.0/24 AS 64501, which it did not announce"},
		"outside of answers": {[][]byte{tells(six, 1)}, errCorrupt, "it tells of prefixes outside of an answer"},
		"host bits":          {[][]byte{begin(7), tells(VRP{netip.MustParsePrefix("192.0.2.1/24"), 24, 1}, 1)}, errCorrupt, "a message of type 4 is of no prefix: 192.0.2.1/24 to /24"},
		"a router's message": {[][]byte{raw(rtr.NewRTRResetQuery())}, errCorrupt, "a message of type 2 is one of a router's"},
		"no length":          {[][]byte{{1, 4, 0, 0, 0, 0, 0, 3}}, errCorrupt, "a message of type 4 has a length of 3"},
		"a wrong length":     {[][]byte{short[:12]}, errCorrupt, "a message of type 4 has a length of 12, not 20"},
		"another version":    {[][]byte{append([]byte{0}, begin(7)[1:]...)}, errOtherVersion, "it sends version 0, after version 1"},
	} {
		t.Run(name, func(t *testing.T) {
			scripted(t, func(s *script, c *Client, _ *[]string) {
				s.accept()
				s.wantQuery(rtr.RTR_RESET_QUERY, 0, 0)
				s.say(begin(7), tells(four, 1), end(7, 1, 100, 50, 600))
				s.wantQuery(rtr.RTR_SERIAL_QUERY, 7, 1)
				s.say(x.say...)
				m, err := rtr.ParseRTR(readRaw(t, s.conn))
				if report, ok := m.(*rtr.RTRErrorReport); err != nil || !ok || report.ErrorCode != x.code || string(report.Text) != x.why || report.Version != 1 {
					t.Errorf("it is told %+v, %v", m, err)
				}
				s.accept()
				if st := c.Status()[0]; st.Up || st.V4 != 1 || st.Why != x.why {
					t.Errorf("%+v", st)
				}
				s.wantQuery(rtr.RTR_RESET_QUERY, 0, 0)
				s.say(begin(9), tells(six, 1), end(9, 1, 100, 50, 600))
				synctest.Wait()
				if st := c.Status()[0]; !st.Up || st.V4 != 0 || st.V6 != 1 {
					t.Errorf("%+v", st)
				}
			})
		})
	}
}

// TestWithin: whatever a cache asks for, times are those of RFC 8210 section 6.
func TestWithin(t *testing.T) {
	const forever = 1 << 32 * time.Second
	for asked, want := range map[timers]timers{
		{}:                          {time.Second, time.Second, 10 * time.Minute},
		{forever, forever, forever}: {24 * time.Hour, 2 * time.Hour, 48 * time.Hour},
		{time.Hour, time.Minute, 0}: {time.Hour, time.Minute, time.Hour},
	} {
		if got := asked.within(); got != want {
			t.Errorf("%v of %v, want %v", got, asked, want)
		}
	}
}

func readRaw(t *testing.T, conn net.Conn) []byte {
	t.Helper()
	head := make([]byte, headerLen)
	if _, err := io.ReadFull(conn, head); err != nil {
		t.Fatal(err)
	}
	rest := make([]byte, binary.BigEndian.Uint32(head[4:])-headerLen)
	if _, err := io.ReadFull(conn, rest); err != nil {
		t.Fatal(err)
	}
	return append(head, rest...)
}

// TestOldCache: one that refuses version 1 is asked in version 0; one that has nothing yet is asked again later.
func TestOldCache(t *testing.T) {
	scripted(t, func(s *script, c *Client, _ *[]string) {
		s.accept()
		if _, version, _, _ := s.asked(); version != 1 {
			t.Errorf("asked in version %d", version)
		}
		report, _ := rtr.NewRTRErrorReport(errVersion, nil, []byte("old")).Serialize()
		s.say(report)
		s.accept()
		if kind, version, _, _ := s.asked(); version != 0 || kind != rtr.RTR_RESET_QUERY {
			t.Errorf("asked in version %d", version)
		}
		report, _ = rtr.NewRTRErrorReport(errNoData, nil, nil).Serialize()
		s.say(report)
		s.accept()
		if st := c.Status()[0]; st.Why != "it has no data yet" || st.Version != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// FuzzReadPDU: whatever a cache sends, it is read or refused, and what is read has a prefix that is one.
func FuzzReadPDU(f *testing.F) {
	for _, m := range [][]byte{
		begin(1), tells(four, 1), tells(six, 0), end(1, 2, 3, 4, 5), raw(rtr.NewRTREndOfData(1, 2)), raw(rtr.NewRTRSerialNotify(1, 2)), raw(rtr.NewRTRCacheReset()),
		raw(rtr.NewRTRErrorReport(2, []byte{1, 1, 0, 0, 0, 0, 0, 8}, []byte("no"))), {1, typeRouter, 1, 0, 0, 0, 0, 8}, {0, 4, 0, 0, 0xff, 0xff, 0xff, 0xff},
	} {
		f.Add(m)
		f.Add(append(m, begin(2)...))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		c := New([]Cache{{Address: "cache:323"}}, nil).caches[0]
		a := &answer{}
		for from := bufio.NewReader(bytes.NewReader(sent)); a != nil; {
			p, err := readPDU(from)
			if err != nil {
				return
			}
			if p.prefix != nil && (!p.prefix.Prefix.IsValid() || p.prefix.Prefix != p.prefix.Prefix.Masked() || p.prefix.Prefix.Bits() > int(p.prefix.MaxLen) || int(p.prefix.MaxLen) > p.prefix.Prefix.Addr().BitLen()) {
				t.Fatalf("%+v", p.prefix)
			}
			if c.agree(&p, a) != nil {
				return
			}
			if done, err := c.take(a, &p); err != nil || done {
				a = nil
			}
		}
	})
}

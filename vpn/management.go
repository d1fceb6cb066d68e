package vpn

import (
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// session is what an OpenVPN tells of its peer, by its management socket and its log.
type session struct {
	mu        sync.Mutex
	server    bool
	connected bool
	at        netip.AddrPort // of the client, in the namespace
	handshake time.Time
	since     uint64 // when the client connected, as the server says: it tells clients apart
	received  meter
	sent      meter
	listed    bool // the list of clients that is being told has one
}

// meter is a counter that goes on where what it reads begins again.
type meter struct{ before, now uint64 }

func (m *meter) read(v uint64) {
	if v < m.now {
		m.before += m.now
	}
	m.now = v
}

// again: what it reads begins again.
func (m *meter) again() { m.before, m.now = m.before+m.now, 0 }

func (m *meter) total() uint64 { return m.before + m.now }

// Columns of a client in the list that status 3 prints.
const (
	clientName     = 1
	clientAddress  = 2
	clientReceived = 5
	clientSent     = 6
	clientSince    = 8
	clientColumns  = 9
)

// told takes a line of the management socket.
func (s *session) told(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rest, is := strings.CutPrefix(line, ">STATE:"); is && !s.server {
		fields := strings.Split(rest, ",")
		s.connected = len(fields) > 1 && fields[1] == "CONNECTED"
	}
	if rest, is := strings.CutPrefix(line, ">BYTECOUNT:"); is {
		in, out, _ := strings.Cut(rest, ",")
		s.count(in, out)
	}
	if strings.HasPrefix(line, "TITLE\t") {
		s.listed = false
	}
	if strings.HasPrefix(line, "CLIENT_LIST\t") {
		s.client(strings.Split(line, "\t"))
	}
	if line == "END" && s.server {
		if s.connected = s.listed; !s.listed {
			s.since = 0
		}
	}
}

// client takes a client of the list: that which connected last is the peer as it is now.
func (s *session) client(fields []string) {
	if len(fields) < clientColumns || fields[clientName] == "UNDEF" { // it has not shown its certificate yet
		return
	}
	since, err := strconv.ParseUint(fields[clientSince], 10, 64)
	at, addrErr := netip.ParseAddrPort(fields[clientAddress])
	if err != nil || addrErr != nil || s.listed && since < s.since {
		return
	}
	s.listed, s.since, s.at = true, since, at
	s.count(fields[clientReceived], fields[clientSent])
}

func (s *session) count(in, out string) {
	if n, err := strconv.ParseUint(in, 10, 64); err == nil {
		s.received.read(n)
	}
	if n, err := strconv.ParseUint(out, 10, 64); err == nil {
		s.sent.read(n)
	}
}

// logged takes a line of the log. It returns a complaint that people may want to know; ok: the ends have agreed on keys.
func (s *session) logged(line string, now time.Time) (complaint string, ok bool) {
	for _, word := range []string{"VERIFY ERROR", "TLS Error", "Options error", "bad source address", "AUTH_FAILED", "Inactivity timeout", "Cannot"} {
		if strings.Contains(line, word) {
			return line, false // ahead of the rest: it may have a stranger's words
		}
	}
	if strings.Contains(line, "Control Channel: TLS") && !strings.Contains(line, "VERIFY") {
		s.mu.Lock()
		s.handshake = now
		s.mu.Unlock()
		return "", true
	}
	return "", false
}

// gone: the daemon ended.
func (s *session) gone() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connected, s.since = false, 0
}

// peer completes what is known of a peer.
func (s *session) peer(p *Peer) (at netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.Connected, p.Handshake, p.Received, p.Sent = s.connected, s.handshake.UTC(), s.received.total(), s.sent.total()
	if s.handshake.IsZero() {
		p.Handshake = time.Time{}
	}
	return s.at
}

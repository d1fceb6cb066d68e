package rpki

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/osrg/gobgp/v4/pkg/packet/rtr"
)

const (
	dialTime   = 10 * time.Second
	answerTime = time.Minute // for the next message of an answer
	firstPause = time.Second // between a connection's end and the next attempt; it doubles
	mostPause  = time.Minute // or as long as the cache asks for, if that is less
	mostVRPs   = 1 << 23     // of one cache: more than all addresses need for years
)

// cache is the client of one cache.
//
//	connect ──Reset Query, or Serial Query with what it told before──▶ answer ──End of Data──▶ wait ──Serial Notify, or refresh──▶ Serial Query
//	   ▲                                                                 │ Cache Reset: Reset Query                                │
//	   └────────────────────── pause ◀───────────────────────────────────┴─────────────────────────── lost, or it did wrong ◀─────┘
//
// What it told holds for its expire interval after the last End of Data, whether it is there or not.
type cache struct {
	number  int // in the table
	cfg     Cache
	table   *table
	changed func(*changes)
	note    func(Event)
	log     *slog.Logger

	settling sync.Mutex // held while what it tells is made to count, or not to any more; before mu

	mu     sync.Mutex
	status CacheStatus
	known  bool // session and serial are those of what the table has
	expire *time.Timer
}

// run speaks with the cache until ctx ends.
func (c *cache) run(ctx context.Context) {
	pause := firstPause
	for ctx.Err() == nil {
		began := c.statusNow().Updated
		err := c.speak(ctx)
		if ctx.Err() != nil {
			break
		}
		c.lost(err)
		now := c.statusNow()
		if now.Updated != began {
			pause = firstPause
		}
		var lower *versionError
		if errors.As(err, &lower) {
			continue // with another version, at once
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, mostPause, time.Duration(now.Retry)*time.Second)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.expire != nil {
		c.expire.Stop()
	}
}

// versionError: the cache does not speak the version; there is another to try.
type versionError struct{ to uint8 }

func (e *versionError) Error() string {
	return fmt.Sprintf("it does not speak version %d of the protocol", e.to+1)
}

// received is a message, or why there is none.
type received struct {
	pdu
	err error
}

// speak has one connection, until it ends; the error says why.
func (c *cache) speak(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	var reading sync.WaitGroup
	defer reading.Wait()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()
	messages := make(chan received)
	reading.Go(func() {
		for from := bufio.NewReaderSize(conn, 64<<10); ; {
			p, err := readPDU(from)
			select {
			case messages <- received{p, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	})
	defer cancel()
	err = c.converse(ctx, conn, messages)
	var wrong *protocolError
	if errors.As(err, &wrong) {
		c.forgetSession()
		report := rtr.NewRTRErrorReport(wrong.code, nil, []byte(wrong.text))
		report.Version = c.statusNow().Version
		_ = send(conn, report) // it is the last word anyway
	}
	return err
}

func (c *cache) connect(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	return c.cfg.open(ctx)
}

// converse asks and takes answers.
func (c *cache) converse(ctx context.Context, conn net.Conn, messages <-chan received) error {
	var a *answer
	defer func() {
		if a != nil && !a.whole {
			c.forgetSession() // it may be another session's by now, and not know what to say of this one
		}
	}()
	var later *rtr.RTRSerialNotify // that came during an answer
	ask := func() error {
		a, later = &answer{}, nil
		return c.query(conn, a)
	}
	if err := ask(); err != nil {
		return err
	}
	timer := time.NewTimer(answerTime)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			if a != nil {
				return errors.New("it does not answer")
			}
			if err := ask(); err != nil {
				return err
			}
		case m := <-messages:
			if m.err != nil {
				return told(m.err)
			}
			if err := c.agree(&m.pdu, a); err != nil {
				return err
			}
			switch {
			case m.notify != nil:
				later = m.notify
			case m.reset && a != nil:
				c.forgetSession()
				if err := ask(); err != nil {
					return err
				}
			default:
				done, err := c.take(a, &m.pdu)
				if err != nil {
					return err
				}
				if done {
					a = nil
				}
			}
			if a == nil && later != nil && c.news(later) {
				if err := ask(); err != nil {
					return err
				}
			}
		}
		wait := answerTime
		if a == nil {
			wait = time.Duration(c.statusNow().Refresh) * time.Second
		}
		timer.Reset(wait)
	}
}

// told makes of a connection's end what people read.
func told(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("it closed the connection")
	}
	return err
}

// answer is what a cache tells in reply to a query.
type answer struct {
	whole                bool // to a Reset Query
	begun                bool
	announced, withdrawn []VRP
}

// query asks for what is new, or for all.
func (c *cache) query(conn net.Conn, a *answer) error {
	c.mu.Lock()
	st, known := c.status, c.known
	c.mu.Unlock()
	if a.whole = !known; a.whole {
		q := rtr.NewRTRResetQuery()
		q.Version = st.Version
		return send(conn, q)
	}
	q := rtr.NewRTRSerialQuery(st.Session, st.Serial)
	q.Version = st.Version
	return send(conn, q)
}

func send(conn net.Conn, m rtr.RTRMessage) error {
	raw, err := m.Serialize()
	if err != nil {
		return err
	}
	_ = conn.SetWriteDeadline(time.Now().Add(dialTime))
	_, err = conn.Write(raw)
	return err
}

// agree sees to the version (RFC 8210 section 7): the first word of a cache says which one it speaks.
func (c *cache) agree(m *pdu, a *answer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.failed != nil {
		text := fmt.Sprintf("it reports error %d", m.failed.ErrorCode)
		if said := bytes.TrimRight(m.failed.Text, "\x00"); len(said) > 0 {
			text += fmt.Sprintf(": %q", said)
		}
		switch {
		case m.failed.ErrorCode == errVersion && c.status.Version > 0:
			c.status.Version, c.known = c.status.Version-1, false
			return &versionError{c.status.Version}
		case m.failed.ErrorCode == errNoData:
			text = "it has no data yet"
		}
		return errors.New(text)
	}
	switch {
	case m.version == c.status.Version:
		return nil
	case m.notify != nil && a != nil:
		return nil // before a version is agreed on (RFC 8210 section 7)
	case m.version < c.status.Version && a != nil && a.whole && !a.begun:
		c.status.Version = m.version
		return nil
	}
	return &protocolError{errOtherVersion, fmt.Sprintf("it sends version %d, after version %d", m.version, c.status.Version)}
}

// news reports whether a notification is of something that was not asked for.
func (c *cache) news(n *rtr.RTRSerialNotify) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n.SessionID != c.status.Session {
		c.known = false
	}
	return !c.known || n.RTRCommon.SerialNumber != c.status.Serial
}

// take takes a message of an answer; done: it was the last.
func (c *cache) take(a *answer, m *pdu) (done bool, err error) {
	st := c.statusNow()
	switch {
	case m.begin != nil:
		if a == nil || a.begun {
			return false, &protocolError{errCorrupt, "it answers what was not asked"}
		}
		if a.begun = true; !a.whole && m.begin.SessionID != st.Session {
			return false, &protocolError{errCorrupt, fmt.Sprintf("it answers in session %d what was asked in session %d", m.begin.SessionID, st.Session)}
		}
		c.setSession(m.begin.SessionID)
	case m.prefix == nil && m.end == nil: // a router key
	case a == nil || !a.begun:
		return false, &protocolError{errCorrupt, "it tells of prefixes outside of an answer"}
	case m.prefix != nil:
		if len(a.announced)+len(a.withdrawn) >= mostVRPs {
			return false, &protocolError{errCorrupt, fmt.Sprintf("it tells of more than %d prefixes", mostVRPs)}
		}
		if m.prefix.announced {
			a.announced = append(a.announced, m.prefix.VRP)
		} else {
			a.withdrawn = append(a.withdrawn, m.prefix.VRP)
		}
	default:
		if m.end.session != st.Session {
			return false, &protocolError{errCorrupt, fmt.Sprintf("it ends in session %d an answer of session %d", m.end.session, st.Session)}
		}
		return true, c.settle(a, m.end)
	}
	return false, nil
}

// settle has a whole answer count.
func (c *cache) settle(a *answer, end *endOfData) error {
	diff, err := c.accept(a, end)
	if err == nil && diff.Size() > 0 {
		c.changed(diff)
	}
	return err
}

// errExpired: what the cache told before was dropped while it told what is new since, which means nothing by itself.
var errExpired = errors.New("what it told before does not hold any more, and it told only what is new since")

// accept puts a whole answer into the table.
func (c *cache) accept(a *answer, end *endOfData) (diff *changes, err error) {
	c.settling.Lock()
	defer c.settling.Unlock()
	switch {
	case a.whole:
		slices.SortFunc(a.announced, VRP.compare)
		for i, v := range a.announced {
			if i > 0 && v == a.announced[i-1] {
				return nil, &protocolError{errDuplicate, fmt.Sprintf("it announces %s twice", v)}
			}
		}
		if len(a.withdrawn) > 0 {
			return nil, &protocolError{errUnknownWithdrawal, fmt.Sprintf("it withdraws %s from nothing", a.withdrawn[0])}
		}
		diff = c.table.replace(c.number, a.announced)
	case !c.knows():
		return nil, errExpired
	default:
		if diff, err = c.table.change(c.number, a.announced, a.withdrawn); err != nil {
			return nil, err
		}
	}
	c.updated(end)
	return diff, nil
}

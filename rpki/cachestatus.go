package rpki

import (
	"fmt"
	"time"
)

// CacheStatus is how a cache is. JSON for operators.
type CacheStatus struct {
	Address string    `json:"address"`
	TLS     bool      `json:"tls"`
	Up      bool      `json:"up"` // it has told all that it has, and the connection is there
	Since   time.Time `json:"since"`
	Why     string    `json:"why,omitempty"` // it is not up
	Version uint8     `json:"version"`       // of the protocol: 0 is RFC 6810, 1 is RFC 8210
	Session uint16    `json:"session"`
	Serial  uint32    `json:"serial"`
	V4      int       `json:"ipv4"` // VRPs that it told and that hold
	V6      int       `json:"ipv6"`
	Updated time.Time `json:"updated,omitzero"` // when it said last that this was all
	Refresh int       `json:"refresh"`          // seconds from then on to the next question
	Retry   int       `json:"retry"`            // seconds between attempts, at most
	Expire  int       `json:"expire"`           // seconds for which what it told holds
	Lost    uint64    `json:"lost"`             // how often it was
	Expired uint64    `json:"expired"`          // how often what it told was dropped, for it was away too long
}

// statusNow tells how the cache is.
func (c *cache) statusNow() CacheStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

func (c *cache) setSession(id uint16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.Session = id
}

// forgetSession has all that the cache has be asked for the next time. What it told before holds until then.
func (c *cache) forgetSession() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = false
}

// setTimers takes what the cache says of times; what it leaves out is as before.
func (s *CacheStatus) setTimers(t timers) {
	s.Refresh, s.Retry, s.Expire = seconds(t.refresh), seconds(t.retry), seconds(t.expire)
}

func seconds(d time.Duration) int { return int(d / time.Second) }

// updated: the cache has told all.
func (c *cache) updated(end *endOfData) {
	if e := c.updatedTo(end); e != nil {
		c.note(*e)
	}
}

// updatedTo returns what is to be noted of it.
func (c *cache) updatedTo(end *endOfData) (e *Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.status
	if end.timers != (timers{}) {
		s.setTimers(end.timers.within())
	}
	now := time.Now()
	s.Serial, s.Updated, c.known = end.serial, now, true
	if !s.Up {
		s.Up, s.Since, s.Why = true, now, ""
		c.log.Info("RPKI cache is up", "session", s.Session, "serial", s.Serial)
		e = &Event{c.cfg.Address, CacheUp, fmt.Sprintf("RPKI cache %s told all, serial %d", c.cfg.Address, s.Serial)}
	}
	lasts := time.Duration(s.Expire) * time.Second
	if c.expire == nil {
		c.expire = time.AfterFunc(lasts, c.drop)
	} else {
		c.expire.Reset(lasts)
	}
	return e
}

// lost: the connection is over, or there was none.
func (c *cache) lost(err error) {
	if e := c.lostBy(err); e != nil {
		c.note(*e)
	}
}

// lostBy returns what is to be noted of it.
func (c *cache) lostBy(err error) *Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.status
	s.Why = err.Error()
	if !s.Up {
		return nil
	}
	s.Up, s.Since = false, time.Now()
	s.Lost++
	until := s.Updated.Add(time.Duration(s.Expire) * time.Second)
	c.log.Warn("RPKI cache is lost; what it told holds for a while", "err", err, "until", until)
	return &Event{c.cfg.Address, CacheLost, fmt.Sprintf("RPKI cache %s: %v; what it told holds until %s", c.cfg.Address, err, until.UTC().Format(time.RFC3339))}
}

// knows reports whether the table has what the cache told in the session of now.
func (c *cache) knows() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known
}

// drop drops what the cache told: it was away for too long.
func (c *cache) drop() {
	diff := c.expired(time.Now())
	if diff == nil {
		return
	}
	c.note(Event{c.cfg.Address, CacheExpired, fmt.Sprintf("RPKI cache %s was away for too long: what it told does not hold any more", c.cfg.Address)})
	if diff.Size() > 0 {
		c.changed(diff)
	}
}

// expired takes what the cache told out of the table, unless it has told all meanwhile: then there is nothing.
func (c *cache) expired(now time.Time) *changes {
	c.settling.Lock()
	defer c.settling.Unlock()
	c.mu.Lock()
	s := &c.status
	if now.Before(s.Updated.Add(time.Duration(s.Expire) * time.Second)) {
		c.mu.Unlock()
		return nil
	}
	c.known = false
	s.Expired++
	expire := s.Expire
	c.mu.Unlock()
	c.log.Warn("RPKI cache was away for too long: what it told does not hold any more", "expire", expire)
	return c.table.replace(c.number, nil)
}

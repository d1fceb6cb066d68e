package p4rt

import (
	"fmt"
	"math"
	"slices"
)

// port reads a port given as bytes: a name, if the target's ports have names, or else a number.
func (r *Replica) port(b []byte, named bool) error {
	if named && len(b) > 0 {
		r.Name = string(b)
		return nil
	}
	v, err := ParseValue(b)
	if err != nil || v.Hi != 0 || v.Lo > math.MaxUint32 {
		return fmt.Errorf("%w: port of a replica", ErrMalformed)
	}
	r.Port = uint32(v.Lo)
	return nil
}

// replica decodes a Replica with its backups; its port is a number or, since 1.4, bytes.
func replica(b []byte, named bool) (r Replica, backups []Replica, err error) {
	f := fields{rest: b}
	for f.next() && err == nil {
		switch f.num {
		case 1:
			r.Port = uint32(f.u)
		case 2:
			r.Instance = uint32(f.u)
		case 3:
			err = r.port(f.b, named)
		case 4:
			var spare Replica
			s := fields{rest: f.b}
			for s.next() && err == nil {
				switch s.num {
				case 1:
					err = spare.port(s.b, named)
				case 2:
					spare.Instance = uint32(s.u)
				}
			}
			if err == nil {
				err = s.err
			}
			backups = append(backups, spare)
		}
	}
	if err == nil {
		err = f.err
	}
	return r, backups, err
}

// replicas is a set of replicas in the making.
type replicas struct {
	list    []Replica
	backups map[Replica][]Replica
}

func (rs *replicas) add(b []byte, named bool) error {
	r, backups, err := replica(b, named)
	if err != nil {
		return err
	}
	rs.list = append(rs.list, r)
	if len(backups) > 0 {
		if rs.backups == nil {
			rs.backups = map[Replica][]Replica{}
		}
		rs.backups[r] = slices.Concat(rs.backups[r], backups)
	}
	return nil
}

func decodeGroup(b []byte, named bool) (*MulticastGroup, error) {
	g := &MulticastGroup{}
	var rs replicas
	f := fields{rest: b}
	for f.next() {
		switch f.num {
		case 1:
			g.ID = uint32(f.u)
		case 2:
			if err := rs.add(f.b, named); err != nil {
				return nil, fmt.Errorf("multicast group: %w", err)
			}
		case 3:
			g.Cookie = cookieOf(f.b)
		}
	}
	g.Replicas, g.Backups = rs.list, rs.backups
	return g, f.err
}

func decodeClone(b []byte, named bool) (*CloneSession, error) {
	c := &CloneSession{}
	var rs replicas
	f := fields{rest: b}
	for f.next() {
		switch f.num {
		case 1:
			c.ID = uint32(f.u)
		case 2:
			if err := rs.add(f.b, named); err != nil {
				return nil, fmt.Errorf("clone session: %w", err)
			}
		case 3:
			c.Class = uint32(f.u)
		case 4:
			c.Truncate = int32(f.u)
		}
	}
	c.Replicas, c.Backups = rs.list, rs.backups
	return c, f.err
}

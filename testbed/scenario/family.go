package scenario

import "net/netip"

// Family restricts an operation on a host name to one IP version.
type Family uint8

// Families: Both means each that source and target have in common, one after the other.
const (
	Both Family = 0
	IPv4 Family = 4
	IPv6 Family = 6
)

// String is ipv4, ipv6, or both.
func (f Family) String() string {
	switch f {
	case IPv4:
		return "ipv4"
	case IPv6:
		return "ipv6"
	}
	return "both"
}

// includes tells whether what is for f is also for one family.
func (f Family) includes(one Family) bool { return f == Both || one == Both || f == one }

func familyOf(addr netip.Addr) Family {
	if addr.Is4() {
		return IPv4
	}
	return IPv6
}

// ofFamily is implemented by operations that differ from one family to the other.
type ofFamily interface {
	// only returns the operation for one family alone; false: it is not for this family.
	only(f Family) (Op, bool)
}

// narrowed is an operation for one family, if it is one of that family.
func narrowed(op Op, f Family) (Op, bool) {
	if one, ok := op.(ofFamily); ok && f != Both {
		return one.only(f)
	}
	return op, true
}

// narrow leaves an operation towards the target with one family; false: it is not for that.
func (t Target) narrow(own *Family, f Family) bool {
	ok := own.includes(f) && (!t.Addr.IsValid() || familyOf(t.Addr) == f)
	*own = f
	return ok
}

func (p Ping) only(f Family) (Op, bool)       { ok := p.To.narrow(&p.Family, f); return p, ok }
func (t Traceroute) only(f Family) (Op, bool) { ok := t.To.narrow(&t.Family, f); return t, ok }
func (t TCP) only(f Family) (Op, bool)        { ok := t.To.narrow(&t.Family, f); return t, ok }
func (h HTTP) only(f Family) (Op, bool)       { ok := h.To.narrow(&h.Family, f); return h, ok }
func (u UDP) only(f Family) (Op, bool)        { ok := u.To.narrow(&u.Family, f); return u, ok }
func (t Trace) only(f Family) (Op, bool)      { ok := t.To.narrow(&t.Family, f); return t, ok }

func (s Sweep) only(f Family) (Op, bool) { return s, s.Family.includes(f) }

func (g Forge) only(f Family) (Op, bool) {
	ok := g.Family.includes(f)
	g.Family = f
	return g, ok
}

func (s Start) only(f Family) (Op, bool) {
	op, ok := narrowed(s.Op, f)
	s.Op = op
	return s, ok
}

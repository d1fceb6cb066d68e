package topology

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
)

// Bounds of a session.
const (
	minHoldTime = 3 // RFC 4271 section 4.2
	maxBGPRules = 1024
	maxBGPOwn   = 4096 // prefixes that a session advertises
	maxPrepend  = 10
	asTrans     = 23456
	lastAS16    = 1<<16 - 1
	lastAS32    = 1<<32 - 1
)

// bgpSession checks a session.
func (v *validator) bgpSession(o *Object, s *BGPSessionSpec) {
	v.asNumber(o, "spec.localAS", s.LocalAS)
	v.asNumber(o, "spec.peerAS", s.PeerAS)
	v.bgpTimers(o, s)
	v.bfd(o, s.BFD)
	if s.TTLSecurity && s.LocalAS == s.PeerAS {
		v.fail(o, "spec.ttlSecurity", "true", "is for external sessions", "leave it out")
	}
	if s.PasswordSecret != "" && !validName(s.PasswordSecret) {
		v.fail(o, "spec.passwordSecret", "", "is not the name of a secret", "use 1 to 63 of a-z, 0-9, '-' and '.', a letter or digit first; the password itself is kept at the edges")
	}
	if a := s.MaxPrefixesAction; a != "" && a != "stop" && a != "warn" && a != "restart" {
		v.fail(o, "spec.maxPrefixesAction", a, "is no action", "use stop, restart or warn")
	} else if a != "" && s.MaxPrefixes == 0 {
		v.fail(o, "spec.maxPrefixesAction", a, "goes with maxPrefixes", "give that, or leave this out")
	}
	if s.MaxPrefixesIdle != 0 && s.MaxPrefixesAction != "restart" {
		v.fail(o, "spec.maxPrefixesIdle", strconv.Itoa(int(s.MaxPrefixesIdle)), "goes with maxPrefixesAction: restart", "give that, or leave this out")
	}
	if t := s.RestartTime; t > 4095 {
		v.fail(o, "spec.restartTime", strconv.Itoa(int(t)), "is more than an OPEN can say (RFC 4724)", "use 4095 at most")
	} else if t != 0 && s.NoGracefulRestart {
		v.fail(o, "spec.restartTime", strconv.Itoa(int(t)), "does not go with noGracefulRestart", "leave one of them out")
	}
	for i, f := range s.Families {
		field := fmt.Sprintf("spec.families[%d]", i)
		if f != familyV4 && f != familyV6 {
			v.fail(o, field, f, "is no family", "use ipv4 or ipv6")
		} else if slices.Contains(s.Families[:i], f) {
			v.fail(o, field, f, "is listed twice", "list each family once")
		}
	}
	if !isHost(s.PeerAddress) {
		problem := "is not the address of one host"
		if !s.PeerAddress.IsValid() {
			problem = "is missing"
		}
		v.fail(o, "spec.peerAddress", addrText(s.PeerAddress), problem, "use the neighbour's, such as 192.0.2.1 or 2001:db8::1")
		return
	}
	v.bgpRules(o, s, "spec.import", s.Import)
	v.bgpRules(o, s, "spec.export", s.Export)
	v.bgpAdvertise(o, s)
	v.bgpRedistribute(o, s)
	v.bgpPort(o, s)
}

func (v *validator) asNumber(o *Object, field string, as uint32) {
	switch as {
	case 0:
		v.fail(o, field, "", "is missing", "give the number of the AS, 1 to 4294967294")
	case asTrans, lastAS16, lastAS32: // RFC 6793, RFC 7300
		v.fail(o, field, strconv.FormatUint(uint64(as), 10), "is reserved", "use the number of an AS")
	}
}

func (v *validator) bgpTimers(o *Object, s *BGPSessionSpec) {
	hold := s.HoldTime
	if hold == 0 {
		hold = defaultHoldTime
	}
	if hold < minHoldTime {
		v.fail(o, "spec.holdTime", strconv.Itoa(int(hold)), "is out of range", fmt.Sprintf("use %d to 65535 seconds", minHoldTime))
	} else if s.Keepalive > hold/3 {
		v.fail(o, "spec.keepalive", strconv.Itoa(int(s.Keepalive)), fmt.Sprintf("is more than a third of the hold time of %d seconds", hold), fmt.Sprintf("use %d at most", hold/3))
	}
	switch {
	case s.Multihop == 0:
	case s.LocalAS == s.PeerAS:
		v.fail(o, "spec.multihop", strconv.Itoa(int(s.Multihop)), "is for external sessions: an internal one may go any number of hops", "leave it out")
	case s.Multihop == 1:
		v.fail(o, "spec.multihop", "1", "is out of range", "use 2 to 255, or leave it out for a neighbour on the link")
	}
}

// bgpRules checks an import or export list.
func (v *validator) bgpRules(o *Object, s *BGPSessionSpec, field string, rules []BGPRuleSpec) {
	if len(rules) > maxBGPRules {
		v.fail(o, field, strconv.Itoa(len(rules)), "are too many", fmt.Sprintf("use %d at most", maxBGPRules))
	}
	for i := range rules {
		r, at := &rules[i], fmt.Sprintf("%s[%d]", field, i)
		if r.Action != "permit" && r.Action != "deny" {
			v.fail(o, at+".action", r.Action, "is no action", "use permit or deny")
		}
		v.prefix(o, at+".prefix", r.Prefix)
		if !r.Prefix.IsValid() {
			continue
		}
		v.exchanged(o, s, at+".prefix", r.Prefix)
		v.community(o, at+".community", r.Community)
		if field == "spec.export" && r.Community != "" {
			v.fail(o, at+".community", string(r.Community), "is for import", "leave it out: what is told is what advertise has")
		}
		v.bgpValidity(o, at+".rpki", field, r.RPKI)
		if r.LocalPref != 0 && (field == "spec.export" || r.Action == "deny") {
			v.fail(o, at+".localPref", strconv.FormatUint(uint64(r.LocalPref), 10), "is for what import permits", "leave it out")
		}
		least, most := uint8(r.Prefix.Bits()), uint8(r.Prefix.Addr().BitLen())
		for name, n := range map[string]uint8{".ge": r.GE, ".le": r.LE} {
			if n != 0 && (n < least || n > most) {
				v.fail(o, at+name, strconv.Itoa(int(n)), "is no length of a prefix within "+r.Prefix.String(), fmt.Sprintf("use %d to %d", least, most))
			}
		}
		if r.LE != 0 && r.GE > r.LE {
			v.fail(o, at+".ge", strconv.Itoa(int(r.GE)), fmt.Sprintf("is more than le, %d", r.LE), "no prefix would fit")
		}
	}
}

// bgpValidity checks what a rule of a list has RPKI caches say.
func (v *validator) bgpValidity(o *Object, field, list string, rpki Validity) {
	switch rpki {
	case "":
	case "valid", "invalid", "notFound":
		if list == "spec.export" {
			v.fail(o, field, string(rpki), "is for import", "leave it out: what is told is what advertise has")
		}
	default:
		v.fail(o, field, string(rpki), "is nothing that RPKI caches say", "use valid, invalid or notFound")
	}
}

// exchanged checks that a prefix is of a family that the session has.
func (v *validator) exchanged(o *Object, s *BGPSessionSpec, field string, p netip.Prefix) {
	v4, v6 := s.families()
	if p.Addr().Is4() && !v4 || p.Addr().Is6() && !v6 {
		v.fail(o, field, p.String(), "is of a family that the session does not exchange", "add the family to families")
	}
}

func (v *validator) bgpAdvertise(o *Object, s *BGPSessionSpec) {
	if len(s.Advertise) > maxBGPOwn {
		v.fail(o, "spec.advertise", strconv.Itoa(len(s.Advertise)), "are too many", fmt.Sprintf("use %d at most", maxBGPOwn))
		return
	}
	first := map[netip.Prefix]int{}
	for i, a := range s.Advertise {
		field := fmt.Sprintf("spec.advertise[%d].prefix", i)
		v.prefix(o, field, a.Prefix)
		if !a.Prefix.IsValid() {
			continue
		}
		v.exchanged(o, s, field, a.Prefix)
		for j, c := range a.Communities {
			v.community(o, fmt.Sprintf("spec.advertise[%d].communities[%d]", i, j), c)
		}
		if a.Prepend > maxPrepend {
			v.fail(o, fmt.Sprintf("spec.advertise[%d].prepend", i), strconv.Itoa(int(a.Prepend)), "is out of range", fmt.Sprintf("use %d at most", maxPrepend))
		}
		if at, has := first[a.Prefix]; has {
			v.fail(o, field, a.Prefix.String(), fmt.Sprintf("is that of spec.advertise[%d] too", at), "list each prefix once")
		}
		first[a.Prefix] = i
		if a.IfRoute.IsValid() {
			v.prefix(o, fmt.Sprintf("spec.advertise[%d].ifRoute", i), a.IfRoute)
		}
	}
}

// community checks one that may be left out.
func (v *validator) community(o *Object, field string, c BGPCommunity) {
	if _, err := c.Parse(); err != nil {
		v.fail(o, field, string(c), "is no community", "use AS:VALUE such as 64500:100, AS:VALUE:VALUE, no-export, no-advertise, no-peer or blackhole")
	}
}

// bgpPort checks the port that a session goes through, and the addresses of both ends.
func (v *validator) bgpPort(o *Object, s *BGPSessionSpec) {
	if s.VPort == "" {
		v.fail(o, "spec.vport", "", "is missing", "name the exterior port of a router through which the session goes")
		return
	}
	p := v.set.Get(o.VPortRef(s.VPort))
	if p == nil {
		v.there(o, "spec.vport", KindVPort, s.VPort)
		return
	}
	port := p.Spec.(*VPortSpec)
	if dev, _ := p.DeviceRef(); dev.Kind != KindRouter {
		v.failRef(o, "spec.vport", s.VPort, "is a port of "+dev.String(), "name a port of a router")
		return
	}
	if !port.IsExterior() {
		v.failRef(o, "spec.vport", s.VPort, "is an interior port", "name an exterior one: the neighbour is outside")
		return
	}
	own := port.ownAddresses()
	has := func(is4 bool) bool {
		return slices.ContainsFunc(own, func(a netip.Prefix) bool { return a.Addr().Is4() == is4 })
	}
	is4 := s.PeerAddress.Is4()
	if !has(is4) {
		v.failRef(o, "spec.peerAddress", s.PeerAddress.String(), "is of an IP version of which port "+s.VPort+" has no address", "give the port one")
		return
	}
	for i, f := range s.Families {
		if (f == familyV4 || f == familyV6) && !has(f == familyV4) {
			v.failRef(o, fmt.Sprintf("spec.families[%d]", i), f, "is a family of which port "+s.VPort+" has no address: it would be the next hop", "give the port one, or leave the family out")
		}
	}
	if l := s.LocalAddress; l.IsValid() {
		switch {
		case l.Is4() != is4:
			v.fail(o, "spec.localAddress", l.String(), "is of another IP version than peerAddress "+s.PeerAddress.String(), "use one of the same")
		case !slices.ContainsFunc(own, func(a netip.Prefix) bool { return a.Addr() == l }):
			v.failRef(o, "spec.localAddress", l.String(), "is no address of port "+s.VPort, "use one of them, or leave it out")
		}
	}
	if s.Multihop == 0 && s.LocalAS != s.PeerAS {
		v.via(o, "spec.peerAddress", s.PeerAddress, s.VPort)
	} else if slices.ContainsFunc(own, func(a netip.Prefix) bool { return a.Addr() == s.PeerAddress }) {
		v.failRef(o, "spec.peerAddress", s.PeerAddress.String(), "is the address of port "+s.VPort+" itself", "give that of the neighbour")
	}
}

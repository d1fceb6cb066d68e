package bgp

import (
	"errors"
	"testing"

	msg "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/weft-sdn/weft/topology"
)

// TestOptions: what a session's connection sends and takes follows from how far away the neighbour is (RFC 5082), and from its secret.
func TestOptions(t *testing.T) {
	no := errors.New("no such secret")
	p := &port{cfg: Config{Secret: func(_, name string) (string, error) {
		if name == "known" {
			return "pass", nil
		}
		return "", no
	}}}
	for name, x := range map[string]struct {
		change func(*topology.BGPSession)
		want   options
	}{
		"on the link":           {func(*topology.BGPSession) {}, options{ttl: 1}},
		"three hops away":       {func(s *topology.BGPSession) { s.Multihop = 3 }, options{ttl: 3}},
		"internal":              {func(s *topology.BGPSession) { s.PeerAS = s.LocalAS }, options{}},
		"secure, on the link":   {func(s *topology.BGPSession) { s.TTLSecurity = true }, options{ttl: 255, minTTL: 255}},
		"secure, three hops":    {func(s *topology.BGPSession) { s.TTLSecurity, s.Multihop = true, 3 }, options{ttl: 255, minTTL: 253}},
		"secure, very far away": {func(s *topology.BGPSession) { s.TTLSecurity, s.Multihop = true, 255 }, options{ttl: 255, minTTL: 1}},
		"signed":                {func(s *topology.BGPSession) { s.PasswordSecret = "known" }, options{ttl: 1, password: "pass"}},
	} {
		s := external()
		x.change(s)
		if got, err := p.options(s); err != nil || got != x.want {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, x.want)
		}
	}
	s := external()
	s.PasswordSecret = "unknown"
	if _, err := p.options(s); !errors.Is(err, no) {
		t.Errorf("a secret that is not there: %v", err)
	}
	p.cfg.Secret = nil
	if _, err := p.options(s); err == nil {
		t.Error("a signed session of an edge without secrets begins")
	}
}

// TestMarks: communities and a longer path go with a prefix, and nothing where none is asked for.
func TestMarks(t *testing.T) {
	s := external()
	if got := marks(topology.BGPPrefix{}, s); len(got) != 0 {
		t.Errorf("a plain prefix has %v", got)
	}
	var standard, large, path int
	for _, a := range marks(topology.BGPPrefix{Communities: []topology.BGPCommunity{"64500:7", "no-export", "64500:1:2"}, Prepend: 2}, s) {
		switch a := a.(type) {
		case *msg.PathAttributeCommunities:
			standard++
			if len(a.Value) != 2 || a.Value[0] != 64500<<16|7 || a.Value[1] != 0xffffff01 {
				t.Errorf("communities %x", a.Value)
			}
		case *msg.PathAttributeLargeCommunities:
			large++
			if len(a.Values) != 1 || *a.Values[0] != (msg.LargeCommunity{ASN: 64500, LocalData1: 1, LocalData2: 2}) {
				t.Errorf("large communities %v", a.Values)
			}
		case *msg.PathAttributeAsPath:
			path++
			if as := a.Value[0].GetAS(); len(a.Value) != 1 || len(as) != 2 || as[0] != s.LocalAS || as[1] != s.LocalAS {
				t.Errorf("path %v", a.Value)
			}
		}
	}
	if standard != 1 || large != 1 || path != 1 {
		t.Errorf("%d, %d and %d attributes, want one of each", standard, large, path)
	}
}

package bgp

import (
	"net/netip"
	"testing"

	"github.com/weft-sdn/weft/topology"
)

// TestDifference: a neighbour is told what is new or otherwise, and what is withheld or gone is taken back; nothing is told twice, and nothing taken back that was not told.
func TestDifference(t *testing.T) {
	told := func(prefix, why string, med uint32) topology.Telling {
		return topology.Telling{BGPPrefix: topology.BGPPrefix{Prefix: netip.MustParsePrefix(prefix), MED: med, Communities: []topology.BGPCommunity{"1:2"}}, From: "x", Why: why}
	}
	set := func(all ...topology.Telling) map[netip.Prefix]topology.Telling {
		m := map[netip.Prefix]topology.Telling{}
		for _, x := range all {
			m[x.Prefix] = x
		}
		return m
	}
	same, other := told("203.0.113.1/32", "", 0), told("203.0.113.1/32", "", 0)
	other.From = "another object"
	for name, x := range map[string]struct {
		before, after map[netip.Prefix]topology.Telling
		news, gone    int
	}{
		"nothing":                       {nil, nil, 0, 0},
		"all is new":                    {nil, set(same, told("2001:db8::/48", "", 0), told("203.0.113.2/32", "down", 0)), 2, 0},
		"all stays, for another reason": {set(same), set(other), 0, 0},
		"one more":                      {set(same), set(same, told("203.0.113.2/32", "", 0)), 1, 0},
		"another MED":                   {set(same), set(told("203.0.113.1/32", "", 7)), 1, 0},
		"withheld":                      {set(same), set(told("203.0.113.1/32", "down", 0)), 0, 1},
		"back":                          {set(told("203.0.113.1/32", "down", 0)), set(same), 1, 0},
		"gone":                          {set(same, told("2001:db8::/48", "", 0)), set(same), 0, 1},
		"gone, and was withheld":        {set(told("203.0.113.1/32", "down", 0)), nil, 0, 0},
	} {
		if news, gone := difference(x.before, x.after); len(news) != x.news || len(gone) != x.gone {
			t.Errorf("%s: told %v, taken back %v; want %d and %d", name, news, gone, x.news, x.gone)
		}
	}
}

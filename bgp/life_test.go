package bgp

import (
	"testing"
	"time"

	msg "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// TestGraceful: routes of a lost neighbour are kept only if it said that it goes on forwarding, for each family that is exchanged.
func TestGraceful(t *testing.T) {
	v4, v6 := msg.RF_IPv4_UC, msg.RF_IPv6_UC
	kept := func(f msg.Family, forwards bool) *msg.CapGracefulRestartTuple {
		return msg.NewCapGracefulRestartTuple(f, forwards)
	}
	restart := func(tuples ...*msg.CapGracefulRestartTuple) msg.ParameterCapabilityInterface {
		return msg.NewCapGracefulRestart(false, false, 90, tuples)
	}
	many := func(all ...msg.ParameterCapabilityInterface) []msg.ParameterCapabilityInterface { return all }
	one4, one6 := msg.NewCapMultiProtocol(v4), msg.NewCapMultiProtocol(v6)
	for name, x := range map[string]struct {
		capabilities []msg.ParameterCapabilityInterface
		restart      time.Duration
		forwards     bool
	}{
		"says nothing":                          {nil, 0, false},
		"says nothing of restarts":              {many(one4, one6), 0, false},
		"tells End-of-RIB only":                 {many(one4, one6, restart()), 0, false},
		"keeps both":                            {many(one4, one6, restart(kept(v4, false), kept(v6, false))), 90 * time.Second, false},
		"has kept both":                         {many(one4, one6, restart(kept(v4, true), kept(v6, true))), 90 * time.Second, true},
		"has kept one of two":                   {many(one4, one6, restart(kept(v4, true), kept(v6, false))), 90 * time.Second, false},
		"keeps one of two":                      {many(one4, one6, restart(kept(v4, true))), 0, false},
		"keeps the one that is exchanged":       {many(one6, restart(kept(v6, true))), 90 * time.Second, true},
		"keeps IPv4, which needs no capability": {many(restart(kept(v4, true))), 90 * time.Second, true},
	} {
		if restart, forwards := graceful(x.capabilities, []msg.Family{v4, v6}); restart != x.restart || forwards != x.forwards {
			t.Errorf("%s: %v, %v, want %v, %v", name, restart, forwards, x.restart, x.forwards)
		}
	}
}

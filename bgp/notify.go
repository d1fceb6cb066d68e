package bgp

import (
	"strings"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// notify records that something happened to one session, such as SessionLost and why. It never waits.
type notify func(kind state.EventType, reason, message string)

// notify is that of a session, TENANT/NAME: into the event log, as the edge's word.
func (c *Config) notify(session string) notify {
	tenant, name, _ := strings.Cut(session, "/")
	object := state.RefObject(topology.Ref{Kind: topology.KindBGPSession, Tenant: tenant, Name: name})
	return func(kind state.EventType, reason, message string) {
		c.Store.Record(state.Note{Type: kind, Reason: reason, Object: object, Message: message, Source: c.Edge})
	}
}

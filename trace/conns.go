package trace

import (
	"context"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// stored are connections as the database has them, which simulations ask for.
type stored struct {
	ctx   context.Context
	store *state.Store
	known map[conntrack.Key]*conntrack.Conn // nil: there is none
}

// Find implements sim.Connections.
func (s *stored) Find(k *conntrack.Key, _ uint64) (c *conntrack.Conn, reply, known bool) {
	c, known = s.known[*k]
	return c, c != nil && c.Forward != *k, known
}

// connLooks is for how many connections the database is asked for one packet: a walk asks for one, or for another once that is known.
const connLooks = 4

// follow simulates a packet with the connections that the database has.
func (s *stored) follow(snap *topology.Snapshot, f *packet.Frame, v *topology.VPort) *client.Trace {
	s.known = map[conntrack.Key]*conntrack.Conn{}
	simulator := sim.Simulator{Conns: s}
	for range connLooks {
		res := sim.Result{Trace: new(sim.Trace)}
		simulator.Simulate(snap, f, v.ID, 0, &res)
		if !res.Track.Wait || s.ask(&res.Track.Key) != nil {
			return tell(snap, f, v, nil, &res)
		}
	}
	res := sim.Result{Trace: new(sim.Trace)}
	simulator.Simulate(snap, f, v.ID, 0, &res)
	return tell(snap, f, v, nil, &res)
}

// ask looks for a connection.
func (s *stored) ask(k *conntrack.Key) error {
	s.known[*k] = nil
	return s.store.FindEither(s.ctx, []conntrack.Key{*k}, func(_ int, c state.StoredConn) {
		s.known[*k] = &c.Conn
	})
}

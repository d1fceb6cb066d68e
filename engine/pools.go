package engine

import (
	"cmp"
	"context"
	"slices"

	"github.com/weft-sdn/weft/topology"
)

// PoolStats is what an edge has had to do with a pool since its agent started.
type PoolStats struct {
	Pool    topology.DeviceID
	Picks   uint64       // connections for which it chose a member
	Members []MemberLoad // those to which it knows connections, in order
}

// MemberLoad is how many connections of a pool's member an edge knows.
type MemberLoad struct {
	Member topology.MemberKey
	Conns  uint32
}

// Pools returns the counts of the pools that the edge has loaded, in order of id.
func (a *Agent) Pools(ctx context.Context) (list []PoolStats, err error) {
	err = a.mail.call(ctx, func() { list = a.core.balance.stats() })
	return list, err
}

func (b *balance) stats() []PoolStats {
	var list []PoolStats
	at := map[topology.DeviceID]int{}
	for p := range b.c.snap.Pools() {
		at[p.ID] = len(list)
		list = append(list, PoolStats{Pool: p.ID, Picks: uint64(b.turns[turnOf{p.ID, false}]) + uint64(b.turns[turnOf{p.ID, true}])})
	}
	for m, n := range b.loads {
		if i, ok := at[m.pool]; ok {
			list[i].Members = append(list[i].Members, MemberLoad{m.member, n})
		}
	}
	for i := range list {
		slices.SortFunc(list[i].Members, func(x, y MemberLoad) int {
			return cmp.Or(x.Member.IP().Compare(y.Member.IP()), cmp.Compare(x.Member.Port, y.Member.Port))
		})
	}
	return list
}

package lab_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/lab"
	"github.com/weft-sdn/weft/testbed/scenario"
)

// connSteps speak through translations and between edges, so that the directions of connections have different owners.
const connSteps = `
leg speak
tcp vm1 out:80 bytes=200KB
udp vm1 out:53 count=3
tcp vm3 vm1:81 bytes=200KB
ping vm3 vm1
`

// TestConnectionsEnd (C3, C4, C7): a TCP connection that both sides closed, and others that are idle, leave nothing: neither in the database, nor flows, nor
// in the agents. What the two edges think of a connection is the same meanwhile.
func TestConnectionsEnd(t *testing.T) {
	file := parseFile(t, "testdata/nat.txtar")
	var network bytes.Buffer
	network.WriteString(connSteps + "-- network.yaml --\n")
	network.Write(file.Network)
	network.WriteString("-- hosts --\n" + natHosts)
	s, err := scenario.Parse("conn.txtar", network.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	const idle = 3 * time.Second // longer than an answer takes on a busy machine
	short := conntrack.Timeouts{TCPOpening: idle, TCPEstablished: time.Hour, TCPClosed: time.Second, Single: idle, Both: idle}
	l := start(t, lab.Config{Scenario: s, Timeouts: short, IdleTimeout: time.Second})
	store, err := l.Store("e1")
	if err != nil {
		t.Fatal(err)
	}
	runScenario(t, s, l)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	until(ctx, t, func() string { return fmt.Sprintf("connections are left in the database: %v", connections(t, store)) }, func() bool { return len(connections(t, store)) == 0 })
	for _, edge := range l.Edges() {
		until(ctx, t, func() string { return edge + " has connections left" }, func() bool {
			n, err := l.Counter(ctx, edge, "connections")
			return err == nil && n == 0
		})
	}
}

// natHosts are those of testdata/nat.txtar.
const natHosts = `
vm1 vport=acme/vm1 edge=e1 gw=10.1.0.254,fd01::fe
vm2 vport=acme/vm2 edge=e1 gw=10.1.0.254,fd01::fe
vm3 vport=acme/vm3 edge=e2 gw=10.1.0.254,fd01::fe
out vport=isp/uplink edge=e2 mac=02:00:00:00:99:01 ip=198.51.100.2/24,2001:db8:51::2/64 gw=198.51.100.1,2001:db8:51::1
`

// connections tells what the database has.
func connections(t *testing.T, s *state.Store) (found []string) {
	t.Helper()
	err := s.Connections(t.Context(), func(c state.StoredConn) error {
		found = append(found, fmt.Sprintf("%v %v owners %x %x", c.Forward, c.State, c.ForwardOwner, c.ReturnOwner))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// until looks again every so often.
func until(ctx context.Context, t *testing.T, otherwise func() string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-ctx.Done():
			t.Fatal(otherwise())
		case <-tick.C:
		}
	}
}

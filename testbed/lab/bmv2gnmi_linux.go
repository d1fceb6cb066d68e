package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/weft-sdn/weft/softswitch/gnmi"
	"github.com/weft-sdn/weft/softswitch/impair"
	"github.com/weft-sdn/weft/testbed/wire"
)

// linkPoll is how often cables are looked at.
const linkPoll = 20 * time.Millisecond

// cablePorts are the ports of a bmv2, which has no gNMI server, as its machine would serve them: states and counters of their cables.
type cablePorts struct {
	numbers []uint16 // sorted
	ends    map[uint16]*wire.End
}

func newCablePorts(ends map[uint16]*wire.End) *cablePorts {
	return &cablePorts{numbers: slices.Sorted(maps.Keys(ends)), ends: ends}
}

// Ports implements gnmi.Switch.
func (c *cablePorts) Ports() []gnmi.Port {
	out := make([]gnmi.Port, 0, len(c.numbers))
	for _, n := range c.numbers {
		end := c.ends[n]
		count := end.Counters()
		out = append(out, gnmi.Port{
			Number: uint32(n), Name: fmt.Sprintf("%s-%d", end.Name(), n), Enabled: true, Up: end.Up(),
			InPackets: count.Received, InBytes: count.ReceivedBytes,
			OutPackets: count.Sent, OutBytes: count.SentBytes, OutDiscards: count.Overflow + count.Down,
		})
	}
	return out
}

// SetEnabled implements gnmi.Switch.
func (c *cablePorts) SetEnabled(uint32, bool) error { return errReadOnly }

// SetImpairment implements gnmi.Switch.
func (c *cablePorts) SetImpairment(uint32, impair.Config) error { return errReadOnly }

var errReadOnly = errors.New("the ports of a bmv2 in a lab can't be configured; use the steps link and loss")

// serve answers gNMI requests at a unix socket until ctx ends.
func (c *cablePorts) serve(ctx context.Context, socket string, deviceID uint64) error {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	server, service := grpc.NewServer(), gnmi.New(gnmi.Config{Switch: c, DeviceID: deviceID})
	service.Register(server)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, grpc.ErrServerStopped) { // it was stopped before it began
			return err
		}
		return nil
	})
	g.Go(func() error {
		c.follow(ctx, service.Changed)
		server.Stop() // subscriptions don't end by themselves
		return nil
	})
	return g.Wait()
}

// follow tells of cables that are plugged in or out.
func (c *cablePorts) follow(ctx context.Context, changed func()) {
	up := make(map[uint16]bool, len(c.ends))
	tick := time.NewTicker(linkPoll)
	defer tick.Stop()
	for {
		for n, end := range c.ends {
			if is := end.Up(); up[n] != is {
				up[n] = is
				changed()
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

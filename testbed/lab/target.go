package lab

import (
	"context"
	"errors"
	"log/slog"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/testbed/wire"
)

// target runs the pipeline of one edge, in this process or as one of its own.
type target interface {
	// run joins the ports to their cables and runs until ctx ends (nil). An error says why the target ended before.
	run(ctx context.Context) error
	// serves returns when the P4Runtime server takes connections.
	serves(ctx context.Context) error
	// dial connects to the P4Runtime server.
	dial(ctx context.Context) (p4rt.Conn, error)
	// gnmi says how to dial the gNMI server, in the form of gRPC; empty: the target has none.
	gnmi() (address string, options []grpc.DialOption)
	// address is where agents of other processes find the server, in the form of gRPC; empty: they can't.
	address() string
	profile() p4rt.Profile
	// lost counts what the pipeline does not: frames of hosts that got lost before it, packet-ins behind it.
	lost() (frames, packetIns uint64)
	// lossy reports whether packet-ins get lost behind the pipeline uncounted.
	lossy() bool
}

// targetConfig is what every target needs.
type targetConfig struct {
	stratum  bool // a softswitch with the ways of Stratum
	edge     string
	deviceID uint64
	ports    map[uint16]*wire.End // the target's ends of the cables
	mtu      int                  // longest IP packet on the cables, in bytes
	dir      string               // for sockets and logs
	logger   *slog.Logger

	kernel     *kernelPort // of VPNs; nil: it is among ports
	kernelPort uint16      // its number
}

// attached runs patches between the ends of cables and the ports of a target.
type attached []*wire.Patch

// lost counts the frames that the ports did not take.
func (a attached) lost() (n uint64) {
	for _, p := range a {
		n += p.Dropped()
	}
	return n
}

// close closes the ports of patches that will not run.
func (a attached) close() (err error) {
	for _, p := range a {
		err = errors.Join(err, p.Close())
	}
	return err
}

// profile is what is known of a softswitch.
func (c *targetConfig) profile() p4rt.Profile {
	if c.stratum {
		return p4rt.Stratum()
	}
	return p4rt.Softswitch()
}

// plain is how a server without TLS is dialled.
func plain() []grpc.DialOption {
	return []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
}

package lab

import (
	"context"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/softswitch"
	"github.com/weft-sdn/weft/softswitch/port"
)

// connBuffer is the room of a connection in memory, in bytes per direction.
const connBuffer = 1 << 20

// inMemory is a softswitch in this process. Others share with it the frames on the cables and the bytes of gRPC connections in memory.
type inMemory struct {
	edge     string
	server   *softswitch.Server
	listener *bufconn.Listener
}

func newInMemory(cfg targetConfig, options []grpc.ServerOption) (target, error) {
	ports := make(map[uint16]port.Port, len(cfg.ports))
	for n, end := range cfg.ports {
		ports[n] = end.Port()
	}
	server, err := softswitch.New(softswitch.Options{DeviceID: cfg.deviceID, CPUPort: offload.CPUPort, Ports: ports, Logger: cfg.logger, GRPC: options})
	if err != nil {
		return nil, err
	}
	return &inMemory{edge: cfg.edge, server: server, listener: bufconn.Listen(connBuffer)}, nil
}

func (t *inMemory) run(ctx context.Context) error { return t.server.Serve(ctx, t.listener) }
func (t *inMemory) serves(context.Context) error  { return nil }
func (t *inMemory) address() string               { return "" }
func (t *inMemory) profile() p4rt.Profile         { return p4rt.Softswitch() }
func (t *inMemory) lost() uint64                  { return t.server.Stats().PacketInsDropped }
func (t *inMemory) dial(ctx context.Context) (p4rt.Conn, error) {
	dialer := func(ctx context.Context, _ string) (net.Conn, error) { return t.listener.DialContext(ctx) }
	return p4rt.Dialer("passthrough:///"+t.edge, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(dialer))(ctx)
}

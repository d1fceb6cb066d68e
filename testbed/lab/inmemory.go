package lab

import (
	"context"
	"net"
	"path/filepath"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/softswitch"
	"github.com/weft-sdn/weft/softswitch/port"
)

// connBuffer is the room of a connection in memory, in bytes per direction.
const connBuffer = 1 << 20

// inMemory is a softswitch in this process. Others share with it the frames on the cables and the bytes of gRPC connections, in memory or over a socket.
type inMemory struct {
	edge     string
	ways     p4rt.Profile
	server   *softswitch.Server
	listener net.Listener
	memory   *bufconn.Listener // nil: listener is the socket
	socket   string            // empty: listener is in memory
}

func newInMemory(cfg targetConfig, reachable bool, options []grpc.ServerOption) (_ target, err error) {
	ports := make(map[uint16]port.Port, len(cfg.ports))
	for n, end := range cfg.ports {
		ports[n] = end.Port()
	}
	t := &inMemory{edge: cfg.edge, ways: cfg.profile()}
	var quirks softswitch.Quirks
	if cfg.stratum {
		quirks = softswitch.Stratum()
	}
	t.server, err = softswitch.New(softswitch.Options{DeviceID: cfg.deviceID, CPUPort: offload.CPUPort, Ports: ports, Quirks: quirks, Logger: cfg.logger, GRPC: options})
	if err != nil {
		return nil, err
	}
	if !reachable {
		t.memory = bufconn.Listen(connBuffer)
		t.listener = t.memory
		return t, nil
	}
	t.socket = filepath.Join(cfg.dir, cfg.edge+".p4rt")
	t.listener, err = net.Listen("unix", t.socket)
	return t, err
}

func (t *inMemory) run(ctx context.Context) error { return t.server.Serve(ctx, t.listener) }
func (t *inMemory) serves(context.Context) error  { return nil }
func (t *inMemory) profile() p4rt.Profile         { return t.ways }
func (t *inMemory) lost() (frames, packetIns uint64) {
	return 0, t.server.Stats().PacketInsDropped
}

func (t *inMemory) lossy() bool { return false }

func (t *inMemory) address() string {
	if t.socket == "" {
		return ""
	}
	return "unix:" + t.socket
}

func (t *inMemory) dial(ctx context.Context) (p4rt.Conn, error) {
	address, options := t.gnmi() // one server has both services
	return p4rt.Dialer(address, options...)(ctx)
}

func (t *inMemory) gnmi() (string, []grpc.DialOption) {
	if t.memory == nil {
		return "unix:" + t.socket, plain()
	}
	dialer := func(ctx context.Context, _ string) (net.Conn, error) { return t.memory.DialContext(ctx) }
	return "passthrough:///" + t.edge, append(plain(), grpc.WithContextDialer(dialer))
}

// dialSocket connects to the gRPC server at a unix socket.
func dialSocket(ctx context.Context, path string) (p4rt.Conn, error) {
	return p4rt.Dialer("unix:"+path, plain()...)(ctx)
}

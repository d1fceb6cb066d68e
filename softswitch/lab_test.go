package softswitch

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/weft-sdn/weft/softswitch/port"
)

const (
	labDevice = 7
	labCPU    = 510
)

// lab is a switch with ports 1…4 whose other ends the test holds, and a client.
type lab struct {
	t      testing.TB
	server *Server
	conn   *grpc.ClientConn
	client p4v1.P4RuntimeClient
	ends   map[uint16]*port.End
	info   *configv1.P4Info

	mu  sync.Mutex
	now time.Time
}

func (l *lab) clock() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

func (l *lab) advance(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = l.now.Add(d)
}

func newLab(t testing.TB) *lab {
	t.Helper()
	return newQuirkyLab(t, Quirks{})
}

func newQuirkyLab(t testing.TB, quirks Quirks) *lab {
	t.Helper()
	return newLabOf(t, quirks, 1, 2, 3, 4)
}

func newLabOf(t testing.TB, quirks Quirks, numbers ...uint16) *lab {
	t.Helper()
	l := &lab{t: t, ends: map[uint16]*port.End{}, now: time.Unix(1_000_000, 0)}
	ports := map[uint16]port.Port{}
	for _, n := range numbers {
		inner, outer := port.NewLink(fmt.Sprintf("p%d", n), "host", 0)
		ports[n], l.ends[n] = inner, outer
	}
	var err error
	l.server, err = New(Options{DeviceID: labDevice, CPUPort: labCPU, Ports: ports, Now: l.clock, SweepInterval: time.Hour, Quirks: quirks})
	if err != nil {
		t.Fatal(err)
	}
	listener := bufconn.Listen(1 << 20)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.server.Serve(ctx, listener) }()
	conn, err := grpc.NewClient("passthrough:///lab",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(maxMessage)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	l.conn, l.client = conn, p4v1.NewP4RuntimeClient(conn)
	return l
}

// primary opens a stream, becomes primary and sets the probe pipeline.
func (l *lab) primary() *controller {
	l.t.Helper()
	c := l.connect("")
	c.arbitrate(1)
	c.want(0)
	c.push(p4v1.SetForwardingPipelineConfigRequest_VERIFY_AND_COMMIT, l.probe())
	return c
}

// probe is the configuration of testdata/probe.p4.
func (l *lab) probe() *p4v1.ForwardingPipelineConfig {
	l.t.Helper()
	config := probeConfig(l.t)
	l.info = config.P4Info
	return config
}

func probeConfig(t testing.TB) *p4v1.ForwardingPipelineConfig {
	t.Helper()
	json, err := os.ReadFile("testdata/probe.json")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/probe.p4info.txtpb")
	if err != nil {
		t.Fatal(err)
	}
	info := &configv1.P4Info{}
	if err := prototext.Unmarshal(text, info); err != nil {
		t.Fatal(err)
	}
	return &p4v1.ForwardingPipelineConfig{P4Info: info, P4DeviceConfig: json,
		Cookie: &p4v1.ForwardingPipelineConfig_Cookie{Cookie: 42}}
}

// controller is one client with its stream.
type controller struct {
	*lab
	role   string
	elect  uint64 // election id last sent
	stream p4v1.P4Runtime_StreamChannelClient
	cancel context.CancelFunc
}

func (l *lab) connect(role string) *controller {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	l.t.Cleanup(cancel)
	stream, err := l.client.StreamChannel(ctx)
	if err != nil {
		l.t.Fatal(err)
	}
	return &controller{lab: l, role: role, stream: stream, cancel: cancel}
}

func (c *controller) send(msg *p4v1.StreamMessageRequest) {
	c.t.Helper()
	if err := c.stream.Send(msg); err != nil {
		c.t.Fatal(err)
	}
}

func (c *controller) recv() *p4v1.StreamMessageResponse {
	c.t.Helper()
	msg, err := c.stream.Recv()
	if err != nil {
		c.t.Fatalf("stream: %v", err)
	}
	return msg
}

func (c *controller) arbitrate(id uint64) {
	c.t.Helper()
	c.elect = id
	c.offer(&p4v1.MasterArbitrationUpdate{DeviceId: labDevice, ElectionId: &p4v1.Uint128{Low: id}})
}

func (c *controller) offer(msg *p4v1.MasterArbitrationUpdate) {
	c.t.Helper()
	if c.role != "" && msg.Role == nil {
		msg.Role = &p4v1.Role{Name: c.role}
	}
	c.send(&p4v1.StreamMessageRequest{Update: &p4v1.StreamMessageRequest_Arbitration{Arbitration: msg}})
}

// want receives an arbitration notice and checks its status.
func (c *controller) want(code int32) *p4v1.MasterArbitrationUpdate {
	c.t.Helper()
	msg := c.recv().GetArbitration()
	if msg == nil {
		c.t.Fatal("no arbitration message")
	}
	if msg.GetStatus().GetCode() != code {
		c.t.Fatalf("arbitration status = %v, want code %d", msg.GetStatus(), code)
	}
	return msg
}

func (c *controller) push(action p4v1.SetForwardingPipelineConfigRequest_Action, config *p4v1.ForwardingPipelineConfig) {
	c.t.Helper()
	if err := c.tryPush(action, config); err != nil {
		c.t.Fatalf("%v: %v", action, err)
	}
}

func (c *controller) tryPush(action p4v1.SetForwardingPipelineConfigRequest_Action, config *p4v1.ForwardingPipelineConfig) error {
	_, err := c.client.SetForwardingPipelineConfig(context.Background(), &p4v1.SetForwardingPipelineConfigRequest{
		DeviceId: labDevice, Role: c.role, ElectionId: &p4v1.Uint128{Low: c.elect}, Action: action, Config: config})
	return err
}

func (c *controller) tryWrite(atomicity p4v1.WriteRequest_Atomicity, updates ...*p4v1.Update) error {
	_, err := c.client.Write(context.Background(), &p4v1.WriteRequest{
		DeviceId: labDevice, Role: c.role, ElectionId: &p4v1.Uint128{Low: c.elect}, Updates: updates, Atomicity: atomicity})
	return err
}

func (c *controller) write(updates ...*p4v1.Update) {
	c.t.Helper()
	if err := c.tryWrite(p4v1.WriteRequest_CONTINUE_ON_ERROR, updates...); err != nil {
		c.t.Fatal(explain(err))
	}
}

func (l *lab) tryRead(entities ...*p4v1.Entity) (out []*p4v1.Entity, pages int, err error) {
	stream, err := l.client.Read(context.Background(), &p4v1.ReadRequest{DeviceId: labDevice, Entities: entities})
	if err != nil {
		return nil, 0, err
	}
	for {
		page, err := stream.Recv()
		if err != nil {
			if err.Error() == "EOF" {
				return out, pages, nil
			}
			return out, pages, err
		}
		pages++
		out = append(out, page.GetEntities()...)
	}
}

func (l *lab) read(entities ...*p4v1.Entity) []*p4v1.Entity {
	l.t.Helper()
	out, _, err := l.tryRead(entities...)
	if err != nil {
		l.t.Fatal(explain(err))
	}
	return out
}

// frames receives n frames at the far end of a port.
func (l *lab) frames(number uint16, n int) [][]byte {
	l.t.Helper()
	var out [][]byte
	batch := port.NewBatch(1)
	for len(out) < n {
		if _, err := l.ends[number].Recv(batch.Frames, batch.Sizes); err != nil {
			l.t.Fatal(err)
		}
		out = append(out, append([]byte(nil), batch.Frames[0][:batch.Sizes[0]]...))
	}
	return out
}

func (l *lab) inject(number uint16, frames ...[]byte) {
	l.t.Helper()
	if n, err := l.ends[number].Send(frames); err != nil || n != len(frames) {
		l.t.Fatalf("sent %d of %d frames: %v", n, len(frames), err)
	}
}

// enlarge gives a table of a program room for more entries.
func enlarge(t testing.TB, program []byte, name string, size int) []byte {
	t.Helper()
	var root map[string]any
	if err := json.Unmarshal(program, &root); err != nil {
		t.Fatal(err)
	}
	for _, p := range root["pipelines"].([]any) {
		for _, table := range p.(map[string]any)["tables"].([]any) {
			if table := table.(map[string]any); table["name"] == name {
				table["max_size"] = size
			}
		}
	}
	out, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/weft-sdn/weft/softswitch/port"
)

func TestParsePort(t *testing.T) {
	for _, tc := range []struct {
		text   string
		number uint16
		spec   string
		ok     bool
	}{
		{"1@eth0", 1, "eth0", true},
		{"0@tap:a", 0, "tap:a", true},
		{"65535@unix:/tmp/x@y", 65535, "unix:/tmp/x@y", true},
		{"65536@eth0", 0, "", false},
		{"eth0", 0, "", false},
		{"1@", 0, "", false},
		{"@eth0", 0, "", false},
		{"1@tap:", 0, "", false},
		{"-1@eth0", 0, "", false},
	} {
		number, spec, err := ParsePort(tc.text)
		if number != tc.number || spec != tc.spec || (err == nil) != tc.ok {
			t.Errorf("ParsePort(%q) = %d, %q, %v", tc.text, number, spec, err)
		}
	}
}

func TestCommandLineErrors(t *testing.T) {
	for _, tc := range []struct{ args, want string }{
		{"", "no program"},
		{"a.json b.json", "one program"},
		{"--no-p4 a.json", "goes without a program"},
		{"--no-p4 --p4info x", "goes with a program"},
		{"--no-p4 -- --what", "target options"},
		{"--no-p4 -- what", "not an option"},
		{"--no-p4 -i eth0", "want PORT@IFACE"},
		{"--no-p4 --profile tofino", "want strict, bmv2, stratum, dpdk or pins"},
		{"--no-p4 --impair 1:loss=2", "loss 2 is not in"},
		{"--no-p4 --impair 1:loss=0.5", "there is no port 1"},
		{"/nonexistent.json", "program"},
		{"--no-p4 -i 1@unix:$DIR/a -i 1@unix:$DIR/b", "twice"},
		{"--no-p4 -i 510@unix:$DIR/a --cpu-port 510", "is the CPU port"},
		{"--no-p4 --grpc-server-addr 127.0.0.1:x", "grpc server"},
		{"../testdata/probe.p4", "program ../testdata/probe.p4"},
		{"--p4info ../testdata/probe.p4 ../testdata/probe.json", "p4info"},
	} {
		cmd := NewCommand()
		cmd.SetArgs(strings.Fields(strings.ReplaceAll(tc.args, "$DIR", t.TempDir())))
		var out bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		err := cmd.ExecuteContext(context.Background())
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want one with %q", tc.args, err, tc.want)
		}
	}
}

// TestRunAsBmv2 starts the command as one starts simple_switch_grpc.
func TestRunAsBmv2(t *testing.T) {
	dir := t.TempDir()
	far, err := port.Open("unix:" + filepath.Join(dir, "link"))
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	received := make(chan []byte, 1)
	go func() {
		b := port.NewBatch(1)
		if _, err := far.Recv(b.Frames, b.Sizes); err == nil {
			received <- b.Frames[0][:b.Sizes[0]]
		}
	}()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cmd := NewCommand()
	socket := filepath.Join(dir, "grpc")
	cmd.SetArgs([]string{"-i", "2@unix:" + filepath.Join(dir, "link"), "--device-id", "9", "--pcap", dir,
		"--p4info", "../testdata/probe.p4info.txtpb", "../testdata/probe.json", "--", "--cpu-port", "510", "--grpc-server-addr", "unix:" + socket})
	var log bytes.Buffer
	cmd.SetErr(&log)
	done := make(chan error, 1)
	go func() { done <- cmd.ExecuteContext(ctx) }()

	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	streamCtx, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	stream, err := p4v1.NewP4RuntimeClient(conn).StreamChannel(streamCtx, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(stream.Send(&p4v1.StreamMessageRequest{Update: &p4v1.StreamMessageRequest_Arbitration{
		Arbitration: &p4v1.MasterArbitrationUpdate{DeviceId: 9, ElectionId: &p4v1.Uint128{Low: 1}}}}))
	_, err = stream.Recv()
	must(err)
	payload := []byte("a frame, as good as any")
	send := &p4v1.StreamMessageRequest{Update: &p4v1.StreamMessageRequest_Packet{Packet: &p4v1.PacketOut{Payload: payload,
		Metadata: []*p4v1.PacketMetadata{{MetadataId: 1, Value: []byte{2}}, {MetadataId: 2, Value: []byte{0}}}}}}
	tick := time.NewTicker(20 * time.Millisecond) // until both ends of the link have met
	defer tick.Stop()
	for got := []byte(nil); got == nil; {
		must(stream.Send(send))
		select {
		case got = <-received:
			if !bytes.Equal(got, payload) {
				t.Errorf("received %x, want %x", got, payload)
			}
		case <-tick.C:
		case <-streamCtx.Done():
			t.Fatal("no frame came")
		}
	}
	cancel()
	must(<-done)
	if info, err := os.Stat(filepath.Join(dir, "port2.pcap")); err != nil || info.Size() <= 24 {
		t.Errorf("capture: %v, %v", info, err)
	}
	if !strings.Contains(log.String(), fmt.Sprintf("device=%d", 9)) {
		t.Errorf("log: %s", log.String())
	}
}

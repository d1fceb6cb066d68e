package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// notify is a log that tells when it says something.
type notify struct {
	bytes.Buffer
	want string
	seen chan struct{}
}

func (n *notify) Write(b []byte) (int, error) {
	if strings.Contains(string(b), n.want) {
		close(n.seen)
		n.want = "\x00"
	}
	return n.Buffer.Write(b)
}

// TestUseFiles starts a switch as one would start simple_switch_grpc for a test
// on pcap files, with flags that mean nothing here.
func TestUseFiles(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	var b bytes.Buffer
	w := pcapgo.NewWriter(&b)
	if err := w.WriteFileHeader(1<<14, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	// a packet-out of the probe program: from the CPU port to port 2
	frame := append([]byte{1, 0}, bytes.Repeat([]byte{0xab}, 20)...)
	if err := w.WritePacket(gopacket.CaptureInfo{CaptureLength: len(frame), Length: len(frame)}, frame); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(in+"_in.pcap", b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	cmd := NewCommand()
	log := &notify{want: "softswitch runs", seen: make(chan struct{})}
	cmd.SetErr(log)
	cmd.SetArgs([]string{"-i", "510@" + in, "-i", "2@" + out, "--use-files", "0", "--thrift-port", "9090", "--log-level", "debug",
		"--debugger", "../testdata/probe.json", "--", "--grpc-server-addr", "127.0.0.1:0"})
	done := make(chan error)
	go func() { done <- cmd.ExecuteContext(ctx) }()
	<-log.seen
	path := out + "_out.pcap"
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for { // the frame comes, or the test runs out of time
		if data, err := os.ReadFile(path); err == nil && bytes.Contains(data, frame[2:]) {
			break
		}
		<-tick.C
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for _, want := range []string{"flag=--thrift-port", "flag=--debugger"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log lacks %q:\n%s", want, log)
		}
	}
}

func TestLogFlags(t *testing.T) {
	for _, tc := range []struct{ args, want string }{
		{"--no-p4 --log-level loud", "want trace, debug, info"},
		{"--no-p4 --log-console --log-file x", "exclude each other"},
		{"--no-p4 --log-file $DIR/none/x", "--log-file"},
	} {
		cmd := NewCommand()
		cmd.SetErr(&bytes.Buffer{})
		cmd.SetOut(&bytes.Buffer{})
		cmd.SetArgs(strings.Fields(strings.ReplaceAll(tc.args, "$DIR", t.TempDir())))
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.args, err, tc.want)
		}
	}
}

// TestSTF: the error, and with it the exit status, tells whether scripts passed.
func TestSTF(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.stf")
	if err := os.WriteFile(bad, []byte("packet 1 00\nexpect 2 00"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		scripts        []string
		wrong          string
		stdout, stderr string
	}{
		{[]string{"../stf/testdata/forward.stf", "../stf/testdata/replicate.stf"}, "", "ok   ../stf/testdata/replicate.stf", ""},
		{[]string{"../stf/testdata/forward.stf", bad}, "1 of 2 scripts failed", "ok ", "bad.stf:2: port 2: packet 1 of 1 did not come"},
		{[]string{"nothing.stf"}, "1 of 1 scripts failed", "", "no such file"},
	} {
		var stdout, stderr bytes.Buffer
		cmd := NewCommand()
		cmd.SetOut(&stdout)
		cmd.SetErr(&stderr)
		cmd.SetArgs(append([]string{"stf", "../testdata/probe.json", "../testdata/probe.p4info.txtpb"}, tc.scripts...))
		err := cmd.ExecuteContext(t.Context())
		if (err == nil) != (tc.wrong == "") || err != nil && !strings.Contains(err.Error(), tc.wrong) {
			t.Errorf("%v: %v, want %q", tc.scripts, err, tc.wrong)
		}
		if !strings.Contains(stdout.String(), tc.stdout) || !strings.Contains(stderr.String(), tc.stderr) {
			t.Errorf("%v: printed %q and %q", tc.scripts, &stdout, &stderr)
		}
	}
}

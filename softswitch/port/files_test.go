package port

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// writePcap makes a capture of frames.
func writePcap(t *testing.T, path string, frames ...[]byte) {
	t.Helper()
	var b bytes.Buffer
	w := pcapgo.NewWriter(&b)
	if err := w.WriteFileHeader(MaxFrame, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	for _, f := range frames {
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(1, 0), CaptureLength: len(f), Length: len(f)}, f); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFiles(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x")
	writePcap(t, name+"_in.pcap", []byte("first frame"), []byte("second frame"))
	p, err := Open("pcap:" + name)
	if err != nil {
		t.Fatal(err)
	}
	batch := NewBatch(BatchSize)
	n, err := p.Recv(batch.Frames, batch.Sizes)
	if n != 2 || err != nil || string(batch.Frames[1][:batch.Sizes[1]]) != "second frame" {
		t.Fatalf("Recv: %d, %v", n, err)
	}
	if n, err := p.Send([][]byte{[]byte("one"), []byte("two")}); n != 2 || err != nil {
		t.Fatalf("Send: %d, %v", n, err)
	}
	ended := make(chan error)
	go func() {
		_, err := p.Recv(batch.Frames, batch.Sizes)
		ended <- err
	}()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Errorf("Recv after Close: %v", err)
	}
	if _, err := p.Send([][]byte{{1}}); !errors.Is(err, ErrClosed) {
		t.Errorf("Send after Close: %v", err)
	}
	f, err := os.Open(name + "_out.pcap")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"one", "two"} {
		if data, _, err := r.ReadPacketData(); string(data) != want || err != nil {
			t.Errorf("written %q, %v, want %q", data, err, want)
		}
	}
}

// TestFilesWait: Close ends the wait before the first frame.
func TestFilesWait(t *testing.T) {
	p, err := OpenFiles(filepath.Join(t.TempDir(), "none"), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		_, err := p.Recv(make([][]byte, 1), make([]int, 1))
		ended <- err
	}()
	p.Close()
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestFilesErrors(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "bad_in.pcap"), []byte("not a capture file at all"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{filepath.Join(dir, "bad"), filepath.Join(dir, "no", "where")} {
		if p, err := OpenFiles(name, 0); err == nil {
			p.Close()
			t.Errorf("%s opened", name)
		}
	}
}

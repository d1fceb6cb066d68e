package port

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// Files is a port made of two pcap files, as simple_switch has them with
// --use-files: what is in NAME_in.pcap arrives, once and in order, and what is
// sent is written to NAME_out.pcap. A missing NAME_in.pcap is an empty one.
type Files struct {
	name   string
	in     *os.File // nil if there is none
	reader *pcapgo.Reader
	wait   time.Duration
	closed chan struct{}
	close  sync.Once

	mu  sync.Mutex // orders records
	out *os.File
	w   *pcapgo.Writer
}

// OpenFiles opens the port; the first Recv waits for as long as wait says, which
// leaves time to program the switch.
func OpenFiles(name string, wait time.Duration) (*Files, error) {
	p := &Files{name: name, wait: wait, closed: make(chan struct{})}
	in, err := os.Open(name + "_in.pcap")
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("port %s: %w", name, err)
	default:
		p.in = in
		if p.reader, err = pcapgo.NewReader(in); err != nil {
			in.Close()
			return nil, fmt.Errorf("port %s: %s: %w", name, in.Name(), err)
		}
	}
	if p.out, err = os.Create(name + "_out.pcap"); err == nil {
		p.w = pcapgo.NewWriter(p.out)
		err = p.w.WriteFileHeader(MaxFrame, layers.LinkTypeEthernet)
	}
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("port %s: %w", name, err)
	}
	return p, nil
}

// Name implements Port.
func (p *Files) Name() string { return p.name }

// Recv implements Port. At the end of the file it waits for Close.
func (p *Files) Recv(frames [][]byte, sizes []int) (int, error) {
	if p.wait > 0 {
		t := time.NewTimer(p.wait)
		defer t.Stop()
		p.wait = 0
		select {
		case <-t.C:
		case <-p.closed:
			return 0, ErrClosed
		}
	}
	n := 0
	for n < len(frames) && p.reader != nil {
		data, _, err := p.reader.ReadPacketData()
		if errors.Is(err, io.EOF) {
			p.reader = nil
			break
		}
		if err != nil {
			return n, fmt.Errorf("port %s: %w", p.name, err)
		}
		sizes[n] = 0 // too long
		if len(data) <= MaxFrame {
			sizes[n] = copy(frames[n], data)
		}
		n++
	}
	if n == 0 {
		<-p.closed
		return 0, ErrClosed
	}
	return n, nil
}

// Send implements Port.
func (p *Files) Send(frames [][]byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, f := range frames {
		select {
		case <-p.closed:
			return i, ErrClosed
		default:
		}
		if err := p.w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Now(), CaptureLength: len(f), Length: len(f)}, f); err != nil {
			return i, fmt.Errorf("port %s: %w", p.name, err)
		}
	}
	return len(frames), nil
}

// Up implements Port.
func (p *Files) Up() bool { return true }

// Close implements Port.
func (p *Files) Close() error {
	var err error
	p.close.Do(func() {
		close(p.closed)
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, f := range []*os.File{p.in, p.out} {
			if f != nil {
				err = errors.Join(err, f.Close())
			}
		}
	})
	return err
}

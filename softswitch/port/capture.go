package port

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// Capture is a port that also writes every frame, in both directions, as a pcap file.
// A failing file ends the capture, never the traffic.
type Capture struct {
	Port
	now func() time.Time

	mu     sync.Mutex // orders records
	file   *pcapgo.Writer
	failed atomic.Bool
}

// NewCapture wraps p. now stamps the records.
func NewCapture(p Port, w io.Writer, now func() time.Time) (*Capture, error) {
	file := pcapgo.NewWriter(w)
	if err := file.WriteFileHeader(MaxFrame, layers.LinkTypeEthernet); err != nil {
		return nil, fmt.Errorf("capture of port %s: %w", p.Name(), err)
	}
	return &Capture{Port: p, now: now, file: file}, nil
}

// Recv implements Port.
func (c *Capture) Recv(frames [][]byte, sizes []int) (int, error) {
	n, err := c.Port.Recv(frames, sizes)
	for i := range n {
		c.record(frames[i][:sizes[i]])
	}
	return n, err
}

// Send implements Port. What the port did not accept is not recorded.
func (c *Capture) Send(frames [][]byte) (int, error) {
	n, err := c.Port.Send(frames)
	for _, frame := range frames[:n] {
		c.record(frame)
	}
	return n, err
}

// Failed tells whether the file could not be written any more.
func (c *Capture) Failed() bool { return c.failed.Load() }

func (c *Capture) record(frame []byte) {
	if c.failed.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	info := gopacket.CaptureInfo{Timestamp: c.now(), CaptureLength: len(frame), Length: len(frame)}
	if c.file.WritePacket(info, frame) != nil {
		c.failed.Store(true)
	}
}

package wire

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

// snapLength is what the pcap header promises as the longest frame.
const snapLength = 65535

// capture is a pcap file that can be exchanged while frames flow.
type capture struct {
	now func() time.Time
	on  atomic.Bool // keeps frames from taking the lock while nobody captures

	mu   sync.Mutex
	file *pcapgo.Writer
	err  error
}

func (c *capture) start(w io.Writer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.file, c.err = nil, nil
	c.on.Store(false)
	if w == nil {
		return nil
	}
	file := pcapgo.NewWriterNanos(w)
	if err := file.WriteFileHeader(snapLength, layers.LinkTypeEthernet); err != nil {
		return fmt.Errorf("start capture: %w", err)
	}
	c.file = file
	c.on.Store(true)
	return nil
}

func (c *capture) frame(frame []byte) {
	if !c.on.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file == nil {
		return
	}
	info := gopacket.CaptureInfo{Timestamp: c.now(), CaptureLength: len(frame), Length: len(frame)}
	if err := c.file.WritePacket(info, frame); err != nil {
		c.file, c.err = nil, fmt.Errorf("capture: %w", err)
		c.on.Store(false)
	}
}

func (c *capture) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

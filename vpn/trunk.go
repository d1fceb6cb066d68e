package vpn

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"sync/atomic"
)

const (
	maxFrame   = 9216 + 18 + 4
	batchSize  = 64
	linkDepth  = 256     // bursts of frames that wait for a port of a VPN
	linkBytes  = 4 << 20 // of them together
	typeOffset = 12      // of the EtherType: behind the two MACs
	tagLen     = 4
	vlanType   = 0x8100
)

// Port is the agent's end of the data port, by which the edge's switch and the agent exchange frames; softswitch/port has what does it. Recv has one caller at a time.
type Port interface {
	Recv(frames [][]byte, sizes []int) (int, error)
	Send(frames [][]byte) (int, error)
	Close() error
}

// trunk shares a data port among the ports of VPNs, each in a VLAN of its own.
type trunk struct {
	port  Port
	stray atomic.Uint64                 // frames for nobody
	pool  sync.Pool                     // *burst
	out   sync.Pool                     // *[][]byte: frames on their way out
	links [1 << 12]atomic.Pointer[link] // by VLAN
}

func newTrunk(port Port) *trunk {
	t := &trunk{port: port}
	t.pool.New = func() any { return new(burst) }
	t.out.New = func() any { return new([][]byte) }
	return t
}

// run takes frames until ctx ends (nil) or the port is lost.
func (t *trunk) run(ctx context.Context) error {
	shut := sync.OnceFunc(func() { _ = t.port.Close() })
	stop := context.AfterFunc(ctx, shut)
	defer shut()
	defer stop()
	frames, sizes := make([][]byte, batchSize), make([]int, batchSize)
	for i := range frames {
		frames[i] = make([]byte, maxFrame)
	}
	for {
		n, err := t.port.Recv(frames, sizes)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		t.receive(frames[:n], sizes)
	}
}

// burst is frames that came together for one link, without their tags, one after the other.
type burst struct {
	link *link
	data []byte
	ends []int // of each frame in data
}

// receive hands frames to their links: those that follow each other for one in one burst.
func (t *trunk) receive(frames [][]byte, sizes []int) {
	var b *burst
	for i, frame := range frames {
		frame = frame[:sizes[i]]
		l := t.linkOf(frame)
		if l == nil {
			t.stray.Add(1)
			continue
		}
		if b == nil || b.link != l {
			b.pass()
			b = t.pool.Get().(*burst)
			b.link, b.data, b.ends = l, b.data[:0], b.ends[:0]
		}
		b.data = append(append(b.data, frame[:typeOffset]...), frame[typeOffset+tagLen:]...)
		b.ends = append(b.ends, len(b.data))
	}
	b.pass()
}

// linkOf returns the link of a frame's VLAN; nil: there is none.
func (t *trunk) linkOf(frame []byte) *link {
	if len(frame) < typeOffset+tagLen+2 || binary.BigEndian.Uint16(frame[typeOffset:]) != vlanType {
		return nil
	}
	return t.links[binary.BigEndian.Uint16(frame[typeOffset+2:])&0xfff].Load()
}

// pass gives a burst to its link; nil is none.
func (b *burst) pass() {
	if b == nil {
		return
	}
	l, n, bytes := b.link, len(b.ends), int64(len(b.data)) // b is the reader's once it is sent
	if l.waiting.Add(bytes) <= linkBytes {
		select {
		case l.in <- b:
			return
		default:
		}
	}
	l.waiting.Add(-bytes)
	l.counts.overflow.Add(uint64(n))
	l.trunk.pool.Put(b)
}

// link is one VLAN of a trunk: where a port of a VPN is.
type link struct {
	trunk   *trunk
	vlan    uint16
	in      chan *burst
	waiting atomic.Int64 // bytes in it, or on their way there
	now     *burst       // what the reader has taken and not read; its own
	at      int          // the next frame of that
	counts  *counts      // of the VPN
	closed  chan struct{}
	close   func()
}

// link takes a VLAN into use, until the link is closed.
func (t *trunk) link(vlan uint16, c *counts) *link {
	l := &link{trunk: t, vlan: vlan, in: make(chan *burst, linkDepth), counts: c, closed: make(chan struct{})}
	l.close = sync.OnceFunc(func() {
		t.links[vlan].CompareAndSwap(l, nil)
		close(l.closed)
	})
	t.links[vlan].Store(l)
	return l
}

var errLinkClosed = errors.Join(errors.New("vpn: the port is closed"), net.ErrClosed)

// fill waits for a frame that take takes, then gives it as many as are there, most at most. It returns how many take took: place n is that of the next.
func (l *link) fill(most int, take func(frame []byte, n int) bool) (int, error) {
	n := 0
	for n < most {
		if l.now == nil {
			if n > 0 && len(l.in) == 0 {
				return n, nil
			}
			select {
			case l.now = <-l.in:
			case <-l.closed:
				return 0, errLinkClosed
			}
			l.at = 0
		}
		from := 0
		if l.at > 0 {
			from = l.now.ends[l.at-1]
		}
		if take(l.now.data[from:l.now.ends[l.at]], n) {
			n++
		}
		if l.at++; l.at == len(l.now.ends) {
			l.waiting.Add(-int64(len(l.now.data)))
			l.trunk.pool.Put(l.now)
			l.now = nil
		}
	}
	return n, nil
}

// batch is frames that leave together.
type batch struct {
	frames *[][]byte
	n      int
}

// begin begins a batch, to be sent once.
func (l *link) begin() batch { return batch{frames: l.trunk.out.Get().(*[][]byte)} }

// next returns the memory of the batch's next frame, empty; add adds what was made of it.
func (b *batch) next() []byte {
	if b.n == len(*b.frames) {
		*b.frames = append(*b.frames, make([]byte, 0, 2048))
	}
	return (*b.frames)[b.n][:0]
}

// add adds a frame without a tag.
func (b *batch) add(frame []byte) {
	(*b.frames)[b.n] = frame
	b.n++
}

// send sends a batch.
func (l *link) send(b batch) {
	for i, f := range (*b.frames)[:b.n] {
		n := len(f)
		f = append(f, 0, 0, 0, 0)
		copy(f[typeOffset+tagLen:], f[typeOffset:n])
		binary.BigEndian.PutUint16(f[typeOffset:], vlanType)
		binary.BigEndian.PutUint16(f[typeOffset+2:], l.vlan)
		(*b.frames)[i] = f
	}
	n, _ := l.trunk.port.Send((*b.frames)[:b.n]) // that the port is lost, run tells
	l.counts.notTaken.Add(uint64(b.n - n))
	l.trunk.out.Put(b.frames)
}

// sendOne sends what build appends.
func (l *link) sendOne(build func(b []byte) []byte) {
	b := l.begin()
	b.add(build(b.next()))
	l.send(b)
}

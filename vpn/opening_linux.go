package vpn

import (
	"sync"
	"sync/atomic"
	"time"
)

// opening is the packet by which one end of an OpenVPN opens a session, as long as the other has not answered it. It is said again: OpenVPN itself waits 1 s, 2 s, 4 s, which is long while a network learns where a new holder is, or until a daemon has started. Who gets it twice drops one.
type opening struct {
	send func(packet []byte)
	here atomic.Bool // there is one

	mu     sync.Mutex
	packet []byte
	wait   time.Duration
	timer  *time.Timer
	closed bool
}

const (
	firstAgain = 100 * time.Millisecond // and twice as long each time after that
	lastAgain  = 1600 * time.Millisecond
)

// Packets of OpenVPN, by the upper five bits of the first byte.
const (
	opcodeShift    = 3
	clientOpens    = 7 // P_CONTROL_HARD_RESET_CLIENT_V2
	clientOpensV3  = 10
	tunnelPacket   = 6 // P_DATA_V1
	tunnelPacketV2 = 9
)

// opens reports whether a packet is the first one of a client's.
func opens(packet []byte) bool {
	return len(packet) > 0 && (packet[0]>>opcodeShift == clientOpens || packet[0]>>opcodeShift == clientOpensV3)
}

// answers reports whether a packet may be an answer to that. What comes through a tunnel is none: it is of the session before.
func answers(packet []byte) bool {
	return len(packet) > 0 && packet[0]>>opcodeShift != tunnelPacket && packet[0]>>opcodeShift != tunnelPacketV2
}

// said takes what was sent.
func (o *opening) said(packet []byte) {
	if !opens(packet) {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	o.stop()
	o.packet, o.wait = append([]byte(nil), packet...), firstAgain
	o.timer = time.AfterFunc(o.wait, o.again)
	o.here.Store(true)
}

func (o *opening) again() {
	o.mu.Lock()
	packet := o.packet
	if o.wait *= 2; o.wait > lastAgain {
		o.stop()
	} else if packet != nil {
		o.timer.Reset(o.wait)
	}
	o.mu.Unlock()
	if packet != nil {
		o.send(packet)
	}
}

// answered takes what the other end said.
func (o *opening) answered(packet []byte) {
	if !o.here.Load() || !answers(packet) {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stop()
}

// stop forgets what was said. The caller has the lock.
func (o *opening) stop() {
	if o.timer != nil {
		o.timer.Stop()
	}
	o.packet = nil
	o.here.Store(false)
}

// close ends it, but for a packet that is being sent.
func (o *opening) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stop()
	o.closed = true
}

package netns_test

import "sync/atomic"

// direct is one end of a link that delivers each frame while it is sent.
type direct struct {
	peer    *direct
	receive atomic.Pointer[func([]byte)]
}

// Send implements host.Link.
func (d *direct) Send(frame []byte) {
	if receive := d.peer.receive.Load(); receive != nil {
		(*receive)(frame)
	}
}

// SetReceiver implements host.Link.
func (d *direct) SetReceiver(receive func([]byte)) {
	if receive == nil {
		d.receive.Store(nil)
		return
	}
	d.receive.Store(&receive)
}

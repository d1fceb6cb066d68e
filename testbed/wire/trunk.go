package wire

import (
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"
)

const (
	typeOffset = 12 // of the EtherType: behind the two MACs
	tagSize    = 4
	vlanType   = 0x8100
	vlanMask   = 0xfff
)

// Trunk lets several machines share one end of a cable, each in a VLAN of its own, as the virtual functions of a NIC do: what a member sends
// leaves with its tag, what arrives goes to the member of its tag, without it. A member can neither see nor speak in another's VLAN.
// It is safe for concurrent use.
type Trunk struct {
	end           *End
	scratch       sync.Pool // *[]byte: frames on their way out
	stray, forged atomic.Uint64

	mu      sync.RWMutex
	members map[uint16]*Member
}

// NewTrunk takes over an end of a cable, which must not have another receiver.
func NewTrunk(end *End) *Trunk {
	t := &Trunk{end: end, members: map[uint16]*Member{}}
	t.scratch.New = func() any { return new([]byte) }
	end.SetReceiver(t.receive)
	return t
}

// Member returns the attachment of a VLAN (1 to 4094), or the untagged one (0). It is a link as an End is one: in use while it has a receiver.
func (t *Trunk) Member(vlan uint16) *Member {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.members[vlan]
	if m == nil {
		m = &Member{trunk: t, vlan: vlan}
		t.members[vlan] = m
	}
	return m
}

// Stray counts frames that arrived for nobody: no member in use has their VLAN, and there is no untagged one.
func (t *Trunk) Stray() uint64 { return t.stray.Load() }

// Forged counts frames that the untagged member sent with the tag of another member, and that were dropped.
func (t *Trunk) Forged() uint64 { return t.forged.Load() }

func (t *Trunk) receive(frame []byte) {
	vlan, tagged := tag(frame)
	if tagged && t.deliver(vlan, frame, true) || t.deliver(0, frame, false) {
		return
	}
	t.stray.Add(1)
}

// deliver gives a frame to the member of a VLAN; false if there is none in use.
func (t *Trunk) deliver(vlan uint16, frame []byte, untag bool) bool {
	if untag && vlan == 0 {
		return false // a priority tag is no VLAN: it stays (802.1Q)
	}
	receive := t.inUse(vlan)
	if receive == nil {
		return false
	}
	if untag {
		copy(frame[tagSize:], frame[:typeOffset])
		frame = frame[tagSize:]
	}
	(*receive)(frame)
	return true
}

func (t *Trunk) inUse(vlan uint16) *func([]byte) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if m := t.members[vlan]; m != nil {
		return m.receive.Load()
	}
	return nil
}

// tag reads the VLAN of a frame that is long enough to have one.
func tag(frame []byte) (vlan uint16, tagged bool) {
	if len(frame) < typeOffset+tagSize+2 || binary.BigEndian.Uint16(frame[typeOffset:]) != vlanType {
		return 0, false
	}
	return binary.BigEndian.Uint16(frame[typeOffset+2:]) & vlanMask, true
}

// Member is one machine's attachment to a trunk.
type Member struct {
	trunk   *Trunk
	vlan    uint16
	receive atomic.Pointer[func(frame []byte)]
}

// SetReceiver sets who gets the frames of the member, as End.SetReceiver does; nil takes the member out of use.
func (m *Member) SetReceiver(receive func(frame []byte)) {
	if receive == nil {
		m.receive.Store(nil)
		return
	}
	m.receive.Store(&receive)
}

// WaitRoom waits as End.WaitRoom does.
func (m *Member) WaitRoom(ctx context.Context) error { return m.trunk.end.WaitRoom(ctx) }

// Send puts a copy of frame on the cable, with the member's tag outside whatever tag it has.
func (m *Member) Send(frame []byte) {
	t := m.trunk
	if m.vlan == 0 {
		if vlan, tagged := tag(frame); tagged && vlan != 0 && t.inUse(vlan) != nil {
			t.forged.Add(1)
			return
		}
		t.end.Send(frame)
		return
	}
	if len(frame) < typeOffset {
		t.end.Send(frame) // too short for a tag: whoever receives it drops it
		return
	}
	scratch := t.scratch.Get().(*[]byte)
	defer t.scratch.Put(scratch)
	out := append((*scratch)[:0], frame[:typeOffset]...)
	out = binary.BigEndian.AppendUint16(out, vlanType)
	out = binary.BigEndian.AppendUint16(out, m.vlan)
	out = append(out, frame[typeOffset:]...)
	*scratch = out
	t.end.Send(out)
}

package pipeline

// The way of a packet:
//
//  1. parser, verification of checksums                 parse
//  2. ingress                                           control
//  3. clone, digest, then one of resubmit, multicast,
//     drop and unicast                                  afterIngress
//  4. egress, once per copy                             egress
//  5. clone, then drop, or update of checksums and
//     deparser, then recirculate or emit                afterEgress
//
// The order in 3 and 5 is that of simple_switch. A packet runs to completion:
// copies run before Process returns, each in a context of its own. Egress clones and
// recirculated packets wait until what is under way is through, as they do in
// simple_switch's queues.

// Instance types of v1model.
const (
	instNormal       = 0
	instIngressClone = 1
	instEgressClone  = 2
	instRecirc       = 4
	instReplication  = 5
	instResubmit     = 6
)

// maxPasses bounds how often a packet and its descendants may be resubmitted,
// recirculated and cloned, counted along one line of descent.
const maxPasses = 32

// maxCopies bounds the copies that one received frame may cause in all.
const maxCopies = 1 << 14

// Process runs one packet from an ingress port to the ports it leaves by. The
// frame is only read, and not after Process returns. Safe for concurrent use.
func (m *Machine) Process(port uint16, frame []byte) {
	c := m.get()
	if m.prog.needsTime {
		c.now = m.clock()
	}
	m.received.Add(1)
	c.process(port, frame)
	m.put(c)
}

// ProcessBatch is Process for frames[i][:sizes[i]], in order, all of which have arrived now;
// those of size 0 are skipped.
func (m *Machine) ProcessBatch(port uint16, frames [][]byte, sizes []int) {
	c := m.get()
	if m.prog.needsTime {
		c.now = m.clock()
	}
	n := 0
	for i, size := range sizes {
		if size > 0 {
			c.process(port, frames[i][:size])
			n++
		}
	}
	m.received.Add(uint64(n))
	m.put(c)
}

func (c *ctx) process(port uint16, frame []byte) {
	if len(frame) > maxFrame {
		c.m.dropped.Add(1)
		return
	}
	c.pass, c.made, c.root, c.owned = 0, 0, c, false
	c.start(frame)
	std := &c.prog.std
	c.set(&std.ingressPort, uint64(port))
	c.set(&std.packetLength, uint64(len(frame)))
	c.set(&std.ingressTS, uint64(c.now/1000))
	c.ingress()
	if len(c.later) > 0 {
		c.finish()
	}
}

// maxLater bounds the contexts that wait; beyond it copies do not wait for their turn.
const maxLater = 256

// finish runs what was deferred, and what that defers.
func (c *ctx) finish() {
	for i := 0; i < len(c.later); i++ {
		d := c.later[i]
		c.later[i] = deferred{}
		d.run()
		if i+1 == maxLater { // room for more
			c.later = append(c.later[:0], c.later[i+1:]...)
			i = -1
		}
	}
	c.later = c.later[:0]
}

func (d deferred) run() {
	if d.replicas == nil {
		d.c.ingress()
	} else {
		d.c.replicate(d.replicas)
	}
	d.c.m.put(d.c)
}

// postpone runs d when the packets that are under way are through.
func (c *ctx) postpone(d deferred) {
	if len(c.root.later) >= 2*maxLater {
		d.run()
		return
	}
	c.root.later = append(c.root.later, d)
}

func (m *Machine) get() *ctx  { return m.pool.Get().(*ctx) }
func (m *Machine) put(c *ctx) { c.frame, c.root = nil, nil; m.pool.Put(c) }

// spawn makes a context for a copy of c; nil, counted, if there are too many.
// deeper marks descendants that could go on forever.
func (c *ctx) spawn(deeper int) *ctx {
	c.root.made++
	if c.pass+deeper > maxPasses || c.root.made > maxCopies {
		c.m.loops.Add(1)
		return nil
	}
	n := c.m.get()
	n.now, n.pass, n.root = c.now, c.pass+deeper, c.root
	return n
}

// ingress runs steps 1 to 5 on a context that start prepared.
func (c *ctx) ingress() {
	c.parse()
	c.loops = 0
	c.run(c.prog.code.ingress)
	c.afterIngress()
}

func (c *ctx) afterIngress() {
	std := &c.prog.std
	if c.cloneSet {
		c.cloneSet = false
		c.ingressClone()
	}
	if c.digest != 0 {
		c.sendDigest()
	}
	switch group, spec := c.f[std.mcast.slot], c.f[std.egressSpec.slot]; {
	case c.resubSet:
		c.again(c.frame, instResubmit, c.resubmit)
	case group != 0:
		c.set(&std.instanceType, instReplication)
		c.multicast(uint32(group))
	case spec == uint64(c.m.dropPort):
		c.m.dropped.Add(1)
	default:
		c.set(&std.instanceType, instNormal)
		c.egress(uint16(spec))
	}
}

// again sends a frame, with the metadata of a field list, through the parser.
func (c *ctx) again(frame []byte, instance, list uint64) {
	n := c.spawn(1)
	if n == nil {
		return
	}
	std := &c.prog.std
	n.start(frame)
	n.arrived(c)
	n.keep(c, list)
	n.set(&std.instanceType, instance)
	n.set(&std.packetLength, uint64(len(frame)))
	if instance == instRecirc {
		n.hold()
		c.postpone(deferred{c: n})
		return
	}
	n.owned = c.owned
	n.ingress()
	c.m.put(n)
}

// arrived gives a copy the port and the time of the packet that it is of; simple_switch
// forgets them.
func (c *ctx) arrived(from *ctx) {
	if c.m.o.PortlessCopies {
		return
	}
	std := &c.prog.std
	c.f[std.ingressPort.slot] = from.f[std.ingressPort.slot]
	c.f[std.ingressTS.slot] = from.f[std.ingressTS.slot]
}

// keep copies the fields of a field list from another packet.
func (c *ctx) keep(from *ctx, list uint64) {
	for _, f := range c.prog.fieldLists[list] {
		if f.varlen {
			c.f[f.slot] = from.f[f.slot]
			copy(c.varBytes(f), from.varBytes(f))
			continue
		}
		copy(c.f[f.slot:f.slot+f.n], from.f[f.slot:f.slot+f.n])
	}
}

// multicast runs egress for every replica; the packet itself ends here.
func (c *ctx) multicast(group uint32) {
	rs, ok := (*c.m.groups.Load())[group]
	if !ok {
		c.m.noGroup.Add(1)
		return
	}
	c.m.replicated.Add(1)
	c.replicate(rs)
}

// replicate runs egress on a copy per replica.
func (c *ctx) replicate(rs []Replica) {
	for _, r := range rs {
		n := c.spawn(0)
		if n == nil {
			return
		}
		c.m.copies.Add(1)
		n.copyFrom(c)
		n.set(&n.prog.std.rid, uint64(r.RID))
		n.egress(r.Port)
		c.m.put(n)
	}
}

// session looks up a clone session; simple_switch keeps 15 bits of the id.
func (c *ctx) session() (CloneSession, bool) {
	s, ok := (*c.m.sessions.Load())[uint32(c.clone&0x7fff)]
	if !ok {
		c.m.noClone.Add(1)
	}
	return s, ok
}

// ingressClone sends the packet as it arrived to egress, parsed again.
func (c *ctx) ingressClone() {
	s, ok := c.session()
	if !ok {
		return
	}
	n := c.spawn(1)
	if n == nil {
		return
	}
	std := &c.prog.std
	n.start(c.frame)
	n.owned = c.owned
	n.f[std.ingressPort.slot] = c.f[std.ingressPort.slot]
	n.parse()
	clear(n.f[:n.prog.meta])
	n.arrived(c)
	n.keep(c, c.cloneList)
	n.set(&std.instanceType, instIngressClone)
	n.cut(s.Truncate)
	n.replicate(s.Replicas)
	c.m.put(n)
}

// egressClone sends the packet as it is after egress through egress again.
func (c *ctx) egressClone() {
	s, ok := c.session()
	if !ok {
		return
	}
	n := c.spawn(1)
	if n == nil {
		return
	}
	n.copyFrom(c)
	n.limit = maxFrame
	std := &c.prog.std
	clear(n.f[:n.prog.meta])
	n.arrived(c)
	n.keep(c, c.cloneList)
	n.set(&std.instanceType, instEgressClone)
	n.cut(s.Truncate)
	if len(s.Replicas) == 0 {
		c.m.put(n)
		return
	}
	if c.owned {
		n.hold()
	}
	c.postpone(deferred{c: n, replicas: s.Replicas})
}

// cut shortens the payload so that the packet has at most limit bytes; headers
// are never cut. 0 means no limit.
func (c *ctx) cut(limit int) {
	length := int(c.f[lengthSlot])
	if limit <= 0 || length <= limit {
		return
	}
	d := min(length-limit, len(c.payload()))
	c.trim += d
	c.f[lengthSlot] -= uint64(d)
}

// payload is what the parser did not consume.
func (c *ctx) payload() []byte { return c.frame[c.f[parsedSlot] : len(c.frame)-c.trim] }

func (c *ctx) sendDigest() {
	d := c.prog.digests[c.digest]
	c.digest = 0
	if d == nil || c.m.o.Digest == nil {
		return
	}
	for len(c.args) < len(d.fields) {
		c.args = append(c.args, nil)
	}
	for i, f := range d.fields {
		if f.varlen {
			c.args[i] = append(c.args[i][:0], c.varBytes(f)...)
			continue
		}
		c.args[i] = grow(c.args[i][:0], (f.width+7)/8)
		putValue(c.args[i], c.f[f.slot:f.slot+f.n])
	}
	c.m.o.Digest(d.name, c.args[:len(d.fields)])
}

// egress runs steps 4 and 5 towards a port.
func (c *ctx) egress(port uint16) {
	std := &c.prog.std
	c.request()
	now := uint64(c.now / 1000)
	c.set(&std.enqTS, now) // there is no queue: its depth and delay are 0
	c.set(&std.egressTS, now)
	c.f[std.enqDepth.slot], c.f[std.deqDelta.slot], c.f[std.deqDepth.slot] = 0, 0, 0
	c.set(&std.egressPort, uint64(port))
	c.set(&std.egressSpec, uint64(c.m.dropPort)+1) // anything that is not drop
	c.set(&std.packetLength, c.f[lengthSlot])
	c.loops = 0
	c.run(c.prog.code.egress)
	c.afterEgress(port)
}

func (c *ctx) afterEgress(port uint16) {
	if c.cloneSet {
		c.cloneSet = false
		c.egressClone()
	}
	if c.f[c.prog.std.egressSpec.slot] == uint64(c.m.dropPort) {
		c.m.dropped.Add(1)
		return
	}
	frame := c.deparseFrame()
	if c.recircSet {
		c.again(frame, instRecirc, c.recirc)
		return
	}
	c.m.emitted.Add(1)
	c.m.o.Emit(port, frame)
}

// emitted is a header in the deparser's order.
type emitted struct {
	valid uint16 // slot
	h     *header
}

// deparseFrame updates checksums and puts the packet together.
func (c *ctx) deparseFrame() []byte {
	for _, k := range c.prog.update {
		k.store(c)
	}
	n := 0
	payload := c.payload()
	// room for all headers, the payload, and eight bytes that deposit may touch
	if need := c.prog.maxHeaders + len(payload) + 8; cap(c.out) < need {
		c.out = make([]byte, need)
	}
	out := c.out[:cap(c.out)]
	f := (*slots)(c.f)
	if entry := c.prog.code.deparse; entry != 0 {
		if r := writeNative(entry, f, c.bytes(), &out[0]); r != stopped {
			n = int(r)
			n += copy(out[n:], payload)
			return out[:min(n, c.limit)]
		}
	}
	for list := c.prog.deparse; len(list) > 0; list = list[1:] {
		if e := &list[0]; f[e.valid&slotMask] != 0 {
			n += c.emitHeader(e.h, out[n:])
		}
	}
	n += copy(out[n:], payload)
	return out[:min(n, c.limit)]
}

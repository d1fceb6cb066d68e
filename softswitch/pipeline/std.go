package pipeline

// resolveStd finds the standard metadata by its v1model name or by the alias
// under which simple_switch knows it. The copies share the program's fields.
func (l *loader) resolveStd() {
	s := &l.p.std
	for _, x := range []struct {
		dst   *field
		names [2]string
	}{
		{&s.ingressPort, [2]string{"standard_metadata", "ingress_port"}},
		{&s.egressSpec, [2]string{"standard_metadata", "egress_spec"}},
		{&s.egressPort, [2]string{"standard_metadata", "egress_port"}},
		{&s.instanceType, [2]string{"standard_metadata", "instance_type"}},
		{&s.packetLength, [2]string{"standard_metadata", "packet_length"}},
		{&s.parserError, [2]string{"standard_metadata", "parser_error"}},
		{&s.checksumError, [2]string{"standard_metadata", "checksum_error"}},
		{&s.mcast, [2]string{"intrinsic_metadata", "mcast_grp"}},
		{&s.rid, [2]string{"intrinsic_metadata", "egress_rid"}},
		{&s.ingressTS, [2]string{"intrinsic_metadata", "ingress_global_timestamp"}},
		{&s.egressTS, [2]string{"intrinsic_metadata", "egress_global_timestamp"}},
		{&s.enqTS, [2]string{"queueing_metadata", "enq_timestamp"}},
		{&s.enqDepth, [2]string{"queueing_metadata", "enq_qdepth"}},
		{&s.deqDelta, [2]string{"queueing_metadata", "deq_timedelta"}},
		{&s.deqDepth, [2]string{"queueing_metadata", "deq_qdepth"}},
	} {
		f := l.p.aliases[x.names[0]+"."+x.names[1]]
		for _, h := range []string{x.names[0], "standard_metadata"} {
			if f != nil {
				break
			}
			f = l.p.lookupField(h, x.names[1])
		}
		if f == nil || f.n != 1 || f.varlen {
			f = &field{name: x.names[1], slot: l.slot(), width: 64, n: 1}
		}
		if f.header != nil && !f.header.metadata {
			f.header.whole = true
		}
		*x.dst = *f
		x.dst.header = nil
		f.std = x.dst
	}
}

func (p *Program) lookupField(h, name string) *field {
	hd := p.byName[h]
	if hd == nil {
		return nil
	}
	for i, d := range hd.typ.fields {
		if d.name == name {
			return hd.fields[i]
		}
	}
	return nil
}

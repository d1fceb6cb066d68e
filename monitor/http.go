package monitor

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// A monitor needs three segments of TCP's many: SYN, one with the whole request, and a reset once the status line has come, which is in the first segment of
// the answer. The request is sent again as the SYN is. So there is no TCP stack here.
//
//	SYN ──SYN ACK──▶ request ──status line──▶ 2xx, 3xx: hit, others: miss; reset

// request is what a server is asked.
func request(mon *topology.Monitor, k topology.MemberKey) []byte {
	host := netip.AddrPortFrom(k.IP(), target(mon, k)).String()
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: weft-monitor\r\nAccept: */*\r\nConnection: close\r\n\r\n", mon.Path, host)
}

// appendRequest appends the segment with the request.
func appendRequest(b []byte, mon *topology.Monitor, k topology.MemberKey, m *member, src netip.Addr) []byte {
	return packet.AppendTCP(b, &packet.TCP{
		Src: src, Dst: k.IP(), SrcPort: m.port, DstPort: target(mon, k), Seq: m.seq + 1, Ack: m.ack, Flags: packet.TCPAck | packet.TCPPsh, Window: 1024,
		Payload: request(mon, k),
	})
}

// lenStatus is that of "HTTP/1.1 200".
const lenStatus = 12

// answered takes a segment of the server's answer.
func (w *Watch) answered(p *topology.Pool, k topology.MemberKey, m *member, f *packet.Frame) {
	seq, ack := binary.BigEndian.Uint32(f.Data[f.L4+4:]), binary.BigEndian.Uint32(f.Data[f.L4+8:])
	switch {
	case f.TCPFlags&packet.TCPRst != 0 && seq == m.ack:
		w.miss(p, k, m, "ends the connection without an answer")
		return
	case f.TCPFlags&packet.TCPAck == 0 || seq != m.ack || ack != m.seq+1+uint32(len(request(p.Monitor, k))):
		return // an acknowledgement of the connection, a retransmission, or not of this connection
	}
	end := min(f.L3+f.IPLen(), len(f.Data))
	data := f.Data[min(f.L4+int(f.Data[f.L4+12]>>4)*4, end):end]
	if len(data) < lenStatus && f.TCPFlags&packet.TCPFin == 0 {
		return // of the request alone, or too short to tell: what follows does not fit, and the probe fails
	}
	w.reset(f)
	switch status := statusOf(data); {
	case status == 0:
		w.miss(p, k, m, "answers something else than HTTP")
	case status < 200 || status > 399:
		w.miss(p, k, m, fmt.Sprintf("answers status %d", status))
	default:
		w.hit(p, k, m)
	}
}

// statusOf reads the status of an answer; 0 if it has none (RFC 9112 section 4).
func statusOf(b []byte) int {
	if len(b) < lenStatus || string(b[:7]) != "HTTP/1." || b[8] != ' ' {
		return 0
	}
	n := 0
	for _, c := range b[9:lenStatus] {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// reset ends the connection of a segment.
func (w *Watch) reset(f *packet.Frame) {
	if b, err := packet.AppendTCPReset(w.buf[:0], f); err == nil {
		w.buf = b
		w.out.Send(b)
	}
}

// open goes on with a connection that the server took.
func (w *Watch) open(p *topology.Pool, k topology.MemberKey, m *member, f *packet.Frame) {
	m.open, m.ack = true, binary.BigEndian.Uint32(f.Data[f.L4+4:])+1
	w.buf = appendRequest(w.buf[:0], p.Monitor, k, m, f.DstAddr())
	w.out.Send(w.buf)
}

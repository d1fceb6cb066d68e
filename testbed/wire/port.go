package wire

import "github.com/weft-sdn/weft/softswitch/port"

// Port is an end of a cable as a switch sees it: frames are pulled.
type Port struct{ end *End }

var _ port.Port = (*Port)(nil)

// Port gives the end to a switch. The end must not have a receiver as well.
func (e *End) Port() *Port { return &Port{end: e} }

// Name implements port.Port.
func (p *Port) Name() string { return p.end.name }

// Recv implements port.Port.
func (p *Port) Recv(frames [][]byte, sizes []int) (int, error) {
	n, open := p.end.in.pull(frames, sizes)
	if !open {
		return 0, port.ErrClosed
	}
	return n, nil
}

// Send implements port.Port.
func (p *Port) Send(frames [][]byte) (int, error) {
	if p.end.in.closed() {
		return 0, port.ErrClosed
	}
	for i, frame := range frames {
		if len(frame) > port.MaxFrame || !p.end.send(frame) {
			return i, nil
		}
	}
	return len(frames), nil
}

// Up implements port.Port.
func (p *Port) Up() bool { return p.end.cable.Up() && !p.end.in.closed() }

// Close implements port.Port. What the other end sends from now on is dropped.
func (p *Port) Close() error {
	p.end.in.close()
	return nil
}

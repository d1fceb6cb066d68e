package vpn

import "golang.zx2c4.com/wireguard/conn"

// noticing is a transport that tells when the message of a handshake came: WireGuard itself tells nobody that a peer is there, or somewhere else.
type noticing struct {
	conn.Bind
	greeted chan struct{} // cap 1
}

// Open implements conn.Bind.
func (n *noticing) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	receive, port, err := n.Bind.Open(port)
	for i, f := range receive {
		receive[i] = func(bufs [][]byte, sizes []int, from []conn.Endpoint) (int, error) {
			got, err := f(bufs, sizes, from)
			for j := range got {
				if isHandshake(bufs[j][:sizes[j]]) {
					select {
					case n.greeted <- struct{}{}:
					default:
					}
				}
			}
			return got, err
		}
	}
	return receive, port, err
}

// isHandshake reports whether a packet looks like the first or second message of a handshake: by its type and length (the WireGuard paper, section 5.4).
func isHandshake(packet []byte) bool {
	const (
		initiation, response             = 1, 2
		initiationLength, responseLength = 148, 92
	)
	switch len(packet) {
	case initiationLength:
		return packet[0] == initiation
	case responseLength:
		return packet[0] == response
	}
	return false
}

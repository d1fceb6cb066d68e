package vpn

import "golang.zx2c4.com/wireguard/conn"

// held is a transport that sends nothing unless the VPN is surely held.
type held struct {
	conn.Bind
	valid  func() bool
	counts *counts
}

// Send implements conn.Bind.
func (h *held) Send(bufs [][]byte, to conn.Endpoint) error {
	if !h.valid() {
		h.counts.notHeld.Add(uint64(len(bufs)))
		return nil
	}
	return h.Bind.Send(bufs, to)
}

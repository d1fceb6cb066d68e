package vpn

import (
	"net/netip"
	"sync"

	"golang.zx2c4.com/wireguard/tun"
)

// pump carries packets between the private port of a VPN and the device of its daemon.
//
//	private port (tun.Device) ◀──▶ pump ◀─ packet socket ─▶ TUN or TAP ◀──▶ daemon
type pump struct {
	private tun.Device
	behind  []netip.Prefix // what a peer may send from; nil: frames, of whatever
	counts  *counts
	running sync.WaitGroup

	mu     sync.Mutex
	device Port // nil: there is none yet, or at the moment
	out    sync.WaitGroup
}

func newPump(private tun.Device, behind []netip.Prefix, c *counts) *pump {
	p := &pump{private: private, behind: behind, counts: c}
	p.running.Go(p.in)
	return p
}

// attach has the pump serve a device, until it is detached.
func (p *pump) attach(device Port) {
	p.detach()
	p.mu.Lock()
	p.device = device
	p.mu.Unlock()
	p.out.Go(func() { p.take(device) })
}

func (p *pump) detach() {
	p.mu.Lock()
	device := p.device
	p.device = nil
	p.mu.Unlock()
	if device != nil {
		_ = device.Close()
		p.out.Wait()
	}
}

// give gives packets to the device.
func (p *pump) give(packets [][]byte) {
	p.mu.Lock()
	device := p.device
	p.mu.Unlock()
	for len(packets) > 0 {
		sent := 0
		if device != nil {
			sent, _ = device.Send(packets) // that it is gone, take tells
		}
		if sent == 0 {
			p.counts.noTransport.Add(uint64(len(packets)))
			return
		}
		packets = packets[sent:]
	}
}

// in takes what is for the tunnel.
func (p *pump) in() {
	bufs, sizes := buffers()
	for {
		n, err := p.private.Read(bufs, sizes, 0)
		if err != nil {
			return
		}
		out := make([][]byte, n)
		for i := range out {
			out[i] = bufs[i][:sizes[i]]
		}
		p.give(out)
	}
}

// take takes what came through the tunnel.
func (p *pump) take(device Port) {
	bufs, sizes := buffers()
	for {
		n, err := device.Recv(bufs, sizes)
		if err != nil {
			return
		}
		out := make([][]byte, 0, n)
		for i := range n {
			if b := bufs[i][:sizes[i]]; p.behind == nil || from(b, p.behind) {
				out = append(out, b)
			} else {
				p.counts.notAllowed.Add(1)
			}
		}
		if len(out) > 0 {
			_, _ = p.private.Write(out, 0) // it has no errors
		}
	}
}

func buffers() (bufs [][]byte, sizes []int) {
	bufs, sizes = make([][]byte, batchSize), make([]int, batchSize)
	for i := range bufs {
		bufs[i] = make([]byte, maxFrame)
	}
	return bufs, sizes
}

// close ends both ways.
func (p *pump) close() {
	_ = p.private.Close()
	p.detach()
	p.running.Wait()
}

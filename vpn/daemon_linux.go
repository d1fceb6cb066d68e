package vpn

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/conn"

	"github.com/weft-sdn/weft/softswitch/port"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// daemon is the tunnel of a VPN that a program carries, in a cell.
type daemon struct {
	site   *topology.VPN
	cell   *cell
	back   func() // gives its user id back
	relay  *relay
	line   *line // by which the daemon calls; nil: it is called
	pump   *pump
	counts *counts
	spis   *spis         // of an IPsec; nil: it is an OpenVPN
	tell   func(p *Peer) // completes what is known of the peer
	peer   *remote
	names
}

const (
	daemonDevice = "weft0"
	daemonPort   = 1194 // at which the daemon is called, in its namespace
)

// newDaemon brings the tunnel of an OpenVPN or IPsec up.
func (s *site) newDaemon(ctx context.Context, rec *state.VPNRecord, hold *state.VPNHold) (carrier, error) {
	spec := &rec.Site.Spec
	d := &daemon{site: rec.Site, counts: s.counts, back: func() {}, peer: &remote{spec: &spec.Peers[0]}, names: newNames(ctx, s.k.cfg.Lookup, 1)}
	err := d.peer.place(rec.Last)
	if err != nil {
		return nil, err
	}
	done := false
	defer func() {
		if !done {
			d.close()
		}
	}()
	as := owner{} // strongSwan makes its device itself
	if spec.TypeOr() == topology.VPNIPsec {
		d.spis = &spis{counts: s.counts}
	} else if as, err = d.own(&s.k.uids); err != nil {
		return nil, err
	}
	if d.cell, err = newCell(s.log, as, s.noteEnded); err != nil {
		return nil, err
	}
	var bind conn.Bind = conn.NewStdNetBind()
	if rec.Site.Public != nil {
		bind = newPublic(s.t, hold.Lock.Public.VLAN, rec.Site, hold.Valid, d.counts)
	}
	called := netip.AddrPortFrom(loopback, daemonPort)
	if spec.ListenPort == 0 {
		called = netip.AddrPort{}
	}
	if d.relay, err = newRelay(d.cell.space, bind, hold.Valid, d.counts, spec.ListenPort, called, d.spis); err != nil {
		return nil, fmt.Errorf("the transport: %w", err)
	}
	if spec.ListenPort == 0 {
		if d.line, called, err = d.relay.caller(); err != nil {
			return nil, fmt.Errorf("the transport: %w", err)
		}
		d.call(time.Now())
	}
	if p := newPrivate(s.t.link(hold.Lock.Private.VLAN, d.counts), spec.MTUOr(), hold.Valid, d.counts); rec.Site.Private.Router {
		d.pump = newPump(newRouted(p, rec.Site), spec.Peers[0].AllowedIPs, d.counts)
	} else {
		d.pump = newPump(newFramed(p), nil, d.counts)
	}
	start := s.startOpenVPN
	if spec.TypeOr() == topology.VPNIPsec {
		start = s.startIPsec
	}
	if err := start(d, rec, called); err != nil {
		return nil, err
	}
	done = true
	return d, nil
}

// own has a daemon be a user of its own, or else nobody.
func (d *daemon) own(all *uids) (owner, error) {
	if all.of == (UIDs{}) {
		return nobody(), nil
	}
	id, err := all.take()
	if err != nil {
		return owner{}, err
	}
	d.back = func() { all.back(id) }
	return owner{id, id}, nil
}

// heard takes a line of its daemon's log; words are what the daemon says of packets that it refuses.
func (d *daemon) heard(line string, words []string) {
	d.cell.log.Debug("the daemon: " + line)
	if refuses(line, words) {
		d.counts.refused.Add(1)
	}
}

// device makes the device of an OpenVPN, which its user may open. It is there as long as the cell.
func (c *cell) device(mode netlink.TuntapMode, mtu uint16) error {
	return c.space.do(func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = daemonDevice
		t := &netlink.Tuntap{LinkAttrs: attrs, Mode: mode, Flags: netlink.TUNTAP_NO_PI, Owner: c.as.uid, Group: c.as.gid}
		if err := netlink.LinkAdd(t); err != nil {
			return fmt.Errorf("make a device: %w", err)
		}
		return setUp(t, mtu)
	})
}

const deviceQueue = 1000 // packets

// setUp sets a device up; the caller is in its namespace.
func setUp(l netlink.Link, mtu uint16) error {
	if err := netlink.LinkSetMTU(l, int(mtu)); err != nil {
		return fmt.Errorf("MTU of a device: %w", err)
	}
	if err := netlink.LinkSetTxQLen(l, deviceQueue); err != nil {
		return fmt.Errorf("queue of a device: %w", err)
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return fmt.Errorf("set a device up: %w", err)
	}
	return nil
}

// open opens the kernel's side of a device.
func (c *cell) open(name string) (device Port, err error) {
	err = c.space.do(func() error {
		device, err = port.OpenInterface(name)
		return err
	})
	return device, err
}

// callAnother is how long a peer that has several addresses may not answer at one.
const callAnother = 15 * time.Second

// call implements carrier: the daemon calls by itself, and where the peer is it is not told.
func (d *daemon) call(now time.Time) time.Time {
	p := d.peer
	if d.line == nil || len(p.at) == 0 {
		return time.Time{}
	}
	if p.calls == 0 || !d.status()[0].Connected {
		_ = d.relay.call(d.line, p.at[p.calls%len(p.at)].String()) // an address and a port
		p.calls++
	}
	if len(p.at) == 1 {
		return time.Time{}
	}
	return now.Add(callAnother)
}

// lookUp implements carrier.
func (d *daemon) lookUp(peers []Peer, now time.Time) { d.begin([]*remote{d.peer}, peers, now) }

// moved implements carrier.
func (d *daemon) moved(f found) bool {
	at := d.peer.name.take(f)
	if at == nil || slices.Equal(at, d.peer.at) || d.status()[0].Connected {
		return false
	}
	d.peer.at, d.peer.calls = at, 0
	return true
}

// ended implements carrier: a daemon that ends is started again.
func (d *daemon) ended() <-chan struct{} { return nil }

// greeted implements carrier: the daemons do not tell.
func (d *daemon) greeted() <-chan struct{} { return nil }

// status implements carrier.
func (d *daemon) status() []Peer {
	p := Peer{Name: d.peer.spec.Name, PublicKey: d.peer.spec.PublicKey, daemon: true}
	if d.tell != nil {
		d.tell(&p)
	}
	if p.Problem = ""; !p.Connected {
		p.Problem = d.cell.complaint()
	}
	return []Peer{p}
}

// endpoint is where the peer is that the daemon knows at an address of the namespace.
func (d *daemon) endpoint(local netip.AddrPort) netip.AddrPort {
	if l := d.lineOf(local); l != nil {
		return d.relay.peerOf(l)
	}
	return netip.AddrPort{}
}

// lineOf is the line of the peer that the daemon knows at an address of the namespace; nil: there is none.
func (d *daemon) lineOf(local netip.AddrPort) *line {
	if d.line != nil {
		return d.line
	}
	return d.relay.lineAt(local)
}

// close implements carrier. The daemon says goodbye while the transport is there.
func (d *daemon) close() {
	if d.cell != nil {
		d.cell.close()
	}
	d.back()
	if d.relay != nil {
		d.relay.close()
	}
	if d.pump != nil {
		d.pump.close()
	}
	d.names.close()
}

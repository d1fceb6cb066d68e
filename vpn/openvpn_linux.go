package vpn

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/weft-sdn/weft/state"
)

// openVPN runs OpenVPN in a cell.
type openVPN struct {
	d       *daemon
	cell    *cell
	server  bool
	conf    string // with the private key: it goes to the daemon by a pipe
	session session
}

// startOpenVPN has OpenVPN carry a tunnel.
func (s *site) startOpenVPN(d *daemon, rec *state.VPNRecord, called netip.AddrPort) error {
	keys, err := s.k.openVPNSecrets(rec)
	if err != nil {
		return err
	}
	defer clear(keys.private)
	mode := netlink.TuntapMode(netlink.TUNTAP_MODE_TUN)
	if !rec.Site.Private.Router {
		mode = netlink.TUNTAP_MODE_TAP
	}
	if err := d.cell.device(mode, rec.Site.Spec.MTUOr()); err != nil {
		return err
	}
	device, err := d.cell.open(daemonDevice)
	if err != nil {
		return err
	}
	d.pump.attach(device)
	if err := os.Mkdir(d.cell.path(clientsDir), 0o700); err != nil {
		return err
	}
	if err := d.cell.give(clientsDir); err != nil {
		return err
	}
	if err := d.cell.write(clientsDir+"/"+clientsFile, openVPNRoutes(rec.Site)); err != nil {
		return err
	}
	at := &place{device: daemonDevice, dir: d.cell.folder.path, relay: called}
	o := &openVPN{d: d, cell: d.cell, server: d.line == nil, conf: openVPNConf(rec.Site, &keys, at)}
	o.session.server = o.server
	d.tell = func(p *Peer) {
		p.Endpoint = d.endpoint(o.session.peer(p))
		if !p.Connected && d.line == nil {
			p.Endpoint = netip.AddrPort{} // it was another's, perhaps
		}
	}
	if p := d.peer.spec; p.PublicKey == "" {
		d.cell.complain("it has no publicKey yet: weft vpn export --peer " + p.Name + " --new-key makes one")
	} else {
		d.cell.run(o.once)
	}
	return nil
}

// once runs the daemon until it ends. It is told to end by a signal, and then says goodbye to its peer; by its management socket when the agent ends, however that does, and then it does not.
func (o *openVPN) once(ctx context.Context) error {
	path := o.cell.path(managementFile)
	_ = os.Remove(path)
	l, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("management socket: %w", err)
	}
	if err := o.cell.give(managementFile); err != nil {
		l.Close()
		return fmt.Errorf("management socket: %w", err)
	}
	talk, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	ctx, cancel := context.WithCancel(ctx)
	var managing sync.WaitGroup
	managing.Go(func() {
		c, err := l.Accept()
		if err == nil {
			o.manage(talk, c)
			cancel() // who does not answer is ended
		}
	})
	err = o.cell.exec(ctx, strings.NewReader(o.conf), nil, goodbyeTime, o.log, "openvpn", "--config", "stdin")
	cancel()
	hangUp()
	l.Close()
	managing.Wait()
	o.session.gone()
	return err
}

// log takes a line of OpenVPN's log. There are no keys in it.
func (o *openVPN) log(line string) {
	o.d.heard(line, openVPNRefuses)
	if strings.Contains(line, "bad source address") { // in the tunnel
		o.d.counts.notAllowed.Add(1)
	}
	if complaint, ok := o.session.logged(line, time.Now()); ok {
		o.cell.complain("")
	} else if complaint != "" {
		o.cell.complain("OpenVPN: " + complaint)
	}
}

const (
	askEvery = time.Second
	// goodbyeTime is what an OpenVPN has for its goodbye, which it says at once. It would stay for 2 s after that, in which nobody has the VPN.
	goodbyeTime = 500 * time.Millisecond
)

// manage has the daemon begin, and takes what it tells, until it closes the connection or does not answer any more.
func (o *openVPN) manage(ctx context.Context, c net.Conn) {
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	var asking sync.WaitGroup
	defer asking.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	asking.Go(func() {
		ask := time.NewTicker(askEvery)
		defer ask.Stop()
		question := "hold off\nhold release\n" // also when it starts again by itself
		if !o.server {
			question = "state on\nbytecount 1\n" + question
		}
		for {
			_ = c.SetWriteDeadline(time.Now().Add(askEvery))
			if _, err := c.Write([]byte(question)); err != nil {
				return
			}
			if question = "status 3\n"; !o.server {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-ask.C:
			}
		}
	})
	for lines := bufio.NewScanner(c); ; {
		if o.server { // it is asked each second
			_ = c.SetReadDeadline(time.Now().Add(10 * askEvery))
		}
		if !lines.Scan() {
			return
		}
		o.session.told(strings.TrimRight(lines.Text(), "\r"))
	}
}

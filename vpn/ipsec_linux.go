package vpn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/strongswan/govici/vici"
	"github.com/vishvananda/netlink"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// ipsec runs strongSwan's IKE daemon in a cell, with ESP by itself behind a TUN: no kernel has to have it.
type ipsec struct {
	d      *daemon
	site   *topology.VPN
	secret string
	called netip.AddrPort // where it calls, in the namespace; if it is called, where the peer was last: invalid, if that is not known

	mu        sync.Mutex
	connected bool
	at        netip.AddrPort // of the peer, in the namespace
	handshake time.Time
	received  meter
	sent      meter
}

const (
	ikeFile    = "strongswan.conf"
	viciFile   = "vici"
	ipsecTUN   = "ipsec0" // as the plugin names it
	startTime  = 10 * time.Second
	answerTime = 30 * time.Second // on a host that is busy
	maxListed  = 64               // SAs with the peer: one, and those that it takes the place of
	startLook  = 20 * time.Millisecond
	weftSA     = "weft" // name of the connection and its child
)

// ikeConf is strongSwan's own configuration. It has no secret. The routes that the plugin insists on are for packets with a mark, which none has: nothing in the cell is to answer what comes through the tunnel.
const ikeConf = `charon-systemd {
  load_modular = no
  load = random nonce openssl pem pubkey kdf kernel-libipsec kernel-netlink socket-default vici
  port = 0
  port_nat_t = %d
  install_routes = no
  install_virtual_ip = no
  # After 0.4, 1, 1.9, 3.3, 5.3 and 8.3 s: packets get lost while the network learns where a new holder is. Who has not answered after 12.9 s is gone.
  retransmit_timeout = 0.4
  retransmit_base = 1.5
  retransmit_tries = 6
  # All that call come from the relay: what is counted by address counts them all as one.
  block_threshold = 0
  cookie_threshold = 3
  half_open_timeout = 10
  init_limit_half_open = 500
  plugins {
    vici {
      socket = unix://%s
    }
    kernel-libipsec {
      allow_peer_ts = yes
    }
    kernel-netlink {
      fwmark = 0x77656674
    }
  }
  journal {
    default = -1
  }
  filelog {
    stderr {
      default = 1
    }
  }
}
`

// startIPsec has strongSwan carry a tunnel.
func (s *site) startIPsec(d *daemon, rec *state.VPNRecord, called netip.AddrPort) error {
	secret, err := s.k.ipsecSecret(rec.Site)
	if err != nil {
		return err
	}
	i := &ipsec{d: d, site: rec.Site, secret: secret, called: called}
	port := daemonPort
	switch {
	case d.line != nil:
		port = 4500 // from which it calls
	case len(d.peer.at) > 0:
		if i.called, err = d.relay.reach(d.peer.at[0]); err != nil {
			return fmt.Errorf("the transport: %w", err)
		}
	default:
		i.called = netip.AddrPort{}
	}
	if err := d.cell.write(ikeFile, fmt.Sprintf(ikeConf, port, d.cell.path(viciFile))); err != nil {
		return err
	}
	if err := d.cell.space.do(func() error { return ownAddresses(selectorsOf(rec.Site)) }); err != nil {
		return err
	}
	d.tell = i.peer
	d.cell.run(i.once)
	return nil
}

// ownAddresses gives loopback an address of each network of this end: the plugin takes no policy without. The caller is in the cell.
func ownAddresses(networks []netip.Prefix) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	for _, which := range []string{"all", "default", "lo"} {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+which+"/disable_ipv6", []byte("0"), 0o644); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("IPv6 of the namespace: %w", err)
		}
	}
	for _, n := range networks {
		if n.Bits() == 0 {
			continue // it has loopback's own
		}
		a, err := netlink.ParseAddr(netip.PrefixFrom(n.Masked().Addr(), n.Addr().BitLen()).String())
		if err == nil {
			err = netlink.AddrReplace(lo, a)
		}
		if err != nil {
			return fmt.Errorf("an address of %v: %w", n, err)
		}
	}
	return nil
}

// once runs the daemon until it ends.
func (i *ipsec) once(ctx context.Context) error {
	c := i.d.cell
	_ = os.Remove(c.path(viciFile))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var managing sync.WaitGroup
	running, ended := context.WithCancel(ctx)
	managing.Go(func() {
		if err := i.manage(running); err != nil {
			cancel(err)
		}
	})
	err := c.exec(ctx, nil, []string{"STRONGSWAN_CONF=" + c.path(ikeFile)}, endTime, i.log, "charon-systemd")
	ended()
	managing.Wait()
	i.d.pump.detach()
	i.d.spis.gone()
	i.mu.Lock()
	i.connected = false
	i.mu.Unlock()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return err
}

// log takes a line of strongSwan's log. There are no keys in it.
func (i *ipsec) log(line string) {
	i.d.heard(line, ipsecRefuses)
	if strings.Contains(line, "discarding inbound IP packet") { // that is not between the networks of both ends
		i.d.counts.notAllowed.Add(1)
	}
	for _, word := range []string{"authentication of", "AUTHENTICATION_FAILED", "AUTH_FAILED", "NO_PROPOSAL_CHOSEN", "TS_UNACCEPTABLE", "giving up after", "no shared key found", "MAC mismatched", "no matching"} {
		if strings.Contains(line, word) && !strings.Contains(line, "successful") && !strings.Contains(line, "(myself)") {
			i.d.cell.complain("IPsec: " + line)
			return
		}
	}
}

// manage gives the daemon its connection, and asks how it is, until it ends.
func (i *ipsec) manage(ctx context.Context) error {
	session, err := i.connect(ctx)
	if err != nil || session == nil {
		return err
	}
	defer session.Close()
	mtu := i.site.Spec.MTUOr()
	if err := i.d.cell.space.do(func() error {
		tun, err := netlink.LinkByName(ipsecTUN)
		if err != nil {
			return fmt.Errorf("strongSwan's ESP by itself (kernel-libipsec, of Debian's libcharon-extra-plugins): %w", err)
		}
		return setUp(tun, mtu)
	}); err != nil {
		return err
	}
	device, err := i.d.cell.open(ipsecTUN)
	if err != nil {
		return err
	}
	i.d.pump.attach(device)
	if err := i.load(ctx, session); err != nil {
		return err
	}
	listed := make(chan vici.Event, maxListed)
	session.NotifyEvents(listed)
	if err := session.Subscribe("list-sa"); err != nil {
		return fmt.Errorf("strongSwan: list-sa: %w", err)
	}
	ask := time.NewTicker(askEvery)
	defer ask.Stop()
	for {
		if err := i.ask(ctx, session, listed); ctx.Err() != nil {
			return nil
		} else if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ask.C:
		}
	}
}

// connect connects to the daemon that has just been started; nil: it ended.
func (i *ipsec) connect(ctx context.Context) (*vici.Session, error) {
	look := time.NewTicker(startLook)
	defer look.Stop()
	late := time.NewTimer(startTime)
	defer late.Stop()
	for {
		session, err := vici.NewSession(vici.WithSocketPath(i.d.cell.path(viciFile)))
		if err == nil {
			return session, nil
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-late.C:
			return nil, fmt.Errorf("strongSwan did not open its socket within %v: %w", startTime, err)
		case <-look.C:
		}
	}
}

// Messages of vici.
type (
	viciSecret struct {
		ID     string   `vici:"id"`
		Type   string   `vici:"type"`
		Data   string   `vici:"data"`
		Owners []string `vici:"owners"`
	}
	viciAuth struct {
		Auth string `vici:"auth"`
		ID   string `vici:"id"`
	}
	viciChild struct {
		Local     []string `vici:"local_ts"`
		Remote    []string `vici:"remote_ts"`
		Proposals []string `vici:"esp_proposals"`
		Start     string   `vici:"start_action"`
		Close     string   `vici:"close_action"`
		DPD       string   `vici:"dpd_action"`
	}
	viciConnection struct {
		Version     string               `vici:"version"`
		LocalAddrs  []string             `vici:"local_addrs"`
		RemoteAddrs []string             `vici:"remote_addrs"`
		LocalPort   string               `vici:"local_port"`
		RemotePort  string               `vici:"remote_port"`
		Encap       string               `vici:"encap"`
		MOBIKE      string               `vici:"mobike"`
		Proposals   []string             `vici:"proposals"`
		DPDDelay    string               `vici:"dpd_delay"`
		KeyingTries string               `vici:"keyingtries"`
		Local       viciAuth             `vici:"local"`
		Remote      viciAuth             `vici:"remote"`
		Children    map[string]viciChild `vici:"children"`
	}
	viciSA struct {
		State       string                 `vici:"state"`
		RemoteHost  string                 `vici:"remote-host"`
		RemotePort  string                 `vici:"remote-port"`
		Established string                 `vici:"established"`
		Children    map[string]viciChildSA `vici:"child-sas"`
	}
	viciChildSA struct {
		State   string `vici:"state"`
		SPI     string `vici:"spi-in"` // in hex
		Install string `vici:"install-time"`
	}
)

// load gives the daemon what it is to do.
func (i *ipsec) load(ctx context.Context, session *vici.Session) error {
	p := i.d.peer.spec
	secret := viciSecret{weftSA, "IKE", i.secret, []string{commonName(i.site.Name), p.Name}}
	child := viciChild{Local: texts(selectorsOf(i.site)), Remote: texts(p.AllowedIPs), Proposals: espProposals, Start: "none", Close: "none", DPD: "clear"}
	c := viciConnection{
		Version: "2", LocalAddrs: []string{loopback.String()}, RemoteAddrs: []string{loopback.String()}, LocalPort: strconv.Itoa(daemonPort), RemotePort: strconv.Itoa(cmp.Or(int(i.called.Port()), 4500)), Encap: "yes", MOBIKE: "no",
		Proposals: ikeProposals, DPDDelay: strconv.Itoa(p.KeepaliveOr()) + "s", KeyingTries: "1", Local: viciAuth{"psk", commonName(i.site.Name)}, Remote: viciAuth{"psk", p.Name},
	}
	if i.d.line != nil {
		c.LocalPort, c.KeyingTries = "4500", "0"
		child.Start, child.Close, child.DPD = "start", "start", "restart"
	}
	c.Children = map[string]viciChild{weftSA: child}
	if err := call(ctx, session, "load-shared", &secret); err != nil {
		return err
	}
	if err := call(ctx, session, "load-conn", map[string]*viciConnection{weftSA: &c}); err != nil {
		return err
	}
	if i.d.line == nil && i.called.IsValid() {
		return i.initiate(ctx, session) // the peer still speaks to the holder before: that it is gone it would find out by its own time limits
	}
	return nil
}

func texts(prefixes []netip.Prefix) []string {
	all := make([]string, len(prefixes))
	for i, p := range prefixes {
		all[i] = p.String()
	}
	return all
}

// ask asks the daemon how its peer is.
func (i *ipsec) ask(ctx context.Context, session *vici.Session, listed <-chan vici.Event) error {
	var newest *viciSA
	now, age := time.Now(), 0
	asked := i.d.spis.asked()
	sas, err := list(ctx, session, listed)
	if err != nil {
		return err
	}
	i.d.spis.told(asked, spisOf(sas))
	for _, sa := range sas {
		if s, err := strconv.Atoi(sa.Established); err == nil && sa.State == "ESTABLISHED" && (newest == nil || s < age) { // one that it took the place of may be there, too
			newest, age = &sa, s
		}
	}
	found := newest != nil && i.take(newest, now)
	if len(sas) == 0 && i.d.line != nil {
		if err := i.initiate(ctx, session); err != nil {
			return err
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.connected = found; found {
		i.d.cell.complain("")
	}
	return nil
}

// spisOf are the SPIs by which a daemon takes ESP.
func spisOf(sas []viciSA) (all []uint32) {
	for i := range sas {
		for _, c := range sas[i].Children {
			if spi, err := strconv.ParseUint(c.SPI, 16, 32); err == nil {
				all = append(all, uint32(spi))
			}
		}
	}
	return all
}

// list has a daemon list its SAs of the peer's. They are events that come ahead of the answer, so that all wait in listed when that has come. CallStreaming of govici 0.8.0 is no good for it: it may take the answer for the end when events wait, too, and who asks next gets those.
func list(ctx context.Context, session *vici.Session, listed <-chan vici.Event) (all []viciSA, err error) {
	if err := call(ctx, session, "list-sas", &struct {
		IKE string `vici:"ike"`
	}{weftSA}); err != nil {
		return nil, err
	}
	for {
		select {
		case e, ok := <-listed:
			if !ok {
				return nil, errors.New("strongSwan: list-sas: it closed the connection")
			}
			sas := map[string]viciSA{}
			if err := vici.UnmarshalMessage(e.Message, sas); err != nil {
				return nil, fmt.Errorf("strongSwan: list-sas: %w", err)
			}
			for _, sa := range sas {
				all = append(all, sa)
			}
		default:
			return all, nil
		}
	}
}

// call has a daemon do a command.
func call(ctx context.Context, session *vici.Session, command string, what any) error {
	m, err := vici.MarshalMessage(what)
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, answerTime) // without, govici waits for 5 s
		defer cancel()
		_, err = session.Call(ctx, command, m)
	}
	if err != nil {
		err = fmt.Errorf("strongSwan: %s: %w", command, err)
	}
	return err
}

// initiate has a daemon call. One that calls gives up when the peer refused it.
func (i *ipsec) initiate(ctx context.Context, session *vici.Session) error {
	return call(ctx, session, "initiate", &struct {
		Child   string `vici:"child"`
		Timeout string `vici:"timeout"`
	}{weftSA, "-1"}) // it does not wait
}

// take takes what there is with a peer; false: nothing that packets go by.
func (i *ipsec) take(sa *viciSA, now time.Time) bool {
	children := slices.DeleteFunc(slices.Collect(maps.Values(sa.Children)), func(c viciChildSA) bool { return c.State != "INSTALLED" })
	host, err := netip.ParseAddr(sa.RemoteHost)
	port, portErr := strconv.ParseUint(sa.RemotePort, 10, 16)
	if sa.State != "ESTABLISHED" || len(children) == 0 || errors.Join(err, portErr) != nil {
		return false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.at = netip.AddrPortFrom(host, uint16(port))
	if i.d.line == nil {
		i.called = i.at // for a daemon that is started again
	}
	for _, c := range children {
		if s, err := strconv.Atoi(c.Install); err == nil {
			if at := now.Add(-time.Duration(s) * time.Second).Truncate(time.Second); at.Sub(i.handshake) > time.Second { // the same, but for rounding
				i.handshake = at
			}
		}
	}
	if l := i.d.lineOf(i.at); l != nil {
		i.received.read(l.received.Load())
		i.sent.read(l.sent.Load())
	}
	return true
}

// peer completes what is known of the peer.
func (i *ipsec) peer(p *Peer) {
	i.mu.Lock()
	defer i.mu.Unlock()
	p.Connected, p.Received, p.Sent = i.connected, i.received.total(), i.sent.total()
	if !i.handshake.IsZero() {
		p.Handshake = i.handshake.UTC()
	}
	if i.connected || i.d.line != nil {
		p.Endpoint = i.d.endpoint(i.at)
	}
}

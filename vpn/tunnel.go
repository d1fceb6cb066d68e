package vpn

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// tunnel is WireGuard between a private port and a transport.
type tunnel struct {
	device *device.Device
	gate   *gate
	peers  []*remote
	stamp  time.Time // of the last holder's handshake: peers refuse earlier ones; zero: there was none
	names

	asking sync.Mutex // of status, and of peers that are made anew
}

// remote is a peer as the tunnel knows it.
type remote struct {
	spec  *topology.VPNPeerSpec
	key   device.NoisePublicKey
	id    string           // the same in hex
	psk   string           // in hex; empty: none
	at    []netip.AddrPort // where it may be, tried in turn; none: that is not known yet
	calls int              // handshakes begun in vain since the tunnel is up, or the peer was found
	last  time.Time        // when the last of those was begun
	next  time.Time        // when the next is due
	name  nameState

	received, sent meter // of wireguard-go, which begins anew with a peer that is made anew
}

// newTunnel brings a tunnel up.
func (s *site) newTunnel(ctx context.Context, rec *state.VPNRecord, hold *state.VPNHold) (*tunnel, error) {
	k, t, c, site := s.k, s.t, s.counts, rec.Site
	private, peers, err := k.secrets(rec)
	if err != nil {
		return nil, err
	}
	w := &tunnel{peers: peers, names: newNames(ctx, k.cfg.Lookup, len(peers))}
	if rec.Last != nil {
		w.stamp = rec.Last.Stamp
	}
	var bind conn.Bind = conn.NewStdNetBind()
	if site.Public != nil {
		bind = newPublic(t, hold.Lock.Public.VLAN, site, hold.Valid, c)
	}
	port := newPrivate(t.link(hold.Lock.Private.VLAN, c), site.Spec.MTUOr(), hold.Valid, c)
	var end tun.Device = newRouted(port, site)
	if site.Spec.Ethernet != nil {
		end = newBridged(port, site)
	}
	w.gate = &gate{Bind: &held{bind, hold.Valid, c}, counts: c, greeted: make(chan struct{}, 1)}
	w.device = device.NewDevice(&outlet{end, w.gate}, w.gate, logger(s.log, w.gate))
	text := "private_key=" + hex.EncodeToString(private[:]) + "\n"
	if site.Spec.ListenPort != 0 {
		text += fmt.Sprintf("listen_port=%d\n", site.Spec.ListenPort)
	}
	for _, p := range w.peers {
		text += p.config()
	}
	if err = w.device.IpcSet(text); err == nil {
		err = w.device.Up()
	}
	if err != nil {
		w.close()
		return nil, fmt.Errorf("WireGuard: %w", err)
	}
	return w, nil
}

// secrets opens what a VPN's holder must know: its private key, and what it has in common with peers.
func (k *Keeper) secrets(rec *state.VPNRecord) (private [keyLen]byte, peers []*remote, err error) {
	if rec.Key == nil {
		return private, nil, errors.New("it has no key yet")
	}
	if private, err = k.cfg.Seal.open(rec.Site.Name, rec.Key); err != nil {
		return private, nil, err
	}
	for i := range rec.Site.Spec.Peers {
		if rec.Site.Spec.Peers[i].PublicKey == "" {
			continue // it has no part yet
		}
		p, err := k.newRemote(rec.Site, &rec.Site.Spec.Peers[i], rec.Last)
		if err != nil {
			return private, nil, err
		}
		peers = append(peers, p)
	}
	return private, peers, nil
}

func (k *Keeper) newRemote(site *topology.VPN, spec *topology.VPNPeerSpec, last *state.VPNLast) (*remote, error) {
	p := &remote{spec: spec}
	if err := p.place(last); err != nil {
		return nil, err
	}
	raw, err := base64.StdEncoding.DecodeString(spec.PublicKey)
	if err != nil || len(raw) != keyLen {
		return nil, fmt.Errorf("peer %s: its public key is none", spec.Name) // it was checked
	}
	p.key, p.id = device.NoisePublicKey(raw), hex.EncodeToString(raw)
	if spec.PresharedKeySecret != "" {
		text, err := k.peerSecret(site, spec)
		if err != nil {
			return nil, err
		}
		if raw, err = base64.StdEncoding.DecodeString(strings.TrimSpace(text)); err != nil || len(raw) != keyLen {
			return nil, fmt.Errorf("peer %s: secret %s: is no key: 32 bytes in base64, as wg genpsk prints, would do", spec.Name, spec.PresharedKeySecret)
		}
		p.psk = hex.EncodeToString(raw)
	}
	return p, nil
}

// config is the peer as wireguard-go's configuration protocol has it.
func (p *remote) config() string {
	var b strings.Builder
	fmt.Fprintf(&b, "public_key=%s\nreplace_allowed_ips=true\npersistent_keepalive_interval=%d\n", p.id, p.spec.Keepalive)
	if p.psk != "" {
		fmt.Fprintf(&b, "preshared_key=%s\n", p.psk)
	}
	if len(p.at) > 0 {
		fmt.Fprintf(&b, "endpoint=%s\n", p.at[p.calls%len(p.at)])
	}
	for _, a := range p.spec.AllowedIPs {
		fmt.Fprintf(&b, "allowed_ip=%s\n", a)
	}
	return b.String()
}

const (
	// firstCall is how long an answer to the first handshake may take before there is another one. A network that has just learnt where the VPN's ports are now loses the first ones, and WireGuard itself
	// waits 5 s before it calls again. It waits half as much longer each time, and calls so often, or until this host's clock has passed what peers refuse.
	firstCall = 300 * time.Millisecond
	maxWait   = 5 * time.Second
	maxCalls  = 8
)

// call begins handshakes with peers that can be called and have not answered yet. It returns when to be called again; zero: not any more.
func (w *tunnel) call(now time.Time) time.Time {
	var again time.Time
	for i, s := range w.status() {
		p := w.peers[i]
		if !s.Handshake.IsZero() || len(p.at) == 0 || p.calls >= maxCalls && p.last.After(w.stamp) {
			continue
		}
		if !now.Before(p.next) {
			wait := firstCall
			for range min(p.calls, maxCalls) {
				wait += wait / 2
			}
			p.last, p.next = now, now.Add(min(wait, maxWait))
			w.callPeer(p)
			p.calls++
		}
		if again.IsZero() || p.next.Before(again) {
			again = p.next
		}
	}
	return again
}

// callPeer begins a handshake. A peer that is made anew does so at once, one that has just begun one does not for 5 s.
func (w *tunnel) callPeer(p *remote) {
	if p.calls > 0 {
		w.asking.Lock()
		w.statusLocked()
		p.received.again()
		p.sent.again()
		_ = w.device.IpcSet("public_key=" + p.id + "\nremove=true\n" + p.config()) // what it takes it took before
		w.asking.Unlock()
	}
	if peer := w.device.LookupPeer(p.key); peer != nil {
		_ = peer.SendHandshakeInitiation(false) // again in a moment
	}
}

// status tells how the peers are, in the order of the spec.
func (w *tunnel) status() []Peer {
	w.gate.ages.turn(time.Now(), w.gate.settle)
	w.asking.Lock()
	defer w.asking.Unlock()
	return w.statusLocked()
}

func (w *tunnel) statusLocked() []Peer {
	all := make([]Peer, len(w.peers))
	for i, p := range w.peers {
		all[i] = Peer{Name: p.spec.Name, PublicKey: p.spec.PublicKey}
	}
	var text bytes.Buffer
	if w.device.IpcGetOperation(&text) != nil {
		return all
	}
	defer clear(text.Bytes()) // it has the private key
	current := new(Peer)
	var sec, nsec int64
	for line := range bytes.Lines(text.Bytes()) {
		name, rest, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte("="))
		if string(name) == "private_key" || string(name) == "preshared_key" {
			continue // not even in a string
		}
		value := string(rest)
		switch string(name) {
		case "public_key":
			at := slices.IndexFunc(w.peers, func(p *remote) bool { return p.id == value })
			if current = new(Peer); at >= 0 {
				current = &all[at]
			}
		case "endpoint":
			if at, err := netip.ParseAddrPort(value); err == nil {
				current.Endpoint = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
			}
		case "last_handshake_time_sec":
			sec, _ = strconv.ParseInt(value, 10, 64)
		case "last_handshake_time_nsec":
			if nsec, _ = strconv.ParseInt(value, 10, 64); sec != 0 || nsec != 0 {
				current.Handshake = time.Unix(sec, nsec).UTC()
			}
		case "tx_bytes":
			current.Sent, _ = strconv.ParseUint(value, 10, 64)
		case "rx_bytes":
			current.Received, _ = strconv.ParseUint(value, 10, 64)
		}
	}
	for i, p := range w.peers {
		p.received.read(all[i].Received)
		p.sent.read(all[i].Sent)
		all[i].Received, all[i].Sent = p.received.total(), p.sent.total()
	}
	return all
}

// greeted implements carrier.
func (w *tunnel) greeted() <-chan struct{} { return w.gate.greeted }

// ended is closed when WireGuard has ended.
func (w *tunnel) ended() <-chan struct{} { return w.device.Wait() }

// close takes the tunnel down: nothing leaves by it any more when it returns.
func (w *tunnel) close() {
	w.device.Close()
	w.gate.ages.end(w.gate.settle)
	w.names.close()
}

// logger has wireguard-go's words in a log. It names peers by the ends of their public keys. What goes wrong with each packet is told once a second.
func logger(log *slog.Logger, g *gate) *device.Logger {
	var errs rate.Sometimes
	errs.Interval = time.Second
	return &device.Logger{
		Verbosef: func(format string, args ...any) {
			g.heard(format)
			if log.Enabled(context.Background(), slog.LevelDebug) {
				log.Debug(fmt.Sprintf(format, args...))
			}
		},
		Errorf: func(format string, args ...any) {
			errs.Do(func() { log.Warn(fmt.Sprintf(format, args...)) })
		},
	}
}

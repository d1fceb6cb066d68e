package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/scenario"
	"github.com/weft-sdn/weft/testbed/wireguard"
	"github.com/weft-sdn/weft/topology"
	"github.com/weft-sdn/weft/vpn"
)

// remotePlan is the remote office of a VPN, with a key of its own that the VPN knows.
type remotePlan struct {
	name, vpn, peer, via string
	privateKey           string
}

// remotes makes the keys of remote offices, and has their VPNs know them, as weft vpn export --new-key does.
func (p *planner) remotes() error {
	for _, r := range p.scenario.Remotes {
		tenant, name, _ := strings.Cut(r.VPN, "/")
		ref := topology.Ref{Kind: topology.KindVPN, Tenant: tenant, Name: name}
		at := slices.IndexFunc(p.plan.objects, func(o *topology.Object) bool { return o.Ref() == ref })
		if at < 0 {
			return fmt.Errorf("line %d: host %s: there is no %v in %s", r.Line, r.Name, ref, scenario.NetworkFile)
		}
		spec := *p.plan.objects[at].Spec.(*topology.VPNSpec)
		spec.Peers = slices.Clone(spec.Peers)
		names := vpn.PeerNames(&topology.VPN{Spec: spec})
		i := slices.Index(names, cmp.Or(r.Peer, names[0]))
		switch {
		case i < 0 || r.Peer == "" && len(names) > 1:
			return fmt.Errorf("line %d: host %s: peer=%s; %v has %s", r.Line, r.Name, r.Peer, ref, strings.Join(names, ", "))
		case spec.Ethernet != nil:
			return fmt.Errorf("line %d: host %s: %v is a cable for Ethernet, and hosts in memory have none", r.Line, r.Name, ref)
		case len(spec.Peers[i].Addresses) == 0:
			return fmt.Errorf("line %d: host %s: peer %s of %v has no addresses", r.Line, r.Name, names[i], ref)
		case spec.Peers[i].PublicKey != "":
			return fmt.Errorf("line %d: host %s: peer %s of %v has a publicKey already; leave it out: the lab makes a key", r.Line, r.Name, names[i], ref)
		}
		private, public, err := vpn.GenerateKey()
		if err != nil {
			return err
		}
		spec.Peers[i].PublicKey = public
		next := *p.plan.objects[at]
		next.Spec = &spec
		p.plan.objects[at] = &next
		p.plan.remotes = append(p.plan.remotes, &remotePlan{name: r.Name, vpn: r.VPN, peer: names[i], via: r.Via, privateKey: private})
	}
	return nil
}

// inMemory are hosts that a namespace can't be: routers, and those by which a remote office's packets go.
func (l *Lab) inMemory() map[string]bool {
	all := l.cfg.Scenario.Routers()
	for _, r := range l.plan.remotes {
		all[r.via] = true
	}
	return all
}

// withRemotes has the remote offices up, by the files that their VPNs export, while something runs.
func (l *Lab) withRemotes(ctx context.Context, run func() error) (err error) {
	for _, r := range l.plan.remotes {
		site, err := l.remote(ctx, r)
		if err != nil {
			return fmt.Errorf("host %s: %w", r.name, err)
		}
		defer site.Close()
		l.Machines.Add(site)
	}
	return run()
}

func (l *Lab) remote(ctx context.Context, r *remotePlan) (*wireguard.Site, error) {
	via, ok := l.Host(r.via).(*host.Host)
	if !ok {
		return nil, errors.New("via: the host is not in memory")
	}
	rec, err := l.waitVPNKey(ctx, r.vpn)
	if err != nil {
		return nil, err
	}
	file, err := vpn.Export(rec, r.peer, r.privateKey)
	if err != nil {
		return nil, err
	}
	cfg, err := wireguard.ParseQuick(file)
	if err != nil {
		return nil, err
	}
	sum := fnv.New32a()
	sum.Write([]byte(r.name))
	n := sum.Sum32()
	cfg.Host.Name, cfg.Host.MAC = r.name, [6]byte{2, 0xef, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
	cfg.Bind = wireguard.Through(via)
	return wireguard.New(cfg)
}

// waitVPNKey waits until an edge that may have a VPN has made its key.
func (l *Lab) waitVPNKey(ctx context.Context, name string) (state.VPNRecord, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		all, err := l.store.VPNs(ctx)
		if r := all[name]; err == nil && r.Site != nil && r.Key != nil {
			return r, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return state.VPNRecord{}, errors.Join(fmt.Errorf("no edge makes a key for VPN %s: %w", name, context.Cause(ctx)), err)
		}
	}
}

package state

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/topology"
)

// Records of a VPN, below vpnPrefix and its name.
const (
	vpnSite = "site"
	vpnLock = "lock"
	vpnKey  = "key"
	vpnLast = "last"
)

func vpnRecord(tenant, name, record string) string {
	return vpnPrefix + tenant + "/" + name + "/" + record
}

// VPNRecord is what the database has of a VPN. Read-only.
type VPNRecord struct {
	Site *topology.VPN // nil: it was deleted
	Lock *VPNLock      // nil: nobody has it
	Key  *VPNKey       // nil: none was made yet
	Last *VPNLast      // nil: nobody has had it

	siteRev, lockRev, keyRev int64
}

// VPNLock says who holds a VPN. It is there as long as the holder's lease, with the bindings of the VPN's ports.
type VPNLock struct {
	Edge    string    `json:"edge"`
	Since   time.Time `json:"since"` // by the holder's clock: for people
	Private VPNPlace  `json:"private"`
	Public  *VPNPlace `json:"public,omitempty"`
}

// VPNPlace is where a port of a VPN is, at the holder.
type VPNPlace struct {
	Interface string `json:"interface"`
	VLAN      uint16 `json:"vlan"`
}

// VPNKey is a VPN's own key.
type VPNKey struct {
	Public      string `json:"public"`                // WireGuard's, in base64; OpenVPN's: SHA-256 of the certificate, in hex with colons
	Certificate []byte `json:"certificate,omitempty"` // OpenVPN's, in DER
	Sealed      []byte `json:"sealed"`                // the private key, which those can open who have the key that it is sealed with
}

// VPNLast is what one holder leaves to the next.
type VPNLast struct {
	Stamp     time.Time                 `json:"stamp"`               // by the holder's clock: it began no handshake later than a little after. Peers refuse handshakes with an earlier stamp (TAI64N)
	Endpoints map[string]netip.AddrPort `json:"endpoints,omitempty"` // where peers were last, by name
}

// take takes one record; value nil: it is gone.
func (r *VPNRecord) take(record string, value []byte, rev int64) error {
	decode := func(into any) error {
		if value == nil {
			return nil
		}
		return json.Unmarshal(value, into)
	}
	var err error
	switch record {
	case vpnSite:
		site := new(topology.VPN)
		if err = decode(site); err == nil {
			r.Site, r.siteRev = site, rev
		}
		if value == nil {
			r.Site = nil
		}
	case vpnLock:
		lock := new(VPNLock)
		if err = decode(lock); err == nil {
			r.Lock, r.lockRev = lock, rev
		}
		if value == nil {
			r.Lock = nil
		}
	case vpnKey:
		key := new(VPNKey)
		if err = decode(key); err == nil {
			r.Key, r.keyRev = key, rev
		}
		if value == nil {
			r.Key = nil
		}
	case vpnLast:
		last := new(VPNLast)
		if err = decode(last); err == nil {
			r.Last = last
		}
		if value == nil {
			r.Last = nil
		}
	default:
		err = ErrCodec
	}
	return err
}

// VPNs returns what the database has of all VPNs, by TENANT/NAME.
func (s *Store) VPNs(ctx context.Context) (map[string]VPNRecord, error) {
	all, _, err := s.readVPNs(ctx)
	return all, err
}

func (s *Store) readVPNs(ctx context.Context) (map[string]VPNRecord, int64, error) {
	resp, err := s.client.Get(ctx, vpnPrefix, clientv3.WithPrefix())
	if err != nil {
		return nil, 0, fmt.Errorf("state: VPNs: %w", err)
	}
	all := map[string]VPNRecord{}
	for _, kv := range resp.Kvs {
		if err := takeVPN(all, string(kv.Key), kv.Value, kv.ModRevision); err != nil {
			return nil, 0, err
		}
	}
	return all, resp.Header.Revision, nil
}

// takeVPN takes a key of a VPN into a map of all.
func takeVPN(all map[string]VPNRecord, key string, value []byte, rev int64) error {
	rest, _ := strings.CutPrefix(key, vpnPrefix)
	parts := strings.Split(rest, "/")
	if len(parts) != 3 {
		return fmt.Errorf("%w: key %q", ErrCodec, key)
	}
	name := parts[0] + "/" + parts[1]
	r := all[name]
	if err := r.take(parts[2], value, rev); err != nil {
		return fmt.Errorf("%w: key %s: %w", ErrCodec, key, err)
	}
	if all[name] = r; r.Site == nil && r.Lock == nil && r.Key == nil && r.Last == nil {
		delete(all, name)
	}
	return nil
}

// WatchVPNs tells of all VPNs, and again each time that something of them changes, until ctx ends (nil). The map is the receiver's.
func (s *Store) WatchVPNs(ctx context.Context, deliver func(map[string]VPNRecord)) error {
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-retry.C:
		}
		err := s.watchVPNs(ctx, deliver)
		if ctx.Err() != nil {
			return nil
		}
		s.log.Warn("VPNs are not followed; trying again", "err", err)
		retry.Reset(watchRetry)
	}
}

// watchVPNs is WatchVPNs until the watch fails.
func (s *Store) watchVPNs(ctx context.Context, deliver func(map[string]VPNRecord)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all, rev, err := s.readVPNs(ctx)
	if err != nil {
		return err
	}
	deliver(maps.Clone(all))
	for resp := range s.client.Watch(clientv3.WithRequireLeader(ctx), vpnPrefix, clientv3.WithPrefix(), clientv3.WithRev(rev+1)) {
		if err := resp.Err(); err != nil {
			return err
		}
		for _, e := range resp.Events {
			value := e.Kv.Value
			if e.Type == clientv3.EventTypeDelete {
				value = nil
			}
			if err := takeVPN(all, string(e.Kv.Key), value, e.Kv.ModRevision); err != nil {
				return err
			}
		}
		if len(resp.Events) > 0 {
			deliver(maps.Clone(all))
		}
	}
	return fmt.Errorf("state: watch of VPNs ended: %w", ctx.Err())
}

// StoreVPNKey stores the key of a VPN that has none; ErrConflict if it has.
func (s *Store) StoreVPNKey(ctx context.Context, name string, key VPNKey) error {
	tenant, short, _ := strings.Cut(name, "/")
	value, err := json.Marshal(key)
	if err != nil {
		return fmt.Errorf("state: key of VPN %s: %w", name, err)
	}
	var t txn
	t.unchanged(vpnRecord(tenant, short, vpnKey), 0)
	t.cmps = append(t.cmps, clientv3.Compare(clientv3.CreateRevision(vpnRecord(tenant, short, vpnSite)), ">", 0))
	t.put(vpnRecord(tenant, short, vpnKey), value)
	if _, err := t.commit(ctx, s.client); err != nil {
		return fmt.Errorf("state: key of VPN %s: %w", name, err)
	}
	return nil
}

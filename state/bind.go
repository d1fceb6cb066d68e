package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/flow"
)

// Binding says where an exterior vport lives (K2, K3): an interface of an edge, and the VLAN on it; 0 is untagged.
type Binding struct {
	VPort     flow.VPortID `json:"vport"`
	Edge      string       `json:"edge"`
	Interface string       `json:"interface"`
	VLAN      uint16       `json:"vlan,omitempty"`
	Tenant    string       `json:"tenant,omitempty"` // of the object that asked for it, with Name
	Name      string       `json:"name,omitempty"`
}

func (b Binding) key() string   { return bindKey(uint32(b.VPort)) }
func (b Binding) iface() string { return ifaceKey(b.Edge, b.Interface, b.VLAN) }

func (b Binding) check() error {
	switch {
	case !b.VPort.IsValid():
		return fmt.Errorf("state: bind: vport %d: an id of 1 to %d would do", b.VPort, maxID)
	case b.Edge == "" || strings.Contains(b.Edge, "/"):
		return fmt.Errorf("state: bind vport %d: edge %q: a name without a slash would do", b.VPort, b.Edge)
	case b.Interface == "" || strings.Contains(b.Interface, "/"):
		return fmt.Errorf("state: bind vport %d: interface %q: a name without a slash would do", b.VPort, b.Interface)
	case b.VLAN > 4094:
		return fmt.Errorf("state: bind vport %d: vlan %d: 1 to 4094, or 0 for untagged, would do", b.VPort, b.VLAN)
	}
	return nil
}

func decodeBinding(key string, value []byte) (Binding, error) {
	id, err := parseBindKey(key)
	if err != nil {
		return Binding{}, err
	}
	var b Binding
	if err := json.Unmarshal(value, &b); err != nil {
		return Binding{}, fmt.Errorf("%w: key %s: %w", ErrCodec, key, err)
	}
	if uint32(b.VPort) != id {
		return Binding{}, fmt.Errorf("%w: key %s holds a binding of vport %d", ErrCodec, key, b.VPort)
	}
	return b, b.check()
}

const casAttempts = 32 // of a read and a conditional write, before giving up with ErrConflict

// bind makes b the place of its vport. An earlier place of the vport is given up in the same transaction; a place that
// another vport has is refused with ErrBound.
func bind(ctx context.Context, kv clientv3.KV, b Binding) (int64, error) {
	if err := b.check(); err != nil {
		return 0, err
	}
	for range casAttempts {
		var t txn
		same, rev, err := planBind(ctx, kv, b, &t)
		if err != nil || same {
			return rev, err
		}
		rev, err = t.commit(ctx, kv)
		if !errors.Is(err, ErrConflict) {
			return rev, err
		}
	}
	return 0, fmt.Errorf("state: bind vport %d: %w", b.VPort, ErrConflict)
}

// planBind adds to t what makes b so; same reports that it is so already, as of rev.
func planBind(ctx context.Context, kv clientv3.KV, b Binding, t *txn) (same bool, rev int64, err error) {
	resp, err := kv.Txn(ctx).Then(clientv3.OpGet(b.key()), clientv3.OpGet(b.iface())).Commit()
	if err != nil {
		return false, 0, fmt.Errorf("state: bind vport %d: %w", b.VPort, err)
	}
	rev = resp.Header.Revision
	held, holder := resp.Responses[0].GetResponseRange().Kvs, resp.Responses[1].GetResponseRange().Kvs
	var heldRev, holderRev int64
	if len(holder) > 0 {
		holderRev = holder[0].ModRevision
		if string(holder[0].Value) != b.VPort.String() {
			return false, rev, fmt.Errorf("%w: interface %s vlan %d of edge %s is bound to vport %s; unbind that, or name another interface or vlan, for vport %d",
				ErrBound, b.Interface, b.VLAN, b.Edge, holder[0].Value, b.VPort)
		}
	}
	if len(held) > 0 {
		heldRev = held[0].ModRevision
		prev, err := decodeBinding(string(held[0].Key), held[0].Value)
		if err != nil {
			return false, rev, err
		}
		if prev == b {
			return true, rev, nil
		}
		if prev.iface() != b.iface() {
			t.delete(prev.iface())
		}
	}
	value, err := json.Marshal(b)
	if err != nil {
		return false, rev, fmt.Errorf("state: bind vport %d: %w", b.VPort, err)
	}
	t.unchanged(b.key(), heldRev)
	t.unchanged(b.iface(), holderRev)
	t.put(b.key(), value)
	t.put(b.iface(), []byte(strconv.FormatUint(uint64(b.VPort), 10)))
	return false, rev, nil
}

// unbind gives up the place of a vport; ErrNotFound if it has none.
func unbind(ctx context.Context, kv clientv3.KV, vport flow.VPortID) (int64, error) {
	key := bindKey(uint32(vport))
	for range casAttempts {
		resp, err := kv.Get(ctx, key)
		if err != nil {
			return 0, fmt.Errorf("state: unbind vport %d: %w", vport, err)
		}
		if len(resp.Kvs) == 0 {
			return resp.Header.Revision, fmt.Errorf("state: unbind vport %d: %w", vport, ErrNotFound)
		}
		prev, err := decodeBinding(key, resp.Kvs[0].Value)
		if err != nil {
			return 0, err
		}
		var t txn
		t.unchanged(key, resp.Kvs[0].ModRevision)
		t.delete(key)
		t.delete(prev.iface())
		rev, err := t.commit(ctx, kv)
		if !errors.Is(err, ErrConflict) {
			return rev, err
		}
	}
	return 0, fmt.Errorf("state: unbind vport %d: %w", vport, ErrConflict)
}

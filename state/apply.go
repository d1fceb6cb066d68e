package state

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

const casAttempts = 64 // of a read and a conditional write, before giving up with ErrConflict

// desired is all of /weft/conf at one generation, kept from one Apply to the next.
type desired struct {
	set        *topology.Set
	generation int64 // modification revision of generationKey; 0 = never written
	ids        idBlock
	top        uint32 // largest id in set: the counter is never taken to be below
}

// Apply puts objects, all or nothing: the outcome is validated as a whole, together with what is stored, and if it isn't valid
// (topology.Errors) or anything fails, nothing changes. Ids are assigned in the same transaction; Status of objects is ignored.
// It returns the revision of the change, or of the last one if there is nothing to change.
func (s *Store) Apply(ctx context.Context, objects []*topology.Object) (int64, error) {
	return s.Change(ctx, objects, nil)
}

// Delete removes objects, all or nothing.
func (s *Store) Delete(ctx context.Context, refs ...topology.Ref) (int64, error) {
	return s.Change(ctx, nil, refs)
}

// Change deletes and puts in one transaction. An object that is in both is replaced, and keeps its id.
func (s *Store) Change(ctx context.Context, put []*topology.Object, del []topology.Ref) (int64, error) {
	return s.change(ctx, func(*topology.Set) ([]*topology.Object, []topology.Ref, error) { return put, del, nil })
}

// Bind puts an exterior vport at an interface of an edge; VLAN 0 is untagged. If it lives elsewhere it moves, in one step (O1).
// An interface and VLAN that another vport has are refused (K3).
func (s *Store) Bind(ctx context.Context, vport topology.Ref, edge, iface string, vlan uint16) (int64, error) {
	return s.change(ctx, func(set *topology.Set) ([]*topology.Object, []topology.Ref, error) {
		name, err := bindingName(set, vport)
		if err != nil {
			return nil, nil, err
		}
		o := &topology.Object{
			APIVersion: topology.APIVersion, Kind: topology.KindBinding,
			Metadata: topology.Metadata{Name: name.Name, Tenant: name.Tenant},
			Spec:     &topology.BindingSpec{VPort: vport.Tenant + "/" + vport.Name, Edge: edge, Interface: iface, VLAN: vlan},
		}
		if old := set.Get(name); old != nil {
			o.Metadata.Labels = old.Metadata.Labels
		}
		return []*topology.Object{o}, nil, nil
	})
}

// Unbind takes a vport off its interface; ErrNotFound if it is bound nowhere.
func (s *Store) Unbind(ctx context.Context, vport topology.Ref) (int64, error) {
	return s.change(ctx, func(set *topology.Set) ([]*topology.Object, []topology.Ref, error) {
		name, err := bindingName(set, vport)
		if err == nil && set.Get(name) == nil {
			err = fmt.Errorf("%v is bound nowhere: %w", vport, ErrNotFound)
		}
		return nil, []topology.Ref{name}, err
	})
}

// bindingName returns the Binding object of a vport: the one that there is, or one named like the vport.
func bindingName(set *topology.Set, vport topology.Ref) (topology.Ref, error) {
	if set.Get(vport) == nil {
		return topology.Ref{}, fmt.Errorf("%v: %w", vport, ErrNotFound)
	}
	for _, r := range set.Users(vport) {
		if r.Kind == topology.KindBinding {
			return r, nil
		}
	}
	return topology.Ref{Kind: topology.KindBinding, Tenant: vport.Tenant, Name: vport.Name}, nil
}

// change makes what plan says of the stored set. Appliers everywhere compare the generation: who was late plans again.
func (s *Store) change(ctx context.Context, plan func(*topology.Set) ([]*topology.Object, []topology.Ref, error)) (int64, error) {
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	for range casAttempts {
		if err := s.loadDesired(ctx); err != nil {
			return 0, err
		}
		put, del, err := plan(s.desired.set)
		if err != nil {
			return 0, fmt.Errorf("state: %w", err)
		}
		rev, err := s.commit(ctx, put, del)
		if !errors.Is(err, ErrConflict) {
			return rev, err
		}
	}
	return 0, fmt.Errorf("state: apply: %w", ErrConflict)
}

// loadDesired brings s.desired up to date: usually it is already.
func (s *Store) loadDesired(ctx context.Context) error {
	resp, err := s.client.Txn(ctx).Then(clientv3.OpGet(generationKey), clientv3.OpGet(idsKey)).Commit()
	if err != nil {
		return fmt.Errorf("state: read generation: %w", err)
	}
	d := desired{set: s.desired.set, top: s.desired.top}
	if kvs := resp.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
		d.generation = kvs[0].ModRevision
	}
	if kvs := resp.Responses[1].GetResponseRange().Kvs; len(kvs) > 0 {
		if d.ids, err = parseIDs(kvs[0].Value, kvs[0].ModRevision); err != nil {
			return err
		}
	}
	if d.set == nil || d.generation != s.desired.generation {
		objects, _, err := s.readConf(ctx, confPrefix, resp.Header.Revision)
		if err != nil {
			return err
		}
		if d.set, err = new(topology.Set).Apply(objects, nil); err != nil {
			return fmt.Errorf("state: stored configuration: %w", err)
		}
		for _, o := range objects {
			d.top = max(d.top, o.Status.ID)
		}
	}
	d.ids.last = max(d.ids.last, d.top)
	s.desired = d
	return nil
}

// commit validates and writes one change against s.desired.
func (s *Store) commit(ctx context.Context, put []*topology.Object, del []topology.Ref) (int64, error) {
	before, ids := s.desired.set, s.desired.ids
	put, del = before.Expand(put, del)
	fresh := make([]*topology.Object, 0, len(put))
	for _, o := range put {
		c := *o
		c.Status = topology.Status{Of: o.Status.Of, Expanded: o.Status.Expanded, Filters: o.Status.Filters}
		if old := before.Get(o.Ref()); old != nil {
			c.Status.ID = old.Status.ID
		}
		if c.Status.ID == 0 && c.Kind.HasID() {
			id, err := ids.next()
			if err != nil {
				return 0, fmt.Errorf("state: %v: %w", c.Ref(), err)
			}
			c.Status.ID = id
		}
		fresh = append(fresh, &c)
	}
	after, err := before.Apply(fresh, del)
	if err != nil {
		return 0, err
	}
	w, t := writes{}, txn{}
	changed, err := diffObjects(before, after, fresh, del, w)
	if err != nil {
		return 0, err
	}
	if len(w) == 0 {
		return s.desired.generation, nil
	}
	if err := recompile(before, after, changed, w); err != nil {
		return 0, err
	}
	t.unchanged(generationKey, s.desired.generation)
	t.put(generationKey, []byte(strconv.Itoa(after.Len())))
	ids.commit(&t)
	t.write(w)
	s.forgetLearnt(before, after, changed, &t)
	rev, err := t.commit(ctx, s.client)
	if err != nil {
		return 0, err
	}
	for _, o := range fresh {
		o.Source = nil // was for errors
	}
	s.desired = desired{set: after, generation: rev, top: ids.last}
	return rev, nil
}

// diffObjects writes the objects that differ, and returns which.
func diffObjects(before, after *topology.Set, put []*topology.Object, del []topology.Ref, w writes) ([]topology.Ref, error) {
	refs := slices.Clone(del)
	for _, o := range put {
		refs = append(refs, o.Ref())
	}
	var changed []topology.Ref
	for _, r := range refs {
		value, err := encodeObject(after.Get(r))
		if err != nil {
			return nil, err
		}
		stored, err := encodeObject(before.Get(r))
		if err != nil {
			return nil, err
		}
		if _, twice := w[confKey(r)]; !twice && !bytes.Equal(value, stored) {
			w[confKey(r)] = value
			changed = append(changed, r)
		}
	}
	return changed, nil
}

// forgetLearnt removes what was learnt about the devices and ports that go, and about ports that become another device's.
func (s *Store) forgetLearnt(before, after *topology.Set, changed []topology.Ref, t *txn) {
	for _, r := range changed {
		o, is := before.Get(r), after.Get(r)
		if o != nil && r.Kind == topology.KindPool {
			t.forgetPool(o, is)
		}
		if o == nil || is != nil && is.Status.Expanded == o.Status.Expanded && deviceOf(before, o) == deviceOf(after, is) {
			continue
		}
		id := topology.DeviceID(o.Status.ID)
		switch r.Kind {
		case topology.KindBridge:
			t.deletePrefix(recordPrefix(id, recordFDB))
			t.deletePrefix(recordPrefix(id, recordARP))
		case topology.KindDHCP:
			t.deletePrefix(leasePrefix(id))
		case topology.KindVPort:
			t.deletePrefix(neighPrefix(deviceOf(before, o), flow.VPortID(o.Status.ID)))
			t.deletePrefix(ribsOfPort(deviceOf(before, o), flow.VPortID(o.Status.ID)))
			t.deletePrefix(flowsOf(flow.VPortID(o.Status.ID)))
			for _, e := range s.learnt.behind(flow.VPortID(o.Status.ID)) {
				t.ops = append(t.ops, clientv3.OpDelete(fdbKey(e.bridge, e.mac)))
			}
		}
	}
}

// encodeObject returns nil for nil.
func encodeObject(o *topology.Object) ([]byte, error) {
	if o == nil {
		return nil, nil
	}
	b, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("state: %v: %w", o.Ref(), err)
	}
	return b, nil
}

func decodeObject(key string, value []byte) (*topology.Object, error) {
	ref, err := parseConfKey(key)
	if err != nil {
		return nil, err
	}
	o := new(topology.Object)
	if err := o.UnmarshalJSON(value); err != nil {
		return nil, fmt.Errorf("%w: key %s: %w", ErrCodec, key, err)
	}
	if o.Ref() != ref || o.Kind.HasID() != flow.VPortID(o.Status.ID).IsValid() {
		return nil, fmt.Errorf("%w: key %s holds %v with id %d", ErrCodec, key, o.Ref(), o.Status.ID)
	}
	return o, nil
}

// Get returns a stored object and the revision at which it was last changed.
func (s *Store) Get(ctx context.Context, ref topology.Ref) (*topology.Object, int64, error) {
	key := confKey(ref)
	resp, err := s.client.Get(ctx, key)
	if err != nil {
		return nil, 0, fmt.Errorf("state: get %v: %w", ref, err)
	}
	if len(resp.Kvs) == 0 {
		return nil, 0, fmt.Errorf("state: %v: %w", ref, ErrNotFound)
	}
	o, err := decodeObject(key, resp.Kvs[0].Value)
	return o, resp.Kvs[0].ModRevision, err
}

// List returns the stored objects of a kind, and of a tenant unless that is empty, in order of name; all kinds if kind is empty.
// They are those of one revision, which is returned.
func (s *Store) List(ctx context.Context, kind topology.Kind, tenant string) ([]*topology.Object, int64, error) {
	var all []*topology.Object
	rev := int64(0)
	for _, k := range topology.Kinds() {
		if kind != "" && kind != k {
			continue
		}
		prefix := confKey(topology.Ref{Kind: k, Tenant: tenant})
		if tenant == "" {
			prefix = confKey(topology.Ref{Kind: k})
			prefix = prefix[:len(prefix)-1]
		}
		objects, at, err := s.readConf(ctx, prefix, rev)
		if err != nil {
			return nil, 0, err
		}
		rev = at
		all = append(all, objects...)
	}
	return all, rev, nil
}

// readConf reads objects at a revision; 0 is now.
func (s *Store) readConf(ctx context.Context, prefix string, rev int64) ([]*topology.Object, int64, error) {
	resp, err := s.client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(rev))
	if err != nil {
		return nil, 0, fmt.Errorf("state: read configuration: %w", err)
	}
	objects := make([]*topology.Object, 0, len(resp.Kvs))
	for _, kv := range resp.Kvs {
		o, err := decodeObject(string(kv.Key), kv.Value)
		if err != nil {
			return nil, 0, err
		}
		objects = append(objects, o)
	}
	if rev == 0 {
		rev = resp.Header.Revision
	}
	return objects, rev, nil
}

package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

const casAttempts = 64 // of a read and a conditional write, before giving up with ErrConflict

// desired is all of /weft/conf at one generation, kept from one edit to the next.
type desired struct {
	catalogue  *Catalogue
	generation int64 // modification revision of generationKey; 0 = never written
	asOf       int64 // the catalogue has all that happened up to this revision
	ids        idBlock
	top        uint32 // largest id in the catalogue: the counter is never taken to be below
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

// change makes what plan says of the stored set.
func (s *Store) change(ctx context.Context, plan func(*topology.Set) ([]*topology.Object, []topology.Ref, error)) (int64, error) {
	out, err := s.Edit(ctx, Edit{Plan: func(c *Catalogue) ([]*topology.Object, []topology.Ref, error) {
		put, del, err := plan(c.Set)
		if err != nil {
			err = fmt.Errorf("state: %w", err)
		}
		return put, del, err
	}})
	if err != nil {
		return 0, err
	}
	return out.Revision, nil
}

// load brings s.desired up to date: usually it is already. It returns what is remembered of edits that were made earlier, by name.
func (s *Store) load(ctx context.Context, group []*waitingEdit) (map[string]*Outcome, error) {
	ops := []clientv3.Op{clientv3.OpGet(generationKey), clientv3.OpGet(idsKey)}
	var names []string
	for _, w := range group {
		if w.Once != "" && !slices.Contains(names, w.Once) {
			names = append(names, w.Once)
			ops = append(ops, clientv3.OpGet(onceKey(w.Once)))
		}
	}
	resp, err := s.client.Txn(ctx).Then(ops...).Commit()
	if err != nil {
		return nil, fmt.Errorf("state: read generation: %w", err)
	}
	generation, ids := int64(0), idBlock{}
	if kvs := resp.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
		generation = kvs[0].ModRevision
	}
	if kvs := resp.Responses[1].GetResponseRange().Kvs; len(kvs) > 0 {
		if ids, err = parseIDs(kvs[0].Value, kvs[0].ModRevision); err != nil {
			return nil, err
		}
	}
	earlier := map[string]*Outcome{}
	for i, name := range names {
		if kvs := resp.Responses[2+i].GetResponseRange().Kvs; len(kvs) > 0 {
			earlier[name] = &Outcome{Revision: kvs[0].ModRevision, Earlier: kvs[0].Value}
		}
	}
	if s.desired.catalogue == nil || s.desired.generation != generation {
		if err := s.reach(ctx, generation, resp.Header.Revision); err != nil {
			return nil, err
		}
	}
	s.desired.ids = ids
	s.desired.ids.last = max(ids.last, s.desired.top)
	return earlier, nil
}

// reach brings the catalogue to a generation: by what FollowObjects has heard, or by reading all at the revision at which the generation was read. What was heard of later revisions is left: if
// all is read at an earlier one after it was taken, the catalogue would not get it again.
func (s *Store) reach(ctx context.Context, generation, revision int64) error {
	if s.desired.catalogue != nil && s.heard.wait(ctx, generation) {
		if err := s.replay(revision); err == nil && s.desired.generation == generation {
			return nil
		}
	}
	entries, err := s.readEntries(ctx, confPrefix, revision)
	if err != nil {
		return err
	}
	c, err := catalogueOf(entries, generation)
	if err != nil {
		return err
	}
	s.restart(c, revision)
	return nil
}

// restart makes a catalogue what is known, whatever was known before.
func (s *Store) restart(c *Catalogue, asOf int64) {
	d := desired{catalogue: c, generation: c.Revision, asOf: asOf, top: s.desired.top}
	c.order.Ascend(func(e *Entry) bool {
		d.top = max(d.top, e.Object.Status.ID)
		return true
	})
	s.desired = d
	s.history.restart(c)
}

// catalogueOf makes a catalogue of all stored objects.
func catalogueOf(entries []*Entry, generation int64) (*Catalogue, error) {
	c := newCatalogue()
	objects := make([]*topology.Object, len(entries))
	for i, e := range entries {
		objects[i] = e.Object
		c.order.ReplaceOrInsert(e)
	}
	var err error
	if c.Set, err = new(topology.Set).Apply(objects, nil); err != nil {
		return nil, fmt.Errorf("state: stored configuration: %w", err)
	}
	c.Revision = generation
	return c, nil
}

// forgetLearnt removes what was learnt about the devices and ports that go, and about ports that become another device's. It returns ports whose bridges are to forget what is behind them.
func (t *txn) forgetLearnt(before, after *topology.Set, changed []topology.Ref) (left []leftPort) {
	for _, r := range changed {
		o, is := before.Get(r), after.Get(r)
		if o != nil && r.Kind == topology.KindPool {
			t.forgetPool(o, is)
		}
		if r.Kind == topology.KindVPN && is == nil {
			for _, record := range []string{vpnLock, vpnKey, vpnLast} {
				t.ops = append(t.ops, clientv3.OpDelete(vpnRecord(r.Tenant, r.Name, record)))
			}
			continue
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
		case topology.KindChain:
			t.deletePrefix(ruleHitsOf(id))
		case topology.KindVPort:
			t.deletePrefix(neighPrefix(deviceOf(before, o), flow.VPortID(o.Status.ID)))
			t.ops = append(t.ops, clientv3.OpDelete(downKey(deviceOf(before, o), flow.VPortID(o.Status.ID))))
			t.deletePrefix(wantPrefix(deviceOf(before, o), flow.VPortID(o.Status.ID)))
			t.deletePrefix(ribsOfPort(deviceOf(before, o), flow.VPortID(o.Status.ID)))
			t.deletePrefix(flowsOf(flow.VPortID(o.Status.ID)))
			if bridge, _ := o.DeviceRef(); bridge.Kind == topology.KindBridge && after.Get(bridge) != nil {
				left = append(left, leftPort{deviceOf(before, o), flow.VPortID(o.Status.ID), o.Spec.(*topology.VPortSpec).MAC})
			}
		}
	}
	return left
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

// readEntries is readConf that keeps how objects are stored.
func (s *Store) readEntries(ctx context.Context, prefix string, rev int64) ([]*Entry, error) {
	resp, err := s.client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(rev))
	if err != nil {
		return nil, fmt.Errorf("state: read configuration: %w", err)
	}
	entries := make([]*Entry, 0, len(resp.Kvs))
	for _, kv := range resp.Kvs {
		o, err := decodeObject(string(kv.Key), kv.Value)
		if err != nil {
			return nil, err
		}
		entries = append(entries, newEntry(o, kv.ModRevision, kv.Value))
	}
	return entries, nil
}

// CatalogueAt reads what was stored at a revision, as long as the database keeps that (ErrCompacted: it does not). It has no Set.
func (s *Store) CatalogueAt(ctx context.Context, revision int64) (*Catalogue, error) {
	entries, err := s.readEntries(ctx, confPrefix, revision)
	switch {
	case errors.Is(err, rpctypes.ErrCompacted), errors.Is(err, rpctypes.ErrFutureRev):
		return nil, fmt.Errorf("%w: revision %d", ErrCompacted, revision)
	case err != nil:
		return nil, err
	}
	c := &Catalogue{Revision: revision, order: newCatalogue().order}
	for _, e := range entries {
		c.order.ReplaceOrInsert(e)
	}
	return c, nil
}

// withoutStatus is what a caller wants without what the system adds, which is not his to say; but for what is said to be a part of another object: that is made anew with it, or not at all.
func withoutStatus(put []*topology.Object) []*topology.Object {
	all := slices.Clone(put)
	for i, o := range all {
		c := *o
		c.Status = topology.Status{Of: o.Status.Of}
		all[i] = &c
	}
	return all
}

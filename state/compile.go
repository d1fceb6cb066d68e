package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

// recompile writes what is derived from the objects that differ between two valid sets, in both of which ids are assigned. What a key is to hold
// follows from the set alone: the order of changes leaves no trace.
func recompile(before, after *topology.Set, changed []topology.Ref, w writes) error {
	refs := concerned(before, after, changed)
	had, has := writes{}, writes{}
	for i, r := range refs {
		encode := json.Marshal
		if i < len(changed) { // it differs from what was: what that was does not matter
			encode = func(any) ([]byte, error) { return nil, nil }
		}
		if err := compile(before, r, encode, had); err != nil {
			return err
		}
		if err := compile(after, r, json.Marshal, has); err != nil {
			return err
		}
	}
	was, is := topology.NewPublicsOf(before), topology.NewPublicsOf(after)
	for _, r := range topology.PublicUsers(before, after, changed) {
		if err := errors.Join(compilePublics(was, r, had), compilePublics(is, r, has)); err != nil {
			return err
		}
	}
	for key := range had {
		if has[key] == nil {
			w[key] = nil
		}
	}
	for key, value := range has {
		if !bytes.Equal(value, had[key]) {
			w[key] = value
		}
	}
	return nil
}

// concerned adds to the objects that changed those that are stored with something of them: the peer of a vport, its sessions, and the binding of one that is
// another device's now.
func concerned(before, after *topology.Set, changed []topology.Ref) []topology.Ref {
	refs := slices.Clone(changed)
	moved := map[topology.Ref]bool{}
	for _, r := range changed {
		for _, set := range []*topology.Set{before, after} {
			for _, u := range set.Users(r) {
				if u.Kind == topology.KindBGPSession || u.Kind == topology.KindVPN {
					refs = append(refs, u)
				}
			}
			if o := set.Get(r); o != nil {
				if spec, ok := o.Spec.(*topology.VPNSpec); ok {
					refs = append(refs, o.VPortRef(spec.VPort)) // it knows of the public port
				}
				if spec, ok := o.Spec.(*topology.VPortSpec); ok && !spec.IsExterior() {
					refs = append(refs, o.VPortRef(spec.Peer))
				}
			}
		}
		if was, is := before.Get(r), after.Get(r); was != nil && is != nil && deviceOf(before, was) != deviceOf(after, is) {
			moved[r] = true
		}
	}
	if len(moved) > 0 {
		for _, o := range after.All() {
			if spec, ok := o.Spec.(*topology.BindingSpec); ok && moved[o.VPortRef(spec.VPort)] {
				refs = append(refs, o.Ref())
			}
		}
	}
	return refs
}

// compile derives the keys of one object of a set; none if it is not there.
func compile(set *topology.Set, ref topology.Ref, encode func(any) ([]byte, error), w writes) error {
	o := set.Resolved(ref)
	if o == nil || o.Status.Expanded {
		return nil
	}
	value, err := encode(o)
	if err != nil {
		return fmt.Errorf("state: %v: %w", ref, err)
	}
	switch ref.Kind {
	case topology.KindBridge, topology.KindRouter, topology.KindDHCP, topology.KindChain, topology.KindAddressGroup, topology.KindPortGroup, topology.KindPool:
		w[selfKey(topology.DeviceID(o.Status.ID))] = value
	case topology.KindVPort:
		device, port := deviceOf(set, o), flow.VPortID(o.Status.ID)
		w[portKey(device, port)] = value
		w[vportKey(port)] = strconv.AppendUint(nil, uint64(device), 10)
	case topology.KindBGPSession:
		port := set.Get(o.VPortRef(o.Spec.(*topology.BGPSessionSpec).VPort))
		w[bgpKey(deviceOf(set, port), ref)] = value
	case topology.KindVPN:
		if value, err = encode(set.VPN(ref)); err != nil {
			return fmt.Errorf("state: %v: %w", ref, err)
		}
		w[vpnRecord(ref.Tenant, ref.Name, vpnSite)] = value
	case topology.KindBinding:
		b, ok := bindingOf(set, ref)
		if !ok {
			return nil
		}
		if value, err = json.Marshal(b); err != nil {
			return fmt.Errorf("state: %v: %w", ref, err)
		}
		w[bindKey(b.Device, b.VPort)], w[b.iface()] = value, value
	}
	return nil
}

// compilePublics derives what routers are to know of the public addresses of one object.
func compilePublics(of *topology.PublicsOf, r topology.Ref, w writes) error {
	for _, p := range of.Of(r) {
		value, err := json.Marshal(p)
		if err != nil {
			return fmt.Errorf("state: public addresses of %v: %w", r, err)
		}
		w[publicKey(p.Router, p.Key())] = value
	}
	return nil
}

// deviceOf returns the id of a vport's device; 0 for what is no vport.
func deviceOf(set *topology.Set, vport *topology.Object) topology.DeviceID {
	ref, _ := vport.DeviceRef()
	device := set.Get(ref)
	if device == nil {
		return 0
	}
	return topology.DeviceID(device.Status.ID)
}

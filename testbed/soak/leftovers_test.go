package soak

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// leftovers checks that, once nobody talks any more and all timeouts are over, the database has nothing of connections, and of ports and devices only what is of those that are.
func (r *rig) leftovers() {
	r.Helper()
	r.eventually("nothing is left in the database of what is over", func() string {
		ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
		defer cancel()
		left, err := r.left(ctx)
		if err != nil {
			return err.Error()
		}
		return left
	}, nil)
	r.deeds.did("looks for leftovers")
}

// left names what is left that should not be.
func (r *rig) left(ctx context.Context) (string, error) {
	client := r.store.Client()
	keys := func(prefix string) ([]string, error) {
		resp, err := client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
		if err != nil {
			return nil, err
		}
		var all []string
		for _, kv := range resp.Kvs {
			all = append(all, string(kv.Key))
		}
		return all, nil
	}
	for _, prefix := range []string{"/weft/ct/", "/weft/inbox/"} {
		all, err := keys(prefix)
		if err != nil {
			return "", err
		}
		if len(all) > 0 {
			return fmt.Sprintf("%d keys of %s, such as %q", len(all), prefix, all[0]), nil
		}
	}
	if left, err := r.blocks(ctx); left != "" || err != nil {
		return left, err
	}
	ids := map[string]bool{}
	view := r.store.View()
	for v := range view.Topology.VPorts() {
		ids[strconv.FormatUint(uint64(v.ID), 10)] = true
	}
	for _, prefix := range []string{"/weft/vport/", "/weft/flow/"} {
		all, err := keys(prefix)
		if err != nil {
			return "", err
		}
		for _, k := range all {
			if id, _, _ := strings.Cut(strings.TrimPrefix(k, prefix), "/"); !ids[id] {
				return fmt.Sprintf("%s, of a port that is not there", k), nil
			}
		}
	}
	all, err := keys("/weft/dev/")
	if err != nil {
		return "", err
	}
	selves := map[string]bool{}
	for _, k := range all {
		if parts := strings.Split(k, "/"); len(parts) == 5 && parts[4] == "self" {
			selves[parts[3]] = true
		}
	}
	for _, k := range all {
		parts := strings.Split(k, "/")
		if !selves[parts[3]] {
			return k + ", of a device that is not there", nil
		}
		if len(parts) > 5 && (parts[4] == "port" || parts[4] == "bind" || parts[4] == "neigh") && !ids[parts[5]] {
			return k + ", of a port that is not there", nil
		}
	}
	return r.leases(ctx)
}

// blocks checks that no translation's block is held any more, and that a sweep, of which agents have one every five minutes, frees all.
func (r *rig) blocks(ctx context.Context) (string, error) {
	live := map[int64]bool{}
	for _, e := range r.store.View().Edges.All() {
		live[e.Run] = true
	}
	if _, _, err := r.store.SweepConns(ctx, live, nil); err != nil {
		return "", err
	}
	resp, err := r.store.Client().Get(ctx, "/weft/st/", clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil || len(resp.Kvs) == 0 {
		return "", err
	}
	return fmt.Sprintf("%d keys of /weft/st/, such as %q", len(resp.Kvs), resp.Kvs[0].Key), nil
}

// leases checks that there is no more than one for each edge and the blocks of its agent, and one for each of several agents.
func (r *rig) leases(ctx context.Context) (string, error) {
	resp, err := r.store.Client().Leases(ctx)
	if err != nil {
		return "", err
	}
	most := 0
	for _, e := range r.edges {
		most += 2
		if len(e.controllers) > 1 {
			most += len(e.controllers)
		}
	}
	if len(resp.Leases) > most {
		return fmt.Sprintf("%d leases, of no more than %d that are of use", len(resp.Leases), most), nil
	}
	return "", nil
}

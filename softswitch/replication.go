package softswitch

import (
	"cmp"
	"slices"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/weft-sdn/weft/softswitch/pipeline"
)

// Limits of the packet replication engine.
const (
	maxInstance = 0xffff // egress_rid is bit<16>
	maxGroupID  = 0xffff // mcast_grp is bit<16>
)

// writeReplication carries out an update of a multicast group or clone session.
func (t *target) writeReplication(kind p4v1.Update_Type, e *p4v1.PacketReplicationEngineEntry) error {
	switch x := e.GetType().(type) {
	case *p4v1.PacketReplicationEngineEntry_MulticastGroupEntry:
		return t.writeMulticast(kind, x.MulticastGroupEntry)
	case *p4v1.PacketReplicationEngineEntry_CloneSessionEntry:
		return t.writeClone(kind, x.CloneSessionEntry)
	}
	return invalidf("packet replication entry is empty or not known")
}

// checkPresence compares an update with whether its object is there.
func checkPresence(kind p4v1.Update_Type, there bool, what string, id uint32) error {
	switch {
	case kind == p4v1.Update_INSERT && there:
		return faultf(codes.AlreadyExists, "%s %d already exists", what, id)
	case kind != p4v1.Update_INSERT && !there:
		return faultf(codes.NotFound, "%s %d does not exist", what, id)
	}
	return nil
}

func (t *target) writeMulticast(kind p4v1.Update_Type, g *p4v1.MulticastGroupEntry) error {
	id := g.GetMulticastGroupId()
	if limit := t.server.options.Quirks.MaxGroupID; id == 0 || id > limit {
		return invalidf("multicast group id %d is not in 1…%d", id, limit)
	}
	if err := checkPresence(kind, t.multicast[id] != nil, "multicast group", id); err != nil {
		return err
	}
	if kind == p4v1.Update_DELETE {
		t.machine.DeleteMulticast(id)
		delete(t.multicast, id)
		return nil
	}
	if err := t.checkReplicas(g.GetReplicas()); err != nil {
		return err
	}
	t.multicast[id] = proto.CloneOf(g)
	t.machine.SetMulticast(id, t.replicas(g.GetReplicas()))
	return nil
}

func (t *target) writeClone(kind p4v1.Update_Type, c *p4v1.CloneSessionEntry) error {
	id := c.GetSessionId()
	if limit := t.server.options.Quirks.MaxCloneID; id == 0 || id > limit {
		return invalidf("clone session id %d is not in 1…%d", id, limit)
	}
	if err := checkPresence(kind, t.clones[id] != nil, "clone session", id); err != nil {
		return err
	}
	if kind == p4v1.Update_DELETE {
		t.machine.DeleteClone(id)
		delete(t.clones, id)
		return nil
	}
	switch {
	case c.GetPacketLengthBytes() < 0:
		return invalidf("packet length %d is negative", c.GetPacketLengthBytes())
	case c.GetClassOfService() > maxClassOfService:
		return invalidf("class of service %d is beyond %d", c.GetClassOfService(), maxClassOfService)
	}
	if err := t.checkReplicas(c.GetReplicas()); err != nil {
		return err
	}
	t.clones[id] = proto.CloneOf(c)
	t.machine.SetClone(id, pipeline.CloneSession{Replicas: t.replicas(c.GetReplicas()), Truncate: int(c.GetPacketLengthBytes())})
	return nil
}

// maxClassOfService is the largest class accepted; there is one queue per port, so that
// all classes are served alike.
const maxClassOfService = 7

// copyKey is what must be unique in a set of replicas.
type copyKey struct {
	port     uint16
	instance uint32
}

// checkReplicas checks the replicas of a group or session.
func (t *target) checkReplicas(list []*p4v1.Replica) error {
	seen := make(map[copyKey]bool, len(list))
	note := func(port uint16, instance uint32) error {
		key := copyKey{port, instance}
		switch {
		case instance > maxInstance:
			return invalidf("instance %d is beyond %d", instance, maxInstance)
		case port == t.server.options.DropPort || !t.server.hasPort(port):
			return invalidf("port %d does not exist", port)
		case seen[key]:
			return invalidf("port %d, instance %d is there twice", port, instance)
		}
		seen[key] = true
		return nil
	}
	for _, r := range list {
		main, err := t.replicaPort(r)
		if err != nil {
			return err
		}
		if err := note(main, r.GetInstance()); err != nil {
			return err
		}
		for _, b := range r.GetBackupReplicas() {
			backup, err := t.portOf(b.GetPort())
			if err != nil {
				return err
			}
			if backup == main {
				return invalidf("port %d is its own backup", main)
			}
			if err := note(backup, b.GetInstance()); err != nil {
				return err
			}
		}
	}
	return nil
}

// replicaPort reads a replica's port in either encoding.
func (t *target) replicaPort(r *p4v1.Replica) (uint16, error) {
	switch p := r.GetPortKind().(type) {
	case *p4v1.Replica_Port:
		if t.server.options.Quirks.NumericPorts {
			return 0, nil
		}
		return t.portOf(p.Port)
	case *p4v1.Replica_EgressPort:
		if p.EgressPort > 0xffff {
			return 0, invalidf("port %d is beyond 16 bits", p.EgressPort)
		}
		return uint16(p.EgressPort), nil
	}
	return 0, invalidf("replica has no port")
}

// replicas are the copies to make of checked replicas: for each the first of itself and
// its backups whose port is up; none if all are down.
func (t *target) replicas(list []*p4v1.Replica) []pipeline.Replica {
	out := make([]pipeline.Replica, 0, len(list))
	for _, r := range list {
		if n, _ := t.replicaPort(r); len(r.GetBackupReplicas()) == 0 || t.server.portUp(n) {
			out = append(out, pipeline.Replica{Port: n, RID: uint16(r.GetInstance())})
			continue
		}
		for _, b := range r.GetBackupReplicas() {
			if n, _ := t.portOf(b.GetPort()); t.server.portUp(n) {
				out = append(out, pipeline.Replica{Port: n, RID: uint16(b.GetInstance())})
				break
			}
		}
	}
	return out
}

// portsChanged brings what depends on links into line with them.
func (t *target) portsChanged() {
	for id, g := range t.multicast {
		if hasBackups(g.GetReplicas()) {
			t.machine.SetMulticast(id, t.replicas(g.GetReplicas()))
		}
	}
	for id, c := range t.clones {
		if hasBackups(c.GetReplicas()) {
			t.machine.SetClone(id, pipeline.CloneSession{Replicas: t.replicas(c.GetReplicas()), Truncate: int(c.GetPacketLengthBytes())})
		}
	}
	for _, p := range t.profiles {
		p.groupsChanged(t)
	}
}

func hasBackups(list []*p4v1.Replica) bool {
	return slices.ContainsFunc(list, func(r *p4v1.Replica) bool { return len(r.GetBackupReplicas()) > 0 })
}

// sortedKeys are the keys of m in ascending order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

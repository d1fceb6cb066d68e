package stf

import (
	"fmt"
	"slices"

	"github.com/weft-sdn/weft/softswitch/pipeline"
)

// replication carries out the statements on multicast groups and mirroring sessions.
func (r *Runner) replication(st *statement) error {
	n := make([]uint64, len(st.args))
	for i, a := range st.args {
		v, err := integer(a, 16)
		if err != nil {
			return err
		}
		n[i] = v
	}
	switch st.op {
	case "mc_mgrp_create":
		if _, ok := r.groups[uint32(n[0])]; ok {
			return fmt.Errorf("group %d exists", n[0])
		}
		r.groups[uint32(n[0])] = nil
	case "mc_node_create":
		r.nodes = append(r.nodes, node{rid: uint16(n[0]), ports: ports(n[1:])})
	case "mc_node_update":
		if n[0] >= uint64(len(r.nodes)) {
			return fmt.Errorf("no node %d", n[0])
		}
		r.nodes[n[0]].ports = ports(n[1:])
	case "mc_node_associate":
		g, ok := r.groups[uint32(n[0])]
		if !ok {
			return fmt.Errorf("no group %d", n[0])
		}
		if n[1] >= uint64(len(r.nodes)) {
			return fmt.Errorf("no node %d", n[1])
		}
		r.groups[uint32(n[0])] = append(g, int(n[1]))
	case "mirroring_add":
		r.sessions[uint32(n[0])] = session{port: uint32(n[1])}
	case "mirroring_add_mc":
		r.sessions[uint32(n[0])] = session{group: uint32(n[1]), toGroup: true}
	case "mirroring_delete":
		if !r.machine.DeleteClone(uint32(n[0])) {
			return fmt.Errorf("no session %d", n[0])
		}
		delete(r.sessions, uint32(n[0]))
	case "mirroring_get":
		s, ok := r.machine.Clone(uint32(n[0]))
		if !ok {
			return fmt.Errorf("no session %d", n[0])
		}
		fmt.Fprintf(r.log, "session %d: %v\n", n[0], s.Replicas)
	}
	r.publish()
	return nil
}

// ports are the copies of a node, by ascending number.
func ports(n []uint64) []uint16 {
	var out []uint16
	for _, v := range n {
		out = append(out, uint16(v))
	}
	slices.Sort(out)
	return out
}

func (r *Runner) replicas(group uint32) []pipeline.Replica {
	var out []pipeline.Replica
	for _, i := range r.groups[group] {
		for _, p := range r.nodes[i].ports {
			out = append(out, pipeline.Replica{Port: p, RID: r.nodes[i].rid})
		}
	}
	return out
}

// publish brings groups and sessions to the machine.
func (r *Runner) publish() {
	for g := range r.groups {
		r.machine.SetMulticast(g, r.replicas(g))
	}
	for id, s := range r.sessions {
		replicas := []pipeline.Replica{{Port: uint16(s.port)}}
		if s.toGroup {
			replicas = r.replicas(s.group)
		}
		r.machine.SetClone(id, pipeline.CloneSession{Replicas: replicas})
	}
}

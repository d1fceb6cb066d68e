package state

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Requests are built as etcd's protocol has them: clientv3 copies each condition several times on its way there.

// together is one transaction of several operations without parts of their own: all happen, or nothing does, and then nothing is told of why.
func together(group []*write) *pb.TxnRequest {
	r := &pb.TxnRequest{}
	checked := map[check]struct{}{}
	for _, g := range group {
		r.Compare, r.Success = g.op.compares(r.Compare, checked), g.op.writes(r.Success)
	}
	return r
}

// check is a condition on what an operation does not write, as many do on the same: a key, or, by the name of its edge, a term.
type check struct {
	of     string
	expect int64
}

// known reports whether a check is among some, and adds it to them; nil: it never is.
func (c check) known(checked map[check]struct{}) bool {
	if checked == nil {
		return false
	}
	_, is := checked[c]
	checked[c] = struct{}{}
	return is
}

// eachCheck calls fn with the operation's checks.
func (op *Op) eachCheck(fn func(check)) {
	for i := range op.Also {
		if a := &op.Also[i]; a.Check && a.Expect != 0 {
			fn(a.check())
		}
	}
	if op.fence.stands() {
		fn(op.fence.check())
	}
}

func (a *Also) check() check { return check{a.Key, a.Expect} }

func (f Fence) check() check { return check{f.Edge, f.Term} }

// apart is one transaction of several operations, each of which is decided by itself.
func apart(group []*write) *pb.TxnRequest {
	r := &pb.TxnRequest{Success: make([]*pb.RequestOp, 0, len(group))}
	for _, g := range group {
		if g.op.unconditional() {
			r.Success = g.op.writes(r.Success)
			continue
		}
		r.Success = append(r.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: g.op.txn()}})
	}
	return r
}

// txn is the operation by itself: if it does not happen, it is told what is there instead.
func (op *Op) txn() *pb.TxnRequest {
	r := &pb.TxnRequest{Compare: op.compares(nil, nil), Success: op.writes(nil), Failure: []*pb.RequestOp{rangeOp(&pb.RangeRequest{Key: []byte(op.Key)})}}
	if op.Guard != "" {
		r.Failure = append(r.Failure, rangeOp(&pb.RangeRequest{Key: []byte(op.Guard), CountOnly: true}))
	}
	if op.fence.stands() {
		r.Failure = append(r.Failure, rangeOp(&pb.RangeRequest{Key: []byte(termKey(op.fence.Edge)), KeysOnly: true}))
	}
	return r
}

// parts is as how many etcd counts the operation among others: by its writes or its conditions, what is more. Checks are left out that are among those of the others.
func (op *Op) parts(checked map[check]struct{}) int {
	writes, conditions := 1, 0
	if op.Expect != anyRevision {
		conditions++
	}
	if op.Guard != "" {
		conditions++
	}
	for i := range op.Also {
		a := &op.Also[i]
		if !a.Check {
			writes++
		}
		if a.Absent {
			conditions++
		}
		if a.Expect != 0 && !a.Check {
			conditions++
		}
	}
	op.eachCheck(func(c check) {
		if _, is := checked[c]; !is {
			conditions++
		}
	})
	return max(writes, conditions)
}

// compares appends the operation's conditions, but for checks that are among some, to which it adds the others; nil: none is.
func (op *Op) compares(to []*pb.Compare, checked map[check]struct{}) []*pb.Compare {
	if op.Expect != anyRevision {
		to = append(to, changedAt(op.Key, op.Expect))
	}
	for i := range op.Also {
		a := &op.Also[i]
		if a.Absent {
			to = append(to, createdAt(a.Key, pb.Compare_EQUAL))
		}
		if a.Expect != 0 && !(a.Check && a.check().known(checked)) {
			to = append(to, changedAt(a.Key, a.Expect))
		}
	}
	if op.Guard != "" {
		to = append(to, createdAt(op.Guard, pb.Compare_GREATER))
	}
	if op.fence.stands() && !op.fence.check().known(checked) {
		to = append(to, op.fence.compare())
	}
	return to
}

// writes appends what the operation writes.
func (op *Op) writes(to []*pb.RequestOp) []*pb.RequestOp {
	switch {
	case op.Below:
		to = append(to, removeBelowOp(op.Key))
	case op.Delete:
		to = append(to, removeOp(op.Key))
	default:
		to = append(to, putOp(op.Key, op.Value, int64(op.Lease)))
	}
	for i := range op.Also {
		switch a := &op.Also[i]; {
		case a.Check:
		case a.Delete:
			to = append(to, removeOp(a.Key))
		default:
			to = append(to, putOp(a.Key, a.Value, int64(a.Lease)))
		}
	}
	return to
}

func putOp(key string, value []byte, lease int64) *pb.RequestOp {
	x := &struct {
		op  pb.RequestOp
		of  pb.RequestOp_RequestPut
		put pb.PutRequest
	}{}
	x.put.Key, x.put.Value, x.put.Lease = []byte(key), value, lease
	x.of.RequestPut = &x.put
	x.op.Request = &x.of
	return &x.op
}

func removeOp(key string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(key)}}}
}

func removeBelowOp(prefix string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(prefix), RangeEnd: []byte(clientv3.GetPrefixRangeEnd(prefix))}}}
}

func rangeOp(r *pb.RangeRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: r}}
}

// changedAt requires that a key was changed last at a revision; 0: that it is absent.
func changedAt(key string, revision int64) *pb.Compare {
	x := &struct {
		c   pb.Compare
		mod pb.Compare_ModRevision
	}{}
	x.mod.ModRevision = revision
	x.c.Key, x.c.Target, x.c.TargetUnion = []byte(key), pb.Compare_MOD, &x.mod
	return &x.c
}

// createdAt compares the revision at which a key was created with 0, which is that of one that is absent.
func createdAt(key string, result pb.Compare_CompareResult) *pb.Compare {
	return &pb.Compare{Key: []byte(key), Result: result, Target: pb.Compare_CREATE, TargetUnion: &pb.Compare_CreateRevision{}}
}

// compare is holds as etcd's protocol has it.
func (f Fence) compare() *pb.Compare { return changedAt(termKey(f.Edge), f.Term) }

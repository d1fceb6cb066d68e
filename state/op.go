package state

import (
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// anyRevision as Op.Expect: write whatever is stored.
const anyRevision = -1

// Op is one write of one key. Make it with Put, Create, Swap or Remove.
type Op struct {
	Key    string
	Value  []byte // nil iff Delete
	Delete bool
	Below  bool             // Key is a prefix, all keys of which are deleted. Nothing below it is to be submitted until that is answered
	Expect int64            // modification revision that must be stored; 0 = the key must be absent; -1 = any
	Guard  string           // a key that must exist, "" = none
	Lease  clientv3.LeaseID // 0 = none
	Also   []Also           // written with it, or not at all. The operation is conditional then

	fence Fence // of the context that it came with
}

// Also is a further write of an Op.
type Also struct {
	Key    string
	Value  []byte // nil iff Delete
	Delete bool
	Check  bool             // nothing is written: only what must be stored counts
	Absent bool             // the key must be absent
	Expect int64            // modification revision that must be stored; 0 = any
	Lease  clientv3.LeaseID // 0 = none
}

// Put writes the key, whatever is stored.
func Put(key string, value []byte) Op { return Op{Key: key, Value: value, Expect: anyRevision} }

// Create writes the key if it is absent.
func Create(key string, value []byte) Op { return Op{Key: key, Value: value} }

// Swap writes the key if it was last changed at revision rev.
func Swap(key string, value []byte, rev int64) Op { return Op{Key: key, Value: value, Expect: rev} }

// Remove deletes the key if it was last changed at revision rev.
func Remove(key string, rev int64) Op { return Op{Key: key, Delete: true, Expect: rev} }

// OpResult is what became of one Op.
type OpResult struct {
	Applied  bool
	Revision int64 // of the transaction, applied or not
	// What is stored instead, if the operation wasn't applied. ModRevision 0: the key is absent.
	Value       []byte
	ModRevision int64
	GuardGone   bool // not applied because the guard is absent
}

// size is about what the operation takes on the wire.
func (op *Op) size() int {
	n := 2*len(op.Key) + len(op.Value) + len(op.Guard) + 64
	for i := range op.Also {
		n += 2*len(op.Also[i].Key) + len(op.Also[i].Value) + 32
	}
	return n
}

func (op *Op) unconditional() bool {
	return op.Expect == anyRevision && op.Guard == "" && len(op.Also) == 0 && !op.fence.stands()
}

var errShortResponse = errors.New("state: etcd's answer has too few parts")

// result reads the answer to the operation's transaction, which was one by itself or part of another; nil: it was none.
func (op *Op) result(txn *pb.TxnResponse, revision int64) (OpResult, error) {
	res := OpResult{Applied: true, Revision: revision}
	if op.unconditional() {
		return res, nil
	}
	if txn == nil {
		return OpResult{}, errShortResponse
	}
	if txn.Succeeded {
		return res, nil
	}
	res.Applied = false
	want := 1
	if op.Guard != "" {
		want++
	}
	if op.fence.stands() {
		want++
	}
	if len(txn.Responses) < want {
		return OpResult{}, errShortResponse
	}
	if op.fence.stands() && !op.fence.heldBy(txn.Responses[want-1].GetResponseRange().GetKvs()) {
		return OpResult{}, op.fence.broken()
	}
	if kvs := txn.Responses[0].GetResponseRange().GetKvs(); len(kvs) > 0 {
		res.Value, res.ModRevision = kvs[0].Value, kvs[0].ModRevision
	}
	if op.Guard != "" {
		res.GuardGone = txn.Responses[1].GetResponseRange().GetCount() == 0
	}
	return res, nil
}

package state

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/flow"
)

// FlowBlock is a number of flow rules of packets that come in by a vport (K7). Who decides about them knows what is in it.
type FlowBlock struct {
	VPort flow.VPortID
	Block uint32
	Value []byte // nil: it is not there any more
}

func flowsOf(v flow.VPortID) string { return flowPrefix + strconv.FormatUint(uint64(v), 10) + "/" }

// SaveFlows writes blocks, together with what else is written. One that an error speaks of, or none, may be stored all the same. Those of a vport that is not there are not: what is
// stored of its flows went with it.
func (s *Store) SaveFlows(ctx context.Context, blocks []FlowBlock) error {
	answers := make(chan error, len(blocks))
	begun := 0
	var first error
	for _, b := range blocks {
		op := Op{Key: flowsOf(b.VPort) + strconv.FormatUint(uint64(b.Block), 10), Value: b.Value, Delete: b.Value == nil, Expect: anyRevision, fence: fenceOf(ctx)}
		if !op.Delete {
			op.Guard = vportKey(b.VPort)
		}
		if err := s.writer.Submit(op, func(_ OpResult, err error) { answers <- err }); err != nil {
			first = err
			break
		}
		begun++
	}
	for range begun {
		select {
		case err := <-answers:
			if first == nil {
				first = err
			}
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrUnknownOutcome, ctx.Err())
		}
	}
	if first != nil {
		return fmt.Errorf("state: flow rules: %w", first)
	}
	return nil
}

// Flows reads the blocks of a vport.
func (s *Store) Flows(ctx context.Context, v flow.VPortID) (blocks []FlowBlock, err error) {
	prefix := flowsOf(v)
	resp, err := s.client.Get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, fmt.Errorf("state: flow rules: %w", err)
	}
	for _, kv := range resp.Kvs {
		n, err := strconv.ParseUint(strings.TrimPrefix(string(kv.Key), prefix), 10, 32)
		if err != nil {
			s.log.Warn("key in the database is not understood", "key", string(kv.Key))
			continue
		}
		blocks = append(blocks, FlowBlock{v, uint32(n), kv.Value})
	}
	return blocks, nil
}

// ForgetFlows removes all blocks of a vport.
func (s *Store) ForgetFlows(ctx context.Context, v flow.VPortID) error {
	if _, err := s.client.Delete(ctx, flowsOf(v), clientv3.WithPrefix()); err != nil {
		return fmt.Errorf("state: flow rules: %w", err)
	}
	return nil
}

package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/weft-sdn/weft/state"
)

const (
	contactEvery = time.Second     // between two questions to etcd of what follows it
	contactWait  = 3 * time.Second // that it has for the answer: longer than the election of a leader takes
)

// following calls fn, which follows the database: that goes on by itself when etcd is lost, and says nothing of it. So etcd is asked meanwhile, and lost is told when it does not
// answer, once until it does again.
func (d *direct) following(ctx context.Context, fn func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	var asking sync.WaitGroup
	asking.Go(func() { d.ask(ctx) })
	defer asking.Wait()
	defer stop()
	return fn(ctx)
}

// ask asks etcd until ctx ends.
func (d *direct) ask(ctx context.Context) {
	tick := time.NewTicker(contactEvery)
	defer tick.Stop()
	for told := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		limit, cancel := context.WithTimeout(ctx, contactWait)
		there := state.Answered(d.store.Answers(limit))
		cancel()
		if !there && !told && ctx.Err() == nil {
			d.lost(fmt.Errorf("etcd at %s does not answer", strings.Join(d.store.Endpoints(), ",")))
		}
		told = !there
	}
}

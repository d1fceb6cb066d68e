package lab

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/weft-sdn/weft/state"
)

// etcdProcess is an etcd in a process of its own.
type etcdProcess struct {
	child  *child
	listen string
}

func newEtcdProcess(executable, dir, listen string) *etcdProcess {
	d := &etcdProcess{listen: cmp.Or(listen, "unix://"+filepath.Join(dir, "etcd.sock"))}
	d.child = newChild(dir, "etcd", executable, "etcd", "--dir", filepath.Join(dir, "etcd"), "--listen", d.listen, "--no-fsync")
	return d
}

func (d *etcdProcess) run(ctx context.Context) error { return d.child.run(ctx) }

func (d *etcdProcess) serves(ctx context.Context) error {
	if path, ok := strings.CutPrefix(d.listen, "unix://"); ok {
		if err := waitForSocket(ctx, path); err != nil {
			return err
		}
	}
	// Dial waits for an answer, but gives up.
	for {
		client, err := state.Dial(ctx, state.ClientConfig{Endpoints: d.endpoints()})
		if err == nil {
			return client.Close()
		}
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

func (d *etcdProcess) endpoints() []string { return []string{d.listen} }

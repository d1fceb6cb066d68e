package lab

import (
	"context"
	"path/filepath"

	"github.com/weft-sdn/weft/state"
)

// database is the etcd of a lab.
type database interface {
	// run runs it until ctx ends.
	run(ctx context.Context) error
	// serves returns when it takes connections.
	serves(ctx context.Context) error
	// endpoints are its client URLs, once it serves.
	endpoints() []string
}

// embedded is an etcd in this process. Others use it through its socket.
type embedded struct {
	cfg    state.EmbeddedConfig
	etcd   *state.Embedded
	served chan struct{}
}

func (l *Lab) newDatabase(dir string) (database, error) {
	if l.cfg.Processes {
		return newEtcdProcess(l.cfg.Executable, dir, l.cfg.Listen), nil
	}
	// Data of a lab need not outlive the machine, nor wait for disks.
	cfg := state.EmbeddedConfig{Dir: filepath.Join(dir, "etcd"), FastTimers: true, UnsafeNoFsync: !l.cfg.durable, Log: l.cfg.Logger}
	if l.cfg.Listen != "" {
		cfg.Listen = []string{l.cfg.Listen}
	}
	return &embedded{cfg: cfg, served: make(chan struct{})}, nil
}

func (d *embedded) run(ctx context.Context) (err error) {
	if d.etcd, err = state.StartEmbedded(ctx, d.cfg); err != nil {
		return err
	}
	close(d.served)
	return d.etcd.Run(ctx)
}

func (d *embedded) serves(ctx context.Context) error {
	select {
	case <-d.served:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (d *embedded) endpoints() []string { return d.etcd.Endpoints() }

package state

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const versionTimeout = time.Second

// checkVersions refuses a database of which a member is too old. Members that don't answer are not asked for long.
func checkVersions(ctx context.Context, c *clientv3.Client, cfg ClientConfig) error {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	for _, m := range statuses(ctx, c, cfg, cfg.Endpoints) {
		if tellsTooSoon(m.Version) {
			return fmt.Errorf("%w: %s at %s; 3.4.25, 3.5.8 or a later one would do", ErrTooOld, m.Version, m.Endpoint)
		}
	}
	return nil
}

// tellsTooSoon reports whether an etcd of a version tells a watch that it has everything up to a revision before it does (etcd issue 15220): then views
// are not whole revisions, and a watch that resumes misses changes. Of a version that is not understood nothing is said.
func tellsTooSoon(version string) bool {
	var major, minor, patch int
	if n, err := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch); n < 3 || err != nil {
		return false
	}
	switch {
	case major != 3:
		return major < 3
	case minor == 4:
		return patch < 25
	case minor == 5:
		return patch < 8
	}
	return minor < 4
}

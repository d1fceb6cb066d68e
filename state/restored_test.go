package state

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// TestRestored: a watcher ends when the database that it comes back to is an earlier state of the one that it read; when it is the same it goes on.
func TestRestored(t *testing.T) {
	for name, tc := range map[string]struct {
		earlier bool
		want    error
	}{
		"the same":         {false, nil},
		"an earlier state": {true, ErrRestored},
	} {
		t.Run(name, func(t *testing.T) {
			dir, earlier, listen := t.TempDir(), filepath.Join(t.TempDir(), "copy"), "unix://"+t.TempDir()+"/etcd"
			stop, c := etcdAt(t, dir, listen)
			written(t, c, "/weft/x", "1")
			stop()
			if err := os.CopyFS(earlier, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			stop, c = etcdAt(t, dir, listen)
			written(t, c, "/weft/x", "2")
			last := written(t, c, "/weft/x", "3")

			w, values := NewWatcher(c, nil, "/weft/"), make(chan string, 100)
			ended := make(chan error, 1)
			go func() {
				ended <- w.Run(t.Context(), func(b Batch) error {
					for _, e := range b.Events {
						values <- string(e.Value)
					}
					return nil
				})
			}()
			if err := w.Wait(t.Context(), last); err != nil {
				t.Fatal(err)
			}
			within(t, values)
			stop()
			if tc.earlier {
				dir = earlier
			}
			_, c = etcdAt(t, dir, listen)
			if tc.want == nil {
				written(t, c, "/weft/x", "4")
				if got := within(t, values); got != "4" {
					t.Errorf("then %q", got)
				}
				return
			}
			if err := within(t, ended); !errors.Is(err, tc.want) {
				t.Errorf("ended with %v, want %v", err, tc.want)
			}
		})
	}
}

// etcdAt starts an etcd until stop or the end of the test, and connects to it.
func etcdAt(t *testing.T, dir, listen string) (stop func(), c *clientv3.Client) {
	t.Helper()
	e, err := StartEmbedded(t.Context(), EmbeddedConfig{Dir: dir, Listen: []string{listen}, FastTimers: true})
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(e.Close)
	t.Cleanup(stop)
	return stop, dialled(t, ClientConfig{Endpoints: e.Endpoints()})
}

func written(t *testing.T, c *clientv3.Client, key, value string) (revision int64) {
	t.Helper()
	resp, err := c.Put(t.Context(), key, value)
	if err != nil {
		t.Fatal(err)
	}
	return resp.Header.Revision
}

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestSweep: a new lab removes the directories of labs that were killed, and no others.
func TestSweep(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	over := exec.Command(os.Args[0], "-test.run", "^$")
	if err := over.Run(); err != nil {
		t.Fatal(err)
	}
	make := func(name string) string {
		dir := filepath.Join(os.TempDir(), name)
		if err := os.MkdirAll(filepath.Join(dir, "etcd"), 0o700); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	killed := make(fmt.Sprintf("weft-lab-%d-1", over.Process.Pid))
	locked := make(fmt.Sprintf("weft-lab-%d-2", over.Process.Pid)) // as if its owner were in another container
	living := make(fmt.Sprintf("weft-lab-%d-3", os.Getppid()))
	other := make("weft-lab-notes")
	lock, err := lockDir(locked)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	p, err := newPlace()
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{locked, living, other, p.dir} {
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(killed); !os.IsNotExist(err) {
		t.Errorf("%s is still there (%v)", killed, err)
	}
	if err := p.remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(p.dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there (%v)", p.dir, err)
	}
}

package p4rt

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"
)

func TestFence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fence")
	open := func() *Fence {
		t.Helper()
		f, err := OpenFence(path)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	f := open()
	for _, step := range []struct{ seen, want ElectionID }{
		{ElectionID{}, ElectionID{0, 1}},
		{ElectionID{}, ElectionID{0, 2}},
		{ElectionID{0, 9}, ElectionID{0, 10}},
		{ElectionID{0, 3}, ElectionID{0, 11}},
		{ElectionID{2, math.MaxUint64}, ElectionID{3, 0}},
	} {
		if got := f.Election(step.seen); got != step.want {
			t.Errorf("after %s: %s, want %s", step.seen, got, step.want)
		}
		if again := open(); again.Last() != step.want { // as a restarted controller sees it
			t.Errorf("on disk: %s, want %s", again.Last(), step.want)
		}
	}
	if left, err := filepath.Glob(path + ".*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestFenceRefusesDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fence")
	f, err := OpenFence(path)
	if err != nil {
		t.Fatal(err)
	}
	f.Election(ElectionID{5, 5})
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"empty": {}, "short": good[:10], "changed": append([]byte{good[0] ^ 1}, good[1:]...)} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenFence(path); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFenceThatCanNotStore gives nothing that could be given again: the controller stays a backup.
func TestFenceThatCanNotStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	f, err := OpenFence(filepath.Join(dir, "fence"))
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Election(ElectionID{0, 4}); got != (ElectionID{}) || f.Err() == nil {
		t.Errorf("%s, %v", got, f.Err())
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if got := f.Election(ElectionID{0, 4}); got != (ElectionID{0, 5}) || f.Err() != nil {
		t.Errorf("%s, %v", got, f.Err())
	}
}

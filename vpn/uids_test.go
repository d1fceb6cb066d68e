package vpn

import (
	"errors"
	"testing"
)

// TestUIDs: daemons have different user ids, within the range, and what is given back is another's.
func TestUIDs(t *testing.T) {
	of, err := ParseUIDs("61000-61001")
	if err != nil {
		t.Fatal(err)
	}
	u := uids{of: of}
	a, errA := u.take()
	b, errB := u.take()
	if errors.Join(errA, errB) != nil || a == b || min(a, b) != 61000 || max(a, b) != 61001 {
		t.Fatalf("%d, %d, %v, %v", a, b, errA, errB)
	}
	if c, err := u.take(); err == nil {
		t.Errorf("a third has %d", c)
	}
	u.back(a)
	if c, err := u.take(); err != nil || c != a {
		t.Errorf("%d, %v", c, err)
	}
	for _, bad := range []string{"", "61000", "61001-61000", "0-70000", "999-1000", "61000-4294967295", "a-b", "-1-5", "61000-61001-61002"} {
		if got, err := ParseUIDs(bad); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

package scenario

import (
	"context"
	"errors"
	"testing"
)

// TestPollCutOff: a look that the end of the time cut off saw nothing. What it makes of that is no success.
func TestPollCutOff(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	looks := 0
	err := poll(ctx, func() (bool, string, error) {
		if looks++; looks == 1 {
			return false, "one", nil
		}
		cancel()
		return true, "none", ctx.Err()
	})
	if !errors.Is(err, ErrUnexpected) || looks != 2 {
		t.Errorf("after %d looks: %v", looks, err)
	}
}

// TestPollTold: what was seen last is told; that the time is over goes without saying, but not who interrupted.
func TestPollTold(t *testing.T) {
	never := func() (bool, string, error) { return false, "flows is 3", nil }
	for _, tt := range []struct {
		cause error
		want  string
	}{
		{context.DeadlineExceeded, "not as expected: at the end, flows is 3"},
		{errors.New("ctrl-C"), "not as expected: ctrl-C: at the end, flows is 3"},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(tt.cause)
		if err := poll(ctx, never); err == nil || err.Error() != tt.want || !errors.Is(err, ErrUnexpected) {
			t.Errorf("%v: %v", tt.cause, err)
		}
	}
}

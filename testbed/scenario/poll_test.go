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

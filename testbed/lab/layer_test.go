package lab

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// TestStandEndsFromTheTop: what stands upon parts ends before them.
func TestStandEndsFromTheTop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		ctx, cancel := context.WithCancel(t.Context())
		waiting := func(name string) part {
			return part{name, func(ctx context.Context) error { <-ctx.Done(); order = append(order, name); return ctx.Err() }}
		}
		done := make(chan error, 1)
		go func() {
			done <- stand(ctx, []part{waiting("etcd")}, func(ctx context.Context) error {
				return stand(ctx, []part{waiting("agent")}, func(ctx context.Context) error {
					<-ctx.Done()
					order = append(order, "hosts")
					return nil
				})
			})
		}()
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if want := []string{"hosts", "agent", "etcd"}; !slices.Equal(order, want) {
			t.Errorf("ended in order %q, want %q", order, want)
		}
	})
}

func TestStandTellsWhoEnded(t *testing.T) {
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		part, above func(context.Context) error
		want        string
	}{
		"part fails":      {func(context.Context) error { return broken }, until, "switch: broken"},
		"part just ends":  {func(context.Context) error { return nil }, until, "switch: ended by itself"},
		"above fails":     {until, func(context.Context) error { return broken }, "broken"},
		"above's own end": {until, func(context.Context) error { return context.Canceled }, "context canceled"},
	} {
		err := stand(t.Context(), []part{{"switch", test.part}}, test.above)
		if err == nil || strings.TrimSpace(err.Error()) != test.want {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
}

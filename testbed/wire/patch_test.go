package wire_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-sdn/weft/softswitch/port"
	"github.com/weft-sdn/weft/testbed/wire"
)

func TestPatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := wire.New(wire.Config{})
		run(t, c)
		near, far := port.NewLink("near", "far", 4)
		patch := wire.NewPatch(c.A(), near)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- patch.Run(ctx) }()
		var got inbox
		c.B().SetReceiver(got.receive)

		frames, sizes := port.NewBatch(8).Frames, make([]int, 8)
		c.B().Send(numbered(1))
		synctest.Wait()
		if n, err := far.Recv(frames, sizes); n != 1 || err != nil || !cmp.Equal(frames[0][:sizes[0]], numbered(1)) {
			t.Errorf("received %d frames, %v", n, err)
		}
		if n, err := far.Send([][]byte{numbered(2), numbered(3)}); n != 2 || err != nil {
			t.Error(n, err)
		}
		synctest.Wait()
		if diff := cmp.Diff(inbox{numbered(2), numbered(3)}, got); diff != "" {
			t.Error(diff)
		}
		for i := range 6 { // the port's queue holds 4
			c.B().Send(numbered(i))
		}
		synctest.Wait()
		if n, err := far.Recv(frames[:1], sizes); n != 1 || err != nil {
			t.Error(n, err)
		}
		time.Sleep(time.Second) // what waited for room has it, the rest waited in vain
		if patch.Dropped() != 1 {
			t.Errorf("%d frames dropped, want 1", patch.Dropped())
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if near.Up() {
			t.Error("the port is open after Run")
		}
	})
}

func TestPatchTellsOfALostPort(t *testing.T) {
	c := wire.New(wire.Config{})
	near, _ := port.NewLink("near", "far", 4)
	ended := make(chan error, 1)
	go func() { ended <- wire.NewPatch(c.A(), near).Run(t.Context()) }()
	near.Close()
	if err := <-ended; !errors.Is(err, port.ErrClosed) {
		t.Errorf("Run ended with %v", err)
	}
}

func TestPatchLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := wire.New(wire.Config{})
		run(t, c)
		near, far := port.NewLink("near", "far", 100)
		patch := wire.NewPatch(c.A(), near)
		patch.Limit(10, 4)
		go patch.Run(t.Context())
		for i := range 20 {
			c.B().Send(numbered(i))
		}
		for _, test := range []struct {
			after time.Duration
			want  int
		}{{0, 4}, {time.Second, 14}, {time.Second, 20}} {
			time.Sleep(test.after)
			synctest.Wait()
			if got := far.Queued(); got != test.want {
				t.Errorf("%d frames came through, want %d", got, test.want)
			}
		}
		near.Close()
	})
}

package vpn

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestOpeningIsSaidAgain: what opens a session is said again until it is answered, or for so long; other packets are not, and what comes through a tunnel is no answer.
func TestOpeningIsSaidAgain(t *testing.T) {
	open, v3 := []byte{7 << 3, 1, 2}, []byte{10 << 3, 1}
	answer, data, dataV2 := []byte{8 << 3, 1}, []byte{6 << 3, 1}, []byte{9<<3 | 5, 1}
	ms := func(all ...int) (times []time.Duration) {
		for _, n := range all {
			times = append(times, time.Duration(n)*time.Millisecond)
		}
		return times
	}
	for name, tc := range map[string]struct {
		does func(o *opening)
		want []time.Duration
	}{
		"no answer":             {func(o *opening) { o.said(open) }, ms(100, 300, 700, 1500, 3100)},
		"no answer to V3":       {func(o *opening) { o.said(v3) }, ms(100, 300, 700, 1500, 3100)},
		"not one that opens":    {func(o *opening) { o.said(answer); o.said(data); o.said(nil) }, nil},
		"answered":              {func(o *opening) { o.said(open); time.Sleep(400 * time.Millisecond); o.answered(answer) }, ms(100, 300)},
		"of the session before": {func(o *opening) { o.said(open); o.answered(data); o.answered(dataV2); o.answered(nil) }, ms(100, 300, 700, 1500, 3100)},
		"said by itself again":  {func(o *opening) { o.said(open); time.Sleep(time.Second); o.said(open) }, ms(100, 300, 700, 1100, 1300, 1700, 2500, 4100)},
		"closed":                {func(o *opening) { o.said(open); o.close(); o.said(open) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var got []time.Duration
				o := &opening{send: func(packet []byte) {
					if !opens(packet) {
						t.Errorf("%x is sent", packet)
					}
					got = append(got, time.Since(began))
				}}
				tc.does(o)
				time.Sleep(time.Minute)
				synctest.Wait()
				if !slices.Equal(got, tc.want) {
					t.Errorf("sent again after %v, want %v", got, tc.want)
				}
			})
		})
	}
}

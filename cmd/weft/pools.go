package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// addHealth adds to what is known of objects, in words, how the members of pools are.
func addHealth(ctx context.Context, n network, found []*topology.Object, wide bool, known map[topology.Ref]string) error {
	for _, o := range found {
		s, ok := o.Spec.(*topology.PoolSpec)
		if !ok {
			continue
		}
		h, err := n.Health(ctx, o)
		if err != nil {
			return err
		}
		known[o.Ref()] = healthText(s, h, wide, time.Now())
	}
	return nil
}

// healthText is how many members are up, or how each is.
func healthText(s *topology.PoolSpec, h state.PoolHealth, each bool, now time.Time) string {
	members, counts := memberTexts(s, h, now)
	if each {
		return strings.Join(members, "; ")
	}
	var words []string
	for _, drain := range []string{"", ", drains", ", drained"} {
		for _, is := range []string{"up", "not probed yet", "down"} {
			if n := counts[is+drain]; n > 0 {
				words = append(words, fmt.Sprintf("%d %s", n, is+drain))
			}
		}
	}
	return strings.Join(words, "; ")
}

// memberTexts is how each member is, and how many are so.
func memberTexts(s *topology.PoolSpec, h state.PoolHealth, now time.Time) (texts []string, counts map[string]int) {
	counts = map[string]int{}
	for _, m := range s.Members {
		key := topology.MemberAt(m.Address, m.Port)
		x, checked := h.Members[key]
		is := "up"
		switch {
		case s.Monitor != nil && x.Down:
			is = "down"
		case s.Monitor != nil && !checked:
			is = "not probed yet"
		}
		until := ""
		switch {
		case !m.DrainUntil.IsZero() && !now.Before(m.DrainUntil):
			is += ", drained"
		case !m.DrainUntil.IsZero():
			is, until = is+", drains", " until "+m.DrainUntil.Local().Format(time.RFC3339)
		case m.Drain:
			is += ", drains"
		}
		counts[is]++
		text := key.String() + " " + is + until
		if x.Down && x.Why != "" {
			text += " (" + x.Why + ")"
		}
		texts = append(texts, text)
	}
	return texts, counts
}

// poolCells are a pool's values for columns.
func poolCells(s *topology.PoolSpec, health string) (row, more []string) {
	sticky, monitor := "", ""
	if s.Sticky != nil {
		sticky = fmt.Sprintf("%ds", s.Sticky.Timeout)
	}
	if s.Monitor != nil {
		monitor = s.Monitor.Type
	}
	return []string{cmp.Or(s.Method, "hash"), fmt.Sprint(len(s.Members)), or(health)}, []string{or(sticky), or(monitor)}
}

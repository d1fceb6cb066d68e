package p4rt

import (
	"fmt"
	"math/rand/v2"
	"testing"

	p4config "github.com/p4lang/p4runtime/go/p4/config/v1"
)

// chained is the mini p4info with references: flow_v4's action refers to rewrite, rewrite to fixed.
func chained(t *testing.T) *Schema {
	t.Helper()
	info := miniInfo(t)
	for _, a := range info.GetActions() {
		for _, p := range a.GetParams() {
			if p.GetName() == "rewrite" {
				p.Annotations = []string{`@refers_to(rewrite, id)`}
			}
		}
	}
	for _, table := range info.GetTables() {
		if table.GetPreamble().GetAlias() == "rewrite" {
			table.MatchFields[0].Annotations = []string{`@name("id")`, `@refers_to("ingress.fixed" , "id")`}
		}
	}
	info.ActionProfiles = []*p4config.ActionProfile{{Preamble: &p4config.Preamble{Id: 0x11000001, Name: "sel"}, WithSelector: true}}
	s, err := NewSchema(info)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestInOrder(t *testing.T) {
	s := chained(t)
	entry := func(table string, n uint64) *Entry {
		x, err := s.Table(table)
		if err != nil {
			t.Fatal(err)
		}
		e := x.NewEntry()
		e.Set(0, U64(n))
		return e
	}
	sel := s.profiles.all[0]
	member := &ActionMember{Profile: sel, ID: 1}
	set := []Update{
		{Modify, &DirectCounter{Entry: entry("flow_v4", 1)}},
		{Insert, entry("flow_v4", 1)},
		{Insert, &MulticastGroup{ID: 1}},
		{Insert, entry("rewrite", 1)},
		{Insert, entry("fixed", 1)},
		{Insert, &ActionGroup{Profile: sel, ID: 1}},
		{Insert, member},
		{Delete, entry("fixed", 2)},
		{Delete, entry("flow_v4", 2)},
		{Delete, &CloneSession{ID: 9}},
		{Delete, &ActionGroup{Profile: sel, ID: 2}},
		{Delete, entry("rewrite", 2)},
	}
	position := func(stages [][]Update, want Update) int {
		for i, st := range stages {
			for _, u := range st {
				if u.Op == want.Op && u.Entity == want.Entity {
					return i
				}
			}
		}
		t.Fatalf("%s is missing", want.Entity)
		return 0
	}
	before := [][2]int{{2, 1}, {6, 5}, {5, 1}, {4, 3}, {3, 1}, {1, 0}, {0, 8}, {8, 11}, {11, 7}, {7, 10}, {10, 9}}
	for range 100 {
		shuffled := append([]Update(nil), set...)
		rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		stages := InOrder(shuffled)
		for _, pair := range before {
			if a, b := position(stages, set[pair[0]]), position(stages, set[pair[1]]); a >= b {
				t.Fatalf("%s %s in stage %d, %s %s in stage %d", set[pair[0]].Op, set[pair[0]].Entity, a, set[pair[1]].Op, set[pair[1]].Entity, b)
			}
		}
	}
}

// TestInOrderKeepsTheOrderOfAKey: whatever the ranks, updates of one key take effect as given.
func TestInOrderKeepsTheOrderOfAKey(t *testing.T) {
	s := chained(t)
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var list []Update
		for range 1 + r.IntN(30) {
			table := []string{"flow_v4", "rewrite", "fixed"}[r.IntN(3)]
			x, _ := s.Table(table)
			e := x.NewEntry()
			e.Set(0, U64(r.Uint64N(4)))
			list = append(list, Update{Op(1 + r.IntN(3)), e})
		}
		want, got := map[Key]string{}, map[Key]string{}
		note := func(m map[Key]string, u Update) { m[u.Entity.Key()] += fmt.Sprint(u.Op, " ") }
		n := 0
		for _, u := range list {
			note(want, u)
		}
		for _, st := range InOrder(list) {
			for _, u := range st {
				note(got, u)
				n++
			}
		}
		if n != len(list) || fmt.Sprint(want) != fmt.Sprint(got) {
			t.Fatalf("%d of %d updates\nwant %v\ngot  %v", n, len(list), want, got)
		}
	}
}

// TestReferencesInACircle end, and the rest is still in order.
func TestReferencesInACircle(t *testing.T) {
	info := miniInfo(t)
	for _, table := range info.GetTables() {
		switch table.GetPreamble().GetAlias() {
		case "rewrite":
			table.MatchFields[0].Annotations = []string{"@refers_to(fixed, id)"}
		case "fixed":
			table.MatchFields[0].Annotations = []string{"@refers_to(rewrite, id)", "@refers_to(fixed, id)", "@refers_to(nothing)"}
		}
	}
	if _, err := NewSchema(info); err != nil {
		t.Fatal(err)
	}
}

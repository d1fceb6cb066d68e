package main

import (
	"slices"
	"strings"
	"testing"
)

// TestFit: gaps give first, then the widest columns, down to what can be read; without a screen, or where all fits, none does.
func TestFit(t *testing.T) {
	for _, tc := range []struct {
		width         int
		columns, want []int
		gap           int
	}{
		{0, []int{50, 50}, []int{50, 50}, 2},
		{102, []int{50, 50}, []int{50, 50}, 2},
		{101, []int{50, 50}, []int{50, 50}, 1},
		{80, []int{10, 60, 20}, []int{10, 46, 20}, 2},
		{80, []int{10, 60, 50}, []int{10, 33, 33}, 2},
		{44, []int{8, 60, 60}, []int{8, 18, 14}, 2},
		{40, []int{8, 60, 60}, []int{8, 18, 12}, 1},
		{30, []int{8, 60, 60}, []int{8, 60, 60}, 2}, // it wraps
	} {
		got := slices.Clone(tc.columns)
		if gap := (screen{width: tc.width}).fit(got); gap != tc.gap || !slices.Equal(got, tc.want) {
			t.Errorf("%d columns, %v: %v with gaps of %d, want %v and %d", tc.width, tc.columns, got, gap, tc.want, tc.gap)
		}
	}
	if got := shorten("äöü und so weiter", 8); got != "äöü und…" {
		t.Errorf("%q", got)
	}
	if got := shorten("äöü und", 7); got != "äöü und" {
		t.Errorf("%q", got)
	}
}

// TestTableWidth: what a program reads is whole, with no blanks at the ends of lines.
func TestTableWidth(t *testing.T) {
	var b strings.Builder
	if err := table(&b, []string{"NAME", "WHAT"}, [][]string{{"a", strings.Repeat("x", 300)}, {"long name", ""}}); err != nil {
		t.Fatal(err)
	}
	if want := "NAME       WHAT\na          " + strings.Repeat("x", 300) + "\nlong name\n"; b.String() != want {
		t.Errorf("%q", b.String())
	}
}

// TestPaint: colours are for screens that have them.
func TestPaint(t *testing.T) {
	if got := (screen{}).paint(red, "x"); got != "x" {
		t.Errorf("%q", got)
	}
	if got := (screen{colours: true}).paint(red, "x"); got != "\x1b[31mx\x1b[0m" {
		t.Errorf("%q", got)
	}
}

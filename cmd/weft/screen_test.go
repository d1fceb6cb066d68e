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
		{39, []int{8, 60, 60}, []int{8, 15, 14}, 1}, // in the second step what is cut anyway gives more
		{39, []int{18, 18, 8}, []int{18, 18, 8}, 1}, // and what is not, does not
		{30, []int{8, 60, 60}, []int{8, 12, 12}, 1}, // lines are cut
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

// TestHang: text goes on beside what goes before it, or below if there is little room; without a screen it is one line.
func TestHang(t *testing.T) {
	text := "the edge is live and has the network"
	for width, want := range map[int][]string{
		0:  {"1s  nic1  " + text},
		80: {"1s  nic1  " + text},
		42: {"1s  nic1  the edge is live and has the", "          network"},
		32: {"1s  nic1", "    the edge is live and has the", "    network"},
	} {
		if got := (screen{width: width}).hang("1s  nic1  ", text); !slices.Equal(got, want) {
			t.Errorf("%d columns: %q", width, got)
		}
	}
}

// TestTableCut: a table that is too wide for the screen as narrow as it gets is cut there: a row is one line.
func TestTableCut(t *testing.T) {
	var b strings.Builder
	rows := [][]string{{"vm1", "02:00:00:00:00:01", "10.0.0.1/24,fd00::1/64,fd00::2/64"}}
	if err := tableOn(screen{width: 24}, &b, []string{"VPORT", "MAC", "ADDRESSES"}, 1, func(i int) []string { return rows[i] }); err != nil {
		t.Fatal(err)
	}
	if want := "VPORT MAC…\nvm1   02:00:00:00:00:01…\n"; b.String() != want {
		t.Errorf("%q", b.String())
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

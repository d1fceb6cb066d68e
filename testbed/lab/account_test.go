package lab

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTallyKeepsWhatGoneEntriesCounted(t *testing.T) {
	var got tally
	for i, step := range []struct {
		entries []flowEntry
		want    uint64
	}{
		{nil, 0},
		{[]flowEntry{{"a", true, 5}, {"b", true, 2}, {"drop", false, 9}}, 7},
		{[]flowEntry{{"a", true, 6}}, 8},                  // b is gone
		{[]flowEntry{{"a", true, 1}, {"b", true, 3}}, 12}, // a was made anew, b is back
		{[]flowEntry{{"a", true, 4}, {"b", true, 3}}, 15}, //
	} {
		if sum := got.add(step.entries); sum != step.want {
			t.Errorf("reading %d: %d packets, want %d", i, sum, step.want)
		}
	}
}

func TestFieldsOf(t *testing.T) {
	got := fieldsOf(struct {
		PacketIns, TTLExceeded, HTTP uint64
		WriteFails                   uint64 `json:"write_failures"`
		NotCounted                   string
	}{1, 2, 3, 4, ""})
	if diff := cmp.Diff(map[string]uint64{"packet_ins": 1, "ttl_exceeded": 2, "http": 3, "write_failures": 4}, got); diff != "" {
		t.Error(diff)
	}
}

func TestFileName(t *testing.T) {
	if got, want := fileName("access-nic1-acme/web 1"), "access-nic1-acme_web_1.pcap"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

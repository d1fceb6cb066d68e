package lab

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

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

package bgp

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/topology"
)

// TestLacksAreToldOnce: that a session is not carried out is told once, however often it is tried, and again when there is another reason.
func TestLacksAreToldOnce(t *testing.T) {
	var said bytes.Buffer
	why := errors.New("it is not there")
	s := New(Config{Edge: "e", Stack: Userspace, Secret: func(string, string) (string, error) { return "", why }, Log: slog.New(slog.NewTextHandler(&said, nil))})
	spec := external()
	spec.Name, spec.PasswordSecret = "isp/first", "key"
	port := wayOut()
	port.MTU = 1500
	wanted := []Port{{Port: port, Sessions: []*topology.BGPSession{spec}, Send: func([]byte) {}}}
	told := func(want int) {
		t.Helper()
		if s.settle(t.Context(), wanted, true); strings.Count(said.String(), "not carried out") != want || !s.lacks() {
			t.Errorf("told:\n%s\nwant %d lines", said.String(), want)
		}
	}
	told(1)
	told(1)
	why = errors.New("it is empty")
	told(2)
	told(2)
	if list := s.Status(); len(list) != 1 || !strings.Contains(list[0].Problem, "it is empty") {
		t.Errorf("%+v", list)
	}
	s.settle(t.Context(), nil, true)
	if s.lacks() {
		t.Error("what is not wanted lacks")
	}
}

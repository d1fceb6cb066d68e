package topology

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// form is what a file of another kind may look like.
type form struct {
	Name  string            `json:"name"`
	Big   uint64            `json:"big"`
	Ports map[string]uint16 `json:"ports"`
	Peers []struct {
		Addr netip.Addr `json:"addr"`
		On   bool       `json:"on"`
	} `json:"peers"`
}

const formYAML = `# a comment
name: x
big: 18446744073709551615
ports: {a: 1, b: 65535}
peers:
- addr: 10.0.0.1
- {addr: "2001:db8::1", on: true}
`

func TestDecodeDocument(t *testing.T) {
	var got form
	source, err := DecodeDocument("f.yaml", []byte(formYAML), &got)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]uint16{"a": 1, "b": 65535}, got.Ports); d != "" || got.Name != "x" || got.Big != 1<<64-1 || len(got.Peers) != 2 || !got.Peers[1].On {
		t.Errorf("%+v %s", got, d)
	}
	if source.Line("peers[1].on") != 7 || source.Line("peers[0].on") != 6 || source.Line("nothing") != 2 {
		t.Errorf("lines %v", source.Lines)
	}
	for _, tc := range []struct{ old, new, want string }{
		{"name: x", "nam: x", "f.yaml:2: nam: is not a known field; use one of name, big, ports, peers"},
		{"b: 65535", "b: 65536", `f.yaml:4: ports.b: "65536" is not a number in range; use 0 to 65535`},
		{"551615", "551616", `f.yaml:3: big: "18446744073709551616" is not a number in range; use 0 to 18446744073709551615`},
		{"10.0.0.1", "10.0.0", `f.yaml:6: peers[0].addr: "10.0.0" is not an IP address such as 10.0.0.1 or 2001:db8::1`},
		{"# a comment", "---\nname: a\n---", `f.yaml:4: is a second document; write one`},
		{"{a: 1, b: 65535}", "7", `f.yaml:4: ports: "7" is not a mapping; write fields as name: value`},
		{"name: x", "name: x\nname: y", `f.yaml:3: mapping key "name" already defined at [2:1]`},
	} {
		if _, err := DecodeDocument("f.yaml", []byte(strings.Replace(formYAML, tc.old, tc.new, 1)), new(form)); err == nil || err.Error() != tc.want {
			t.Errorf("%q:\n got %v\nwant %s", tc.new, err, tc.want)
		}
	}
}

package topology

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// grouped is a network with what no other one has.
const grouped = small + `---
apiVersion: weft/v1
kind: PortGroup
metadata: {name: hosts, tenant: acme}
spec: {ports: [vm]}
---
apiVersion: weft/v1
kind: Chain
metadata: {name: known, tenant: acme}
spec: {rules: [{match: {inPortGroups: [hosts]}, action: accept}]}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: one, tenant: acme}
spec: {device: router/r, singleHost: true, addresses: [10.1.0.5/24, "2001:db8:1::5/64"], advertise: {mode: dhcp}, filters: {ingress: known}}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: up, tenant: acme}
spec: {device: router/r, addresses: [192.0.2.1/24, "2001:db8:2::1/64"]}
---
apiVersion: weft/v1
kind: BGPSession
metadata: {name: upstream, tenant: acme}
spec: {vport: up, localAS: 64500, peerAS: 64501, peerAddress: "2001:db8:2::9", families: [ipv4, ipv6], advertise: [{prefix: 203.0.113.0/24}]}
---
apiVersion: weft/v1
kind: Router
metadata: {name: core, tenant: isp}
spec: {}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: customer, tenant: isp}
spec: {device: router/core, addresses: [100.64.0.1/30]}
---
apiVersion: weft/v1
kind: Tenant
metadata: {name: acme, tenant: acme}
spec: {ports: [isp/customer], prefixes: [203.0.113.0/24, "2001:db8:113::/48"], quota: {VPort: 10, total: 50}}
`

// networks are the networks that users are shown and that the scenarios run, by file.
func networks(t *testing.T) map[string][]*Object {
	t.Helper()
	objects, err := Decode("grouped", []byte(grouped))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]*Object{"grouped": objects}
	for _, pattern := range []string{"../examples/*.yaml", "../examples/*.txtar", "../testbed/lab/testdata/*.txtar"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if filepath.Ext(file) == ".txtar" {
				_, text, _ := strings.Cut(string(data), "\n-- network.yaml --\n")
				text, _, _ = strings.Cut(text, "\n-- ")
				data = []byte(text)
			}
			if all[file], err = Decode(file, data); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
	return all
}

// TestPartialNetwork: a network in which any one object is missing, or could not be read, is judged all the same: what was read of the others is not
// blamed for what was not.
func TestPartialNetwork(t *testing.T) {
	kinds := map[Kind]bool{}
	for file, objects := range networks(t) {
		texts := make([]string, len(objects))
		for i, o := range objects {
			kinds[o.Kind] = true
			b, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			texts[i] = string(b)
		}
		set, err := new(Set).Apply(objects, nil)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		for i, o := range objects {
			rest := append(append([]*Object{}, objects[:i]...), objects[i+1:]...)
			_, whole := new(Set).Apply(rest, nil)
			_, gone := set.Apply(nil, []Ref{o.Ref()})
			if used := len(set.Users(o.Ref())) > 0; used && (whole == nil || gone == nil) && set.Get(o.Ref()).Status.Of == "" && !usedByParts(set, o.Ref()) {
				t.Errorf("%s: %v is used, but not missed: %v, %v", file, o.Ref(), whole, gone)
			}
			if errs := Check(rest); len(errs) > 0 {
				t.Errorf("%s without %v: %v", file, o.Ref(), errs)
			}
			bad := &Object{APIVersion: APIVersion, Kind: KindBridge, Metadata: Metadata{Name: "B_"}, Spec: &BridgeSpec{}}
			if _, err := new(Set).Apply(append(rest, bad), nil); err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "B_") {
				t.Errorf("%s without %v, with a bad name: %v", file, o.Ref(), err)
			}
			for typo, with := range map[string]string{`"spec":{`: `"spec":{"typo":1,`, `"kind":"`: `"kind":"X`, `"metadata":`: `"mettadata":`} {
				broken := append([]string{}, texts...)
				broken[i] = strings.Replace(texts[i], typo, with, 1)
				_, err := Decode(file, []byte(strings.Join(broken, "\n---\n")))
				if err == nil {
					t.Errorf("%s: %v with %s: no error", file, o.Ref(), with)
				}
			}
		}
	}
	for _, k := range Kinds() {
		if !kinds[k] {
			t.Errorf("no %s among the networks", k)
		}
	}
}

// usedByParts reports whether parts alone refer to an object: they go with what they are made of.
func usedByParts(s *Set, r Ref) bool {
	for _, u := range s.Users(r) {
		if s.Get(u).Status.Of == "" {
			return false
		}
	}
	return true
}

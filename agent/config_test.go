package agent

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/testbed/certs"
	"github.com/weft-sdn/weft/topology"
)

// exampleDir is a directory with the example and the files that it names.
func exampleDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "tls"), 0o700); err != nil {
		t.Fatal(err)
	}
	ca, err := certs.New(filepath.Join(dir, "tls"))
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Issue("agent"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(ca.Cert("ca"), ca.Cert("etcd-ca")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "tls", "password"), "warp\n")
	write(t, filepath.Join(dir, "agent.yaml"), Example)
	return dir
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestExample: the example is valid, says what it seems to say, and has every field.
func TestExample(t *testing.T) {
	dir := exampleDir(t)
	got, err := Load(filepath.Join(dir, "agent.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	tls := func(name string) string { return filepath.Join(dir, "tls", name) }
	want := &Config{
		Etcd: Etcd{
			Endpoints: []string{"https://192.0.2.11:2379", "https://192.0.2.12:2379", "https://192.0.2.13:2379"},
			TLS:       TLS{CA: tls("etcd-ca.crt"), Cert: tls("agent.crt"), Key: tls("agent.key")},
			Username:  "weft", PasswordFile: tls("password"),
		},
		Listen: "127.0.0.1:9570", Log: Log{"info", "text"},
		Edges: []Edge{{
			ID: "nic1", Target: Target{Address: "127.0.0.1:9559", DeviceID: 1, CPUPort: 510, Profile: "softswitch", ElectionID: "1"}, Tunnel: "vxlan",
			VTEPs: []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8:100::1")},
			Uplinks: []Uplink{{
				Port: 256, MAC: packet.MustParseMAC("02:ed:00:00:00:01"), MTU: 1600,
				Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8:1::2")},
				Gateways:  []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8:1::1")},
			}},
			Interfaces: map[string]uint16{"vm1": 1, "vm2": 2}, VPortShare: 10, MACAge: 30, CounterInterval: 10, Multicast: netip.MustParsePrefix("239.192.0.0/14"),
			Connections: Connections{TCPOpening: 30, TCPEstablished: 7440, TCPClosed: 30, Single: 30, Both: 180, AwayAfter: 1, BlockTime: 900},
			BGP:         BGP{Secrets: tls("../secrets"), RPKI: []RPKI{{Address: "rpki.example.net:323"}}},
			GNMI:        GNMI{Address: "127.0.0.1:9559", Interval: 5, Ports: map[string]uint16{"p1": 1, "p2": 2, "up1": 256}},
		}},
	}
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	for _, field := range fieldsOf(reflect.TypeFor[Config]()) {
		if !strings.Contains(Example, field+":") {
			t.Errorf("the example does not have field %s", field)
		}
	}
	client, err := got.Etcd.Client()
	if err != nil || client.Password != "warp" || client.TLS == nil || client.TLS.RootCAs == nil {
		t.Errorf("client %+v, %v", client, err)
	}
}

// fieldsOf lists the names of all fields of a struct and of those in it.
func fieldsOf(t reflect.Type) []string {
	var names []string
	switch t.Kind() {
	case reflect.Slice:
		return fieldsOf(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "" {
				names = append(append(names, name), fieldsOf(t.Field(i).Type)...)
			}
		}
	}
	return names
}

// TestDocument: docs/agent.md has a row for every field, its example is valid, and what it says of defaults is so.
func TestDocument(t *testing.T) {
	b, err := os.ReadFile("../docs/agent.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	for _, field := range fieldsOf(reflect.TypeFor[Config]()) {
		if !strings.Contains(doc, field+"` |") {
			t.Errorf("docs/agent.md has no row for field %s", field)
		}
	}
	_, rest, _ := strings.Cut(doc, "```yaml\n")
	example, _, found := strings.Cut(rest, "```\n")
	if !found {
		t.Fatal("docs/agent.md has no example")
	}
	if _, err := Decode("docs/agent.md", t.TempDir(), []byte(example)); err != nil {
		t.Error(err)
	}
}

const small = `etcd: {endpoints: ["http://127.0.0.1:2379"]}
edges:
- id: nic1
  target: {address: "unix:/run/sw1"}
  vteps: [198.51.100.1]
  uplinks:
  - port: 256
    mac: 02:ed:00:00:00:01
    addresses: [192.0.2.2]
    gateways: [192.0.2.1]
  interfaces: {vm1: 1}
- id: nic2
  target: {address: "unix:/run/sw2"}
  vteps: ["2001:db8::2"]
  uplinks: [{port: 257, mac: 02:ed:00:00:00:02, addresses: ["2001:db8:1::2"], gateways: ["2001:db8:1::1"]}]
`

func TestDefaults(t *testing.T) {
	c, err := Decode("a.yaml", "/etc/weft", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	e := c.Edges[1]
	if c.Listen != DefaultListen || c.Log != (Log{"info", "text"}) || e.Tunnel != "vxlan" || e.Target.Profile != "strict" || e.Target.ElectionID != "1" ||
		e.Target.DeviceID != 1 || e.Uplinks[0].MTU != 1500 || len(e.Interfaces) != 0 {
		t.Errorf("%+v", c)
	}
}

// TestErrors: each names file, line, field, value and what would do; all of them come at once.
func TestErrors(t *testing.T) {
	for _, tc := range []struct{ old, new, want string }{
		{"etcd: {", "etc: {", "a.yaml:1: etc: is not a known field; use one of etcd, listen, listenTLS, advertise, log, tracing, edges"},
		{`endpoints: ["http://127.0.0.1:2379"]`, "", "a.yaml:1: etcd.endpoints: is missing; list etcd's client URLs, such as https://192.0.2.1:2379"},
		{`"http://127.0.0.1:2379"`, `"127.0.0.1:2379"`, `a.yaml:1: etcd.endpoints[0]: "127.0.0.1:2379" is no URL; use one such as https://192.0.2.1:2379 or unix:///run/etcd.sock`},
		{`2379"]`, `2379", "https://x:1"]`, `a.yaml:1: etcd.endpoints[1]: "https://x:1" is of another scheme than http://127.0.0.1:2379; use one scheme for all`},
		{`2379"]}`, `2379"], username: u}`, "a.yaml:1: etcd.passwordFile: is missing; name a file that holds the password of u"},
		{`2379"]}`, `2379"], tls: {ca: x}}`, `a.yaml:1: etcd.tls.ca: "/nowhere/x" can't be used: no such file or directory; name a PEM file of certificates`},
		{"edges:", "listen: 9570\nedges:", `a.yaml:2: listen: "9570" is no address; use HOST:PORT or unix:/PATH`},
		{"edges:", "listen: :9570\nedges:", `a.yaml:2: listen: ":9570" is all addresses of this host; name one, or set advertise to the address that others reach it by`},
		{"edges:", "listen: unix:/x\nadvertise: h:1\nedges:", `a.yaml:3: advertise: "h:1" goes with HOST:PORT, and listen is unix:/x; leave it out`},
		{"edges:", "listenTLS: {ca: /nowhere/ca}\nedges:", "a.yaml:2: listenTLS.cert: is missing; name the PEM file of the server's certificate"},
		{"edges:", "log: {level: loud}\nedges:", `a.yaml:2: log.level: "loud" is not known; use one of debug, info, warn, error`},
		{"- id: nic1\n ", "-", "a.yaml:3: edges[0].id: is missing; use the name that bindings have in spec.edge"},
		{"id: nic2", "id: nic1", `a.yaml:12: edges[1].id: "nic1" is that of edges[0].id too; give each its own`},
		{"run/sw2", "run/sw1", `a.yaml:13: edges[1].target: "device 1 at unix:/run/sw1" is that of edges[0].target too; give each its own`},
		{`"unix:/run/sw1"`, "localhost", `a.yaml:4: edges[0].target.address: "localhost" is no address; use HOST:PORT or unix:/PATH`},
		{`"unix:/run/sw1"`, `"unix:/run/sw1", cpuPort: 511`, `a.yaml:4: edges[0].target.cpuPort: "511" is no port; use 1 to 510`},
		{`"unix:/run/sw1"`, `"unix:/run/sw1", profile: dpdk`, `a.yaml:4: edges[0].target.profile: "dpdk" carries no packets between the target and an agent; see docs/hardware.md, "The program for DPDK"`},
		{`"unix:/run/sw1"`, `"unix:/run/sw1", profile: tofino9`, `a.yaml:4: edges[0].target.profile: "tofino9" is no kind of target; use softswitch, bmv2, stratum or strict`},
		{`"unix:/run/sw1"`, `"unix:/run/sw1", electionID: 0`, `a.yaml:4: edges[0].target.electionID: "0" is no election id; use a number from 1, or HIGH.LOW`},
		{`"unix:/run/sw1"`, `"unix:/run/sw1", tls: {cert: x}`, "a.yaml:4: edges[0].target.tls.key: is missing; name the PEM file of the certificate's key"},
		{`"unix:/run/sw1"`, `"unix:/run/sw1", pipeline: {p4info: x}`, "a.yaml:4: edges[0].target.pipeline.deviceConfig: is missing; name both files that the target's compiler made of p4src, or leave pipeline out"},
		{`"unix:/run/sw1"`, `"unix:/run/sw1", pipeline: {deviceConfig: x}`, "a.yaml:4: edges[0].target.pipeline.p4info: is missing; name both files that the target's compiler made of p4src, or leave pipeline out"},
		{`"unix:/run/sw1"`, `"unix:/run/sw1", pipeline: {p4info: x, deviceConfig: y}`, "a.yaml:4: edges[0].target.pipeline: can't be used: open /nowhere/x: no such file or directory; name both files that the target's compiler made of p4src, or leave pipeline out"},
		{"  vteps: [198.51.100.1]", "  vteps: [198.51.100.1]\n  macAge: 14", `a.yaml:6: edges[0].macAge: "14" is out of range; use 15 to 60 seconds`},
		{"  vteps: [198.51.100.1]", "  vteps: [198.51.100.1]\n  macAge: 61", `a.yaml:6: edges[0].macAge: "61" is out of range; use 15 to 60 seconds`},
		{"  vteps: [198.51.100.1]", "  tunnel: gue", `a.yaml:5: edges[0].tunnel: "gue" is no encapsulation; use vxlan, geneve or gre`},
		{"  vteps: [198.51.100.1]", "", "a.yaml:3: edges[0].vteps: is missing; list the edge's tunnel addresses, which the underlay routes to its uplinks"},
		{"  vteps: [198.51.100.1]", `  vteps: [198.51.100.1]
  multicast: 10.0.0.0/8`, `a.yaml:6: edges[0].multicast: "10.0.0.0/8" is no range of multicast addresses; use one such as 239.192.0.0/14 or "ff05::/104"`},
		{"  vteps: [198.51.100.1]", `  vteps: [198.51.100.1]
  multicast: 239.192.0.1/14`, `a.yaml:6: edges[0].multicast: "239.192.0.1/14" is no range of multicast addresses; use one such as 239.192.0.0/14 or "ff05::/104"`},
		{"  vteps: [198.51.100.1]", `  vteps: [198.51.100.1]
  multicast: 224.0.0.0/3`, `a.yaml:6: edges[0].multicast: "224.0.0.0/3" is no range of multicast addresses; use one such as 239.192.0.0/14 or "ff05::/104"`},
		{"  vteps: [198.51.100.1]", `  vteps: [198.51.100.1]
  multicast: 239.192.0.0/25`, `a.yaml:6: edges[0].multicast: "239.192.0.0/25" has less than 256 addresses; each bridge takes one, by its id: use a range of as many addresses as ids are used, such as 239.192.0.0/14`},
		{"  vteps: [198.51.100.1]", `  vteps: [198.51.100.1]
  multicast: 224.0.0.0/20`, `a.yaml:6: edges[0].multicast: "224.0.0.0/20" has addresses that do not leave a link; use one such as 239.192.0.0/14 or "ff05::/104"`},
		{"  vteps: [198.51.100.1]", `  vteps: [198.51.100.1]
  multicast: 232.1.0.0/16`, `a.yaml:6: edges[0].multicast: "232.1.0.0/16" has addresses for one source (RFC 4607); use one such as 239.192.0.0/14 or "ff05::/104"`},
		{"  vteps: [198.51.100.1]", `  vteps: [198.51.100.1]
  multicast: "ff02::/104"`, `a.yaml:6: edges[0].multicast: "ff02::/104" has addresses that do not leave a link; use one such as 239.192.0.0/14 or "ff05::/104"`},
		{"  vteps: [198.51.100.1]", `  vteps: [198.51.100.1]
  multicast: "ff35::/104"`, `a.yaml:6: edges[0].multicast: "ff35::/104" has addresses for one source (RFC 4607); use one such as 239.192.0.0/14 or "ff05::/104"`},
		{"  vteps: [198.51.100.1]", `  vteps: [198.51.100.1]
  multicast: "ff05::/104"`, `a.yaml:6: edges[0].multicast: "ff05::/104" is of an IP family that the edge has no tunnel address of; add one to vteps, or use a range of the other family`},
		{"198.51.100.1", "224.0.0.1", `a.yaml:5: edges[0].vteps[0]: "224.0.0.1" is not the address of one host; use one such as 192.0.2.1 or 2001:db8::1`},
		{"198.51.100.1", `"2001:db8::2"`, `a.yaml:14: edges[1].vteps[0]: "2001:db8::2" is that of edges[0].vteps[0] too; give each its own`},
		{"198.51.100.1", `"2001:db8::1"`, `a.yaml:5: edges[0].vteps[0]: "2001:db8::1" has no uplink with a gateway of its IP family; add one to gateways of an uplink`},
		{"port: 256", "port: 255", `a.yaml:7: edges[0].uplinks[0].port: "255" is no underlay port; use 256 to 509`},
		{"port: 256", "port: 70000", `a.yaml:7: edges[0].uplinks[0].port: "70000" is not a number in range; use 0 to 65535`},
		{"mac: 02:ed:00:00:00:01", "mac: 03:ed:00:00:00:01", `a.yaml:8: edges[0].uplinks[0].mac: "03:ed:00:00:00:01" is not the MAC of one station; use that of the port, such as 02:00:00:00:00:01`},
		{"mac: 02:ed:00:00:00:01", "mtu: 1300", `a.yaml:8: edges[0].uplinks[0].mtu: "1300" leaves too little for a tenant's packet; use 1350 or more`},
		{"gateways: [192.0.2.1]", "gateways: [192.0.2.1, 192.0.2.3]", `a.yaml:10: edges[0].uplinks[0].gateways[1]: "192.0.2.3" is a second gateway of its IP family; use one a family`},
		{"gateways: [192.0.2.1]", "gateways: [192.0.2.2]", `a.yaml:10: edges[0].uplinks[0].gateways[0]: "192.0.2.2" is the port's own address; use the router's`},
		{"addresses: [192.0.2.2]", `addresses: ["fd00::1"]`, `a.yaml:10: edges[0].uplinks[0].gateways[0]: "192.0.2.1" is of an IP family that the port has no address of; add one to addresses`},
		{"{vm1: 1}", "{vm1: 1}\n  gnmi: {interval: 5}", `a.yaml:12: edges[0].gnmi.address: is missing; use the HOST:PORT or unix:/PATH of the switch's gNMI server`},
		{"{vm1: 1}", "{vm1: 1}\n  gnmi: {address: sw1}", `a.yaml:12: edges[0].gnmi.address: "sw1" is no address; use HOST:PORT or unix:/PATH`},
		{"{vm1: 1}", `{vm1: 1}
  gnmi: {address: "sw1:9339", interval: 301}`, `a.yaml:12: edges[0].gnmi.interval: "301" is out of range; use 1 to 300 seconds`},
		{"{vm1: 1}", `{vm1: 1}
  gnmi: {address: "sw1:9339", username: u}`, `a.yaml:12: edges[0].gnmi.passwordFile: is missing; name a file that holds the password of u`},
		{"{vm1: 1}", `{vm1: 1}
  gnmi: {address: "sw1:9339", passwordFile: p}`, `a.yaml:12: edges[0].gnmi.username: is missing; name the user whose password is in /nowhere/p`},
		{"{vm1: 1}", `{vm1: 1}
  gnmi: {address: "sw1:9339", username: u, passwordFile: p}`, `a.yaml:12: edges[0].gnmi.tls: is missing, and a password would go in the clear; name at least tls.ca`},
		{"{vm1: 1}", `{vm1: 1}
  gnmi: {address: "sw1:9339", ports: {eth1: 510}}`, `a.yaml:12: edges[0].gnmi.ports.eth1: "510" is no port; use 0 to 509: access ports are below 256, those of uplinks from there`},
		{"{vm1: 1}", `{vm1: 1}
  gnmi: {address: "sw1:9339", ports: {eth1: 1, eth2: 1}}`, `a.yaml:12: edges[0].gnmi.ports.eth2: "1" is the port of interface eth1 too; give each its own`},
		{"{vm1: 1}", "{vm1: 1}\n  connections: {awayAfter: 61}", `a.yaml:12: edges[0].connections.awayAfter: "61" is out of range; use 1 to 60 seconds; 0 is the default`},
		{"{vm1: 1}", "{vm1: 1}\n  connections: {blockTime: 29}", `a.yaml:12: edges[0].connections.blockTime: "29" is out of range; use 30 seconds to a day, 86400; 0 is the default`},
		{"{vm1: 1}", "{vm1: 1}\n  connections: {both: 2592001}", `a.yaml:12: edges[0].connections.both: "2592001" is out of range; use up to 30 days, 2592000 seconds; 0 is the default`},
		{"{vm1: 1}", "{vm1: 256}", `a.yaml:11: edges[0].interfaces.vm1: "256" is no access port; use 0 to 255`},
		{"{vm1: 1}", "{vm1: 1, vm2: 1}", `a.yaml:11: edges[0].interfaces.vm2: "1" is the port of interface vm1 too; give each its own`},
		{"{vm1: 1}", "{7: 1}", `a.yaml:11: edges[0].interfaces.7: "1" is another port than the one that its name says; use a name that is no number`},
	} {
		if strings.Count(small, tc.old) < 1 {
			t.Fatalf("%q is not in the configuration", tc.old)
		}
		_, err := Decode("a.yaml", "/nowhere", []byte(strings.Replace(small, tc.old, tc.new, 1)))
		var list topology.Errors
		if !errors.As(err, &list) || !strings.Contains("\n"+err.Error()+"\n", "\n"+tc.want+"\n") {
			t.Errorf("%q:\n got %v\nwant %s", tc.new, err, tc.want)
		}
	}
	_, err := Decode("a.yaml", "/nowhere", []byte(strings.NewReplacer("port: 256", "prt: 256", "mac: 02:ed:00:00:00:01", "mac: x\n    mtu: 100", "unix:/run/sw2", "sw2").Replace(small)))
	want := `a.yaml:7: edges[0].uplinks[0].prt: is not a known field; use one of port, mac, addresses, gateways, mtu
a.yaml:7: edges[0].uplinks[0].port: is missing; use 256 to 509
a.yaml:8: edges[0].uplinks[0].mac: "x" is not a MAC such as 02:00:00:00:00:01
a.yaml:9: edges[0].uplinks[0].mtu: "100" leaves too little for a tenant's packet; use 1350 or more
a.yaml:14: edges[1].target.address: "sw2" is no address; use HOST:PORT or unix:/PATH`
	if err == nil || err.Error() != want {
		t.Errorf("wrong forms and values at once:\n%v\nwant\n%s", err, want)
	}
	if _, err := Decode("a.yaml", "/nowhere", nil); err == nil || !strings.HasPrefix(err.Error(), "a.yaml: etcd.endpoints: is missing; ") {
		t.Errorf("empty file: %v", err)
	}
	_, err = Decode("a.yaml", "/nowhere", []byte("log: {level: x}"))
	if list := (topology.Errors)(nil); !errors.As(err, &list) || len(list) != 3 {
		t.Errorf("want three errors at once: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte(Example))
	f.Add([]byte("edges: [{}, {target: 1}, []]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := Decode("a.yaml", "/nowhere", data); err == nil && (len(c.Edges) == 0 || len(c.Etcd.Endpoints) == 0) {
			t.Errorf("accepted: %+v", c)
		}
	})
}

package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/vpn"
)

// TestVPNCommands: in a lab with the network of examples/vpn.yaml an edge holds the VPN, weft vpn tells so, and exports the file of the remote end, whose new key is in the object, and its private key nowhere.
func TestVPNCommands(t *testing.T) {
	atRoot(t)
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("WEFT_ETCD", "unix://"+dir+"/etcd")
	devOf(t, "examples/vpn.yaml", "unix://"+dir+"/etcd")
	weft := func(args ...string) (string, string) {
		var stdout, stderr buffer
		run(t.Context(), args, &stdout, &stderr)
		return stdout.String(), stderr.String()
	}
	until(t, func() (bool, string) {
		out, errs := weft("vpn", "status")
		return regexp.MustCompile(`(?m)^acme/office +calling +(nic1|border1) `).MatchString(out), out + errs
	})
	out, errs := weft("vpn", "export", "acme/office", "--peer", "office", "--new-key")
	private := regexp.MustCompile(`(?m)^PrivateKey = (\S+)$`).FindStringSubmatch(out)
	for _, want := range []string{"Address = 192.168.50.1/24, 2001:db8:50::1/64", "MTU = 1340", "Endpoint = 198.51.100.10:51820", "AllowedIPs = 10.1.0.0/24, 2001:db8:1::/64, 10.9.0.1/32, 2001:db8:9::1/128", "PersistentKeepalive = 25"} {
		if !strings.Contains(out, want+"\n") {
			t.Errorf("the file has no %q:\n%s%s", want, out, errs)
		}
	}
	if private == nil {
		t.Fatalf("the file has no private key:\n%s%s", out, errs)
	}
	if raw, err := base64.StdEncoding.DecodeString(private[1]); err != nil || len(raw) != 32 {
		t.Errorf("%q is no key", private[1])
	}
	var list agent.VPNList
	until(t, func() (bool, string) {
		out, errs := weft("vpn", "status", "office", "--tenant", "acme", "-o", "json")
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			return false, fmt.Sprint(err, out, errs)
		}
		return len(list.VPNs) == 1 && len(list.VPNs[0].Peers) == 1, out
	})
	if v := list.VPNs[0]; v.State != vpn.Calling || v.Transport != "isp/vpn-acme" || v.PublicKey == "" || v.Peers[0].PublicKey == "" {
		t.Errorf("%+v", v)
	}
	again, errs := weft("vpn", "export", "acme/office", "--peer", "office")
	if !strings.Contains(again, "# PrivateKey = of the public key "+list.VPNs[0].Peers[0].PublicKey) {
		t.Errorf("%s%s", again, errs)
	}
	all, errs := weft("get", "vpn", "-A", "-o", "yaml")
	if !strings.Contains(all, list.VPNs[0].Peers[0].PublicKey) || strings.Contains(all+again+errs, private[1]) {
		t.Errorf("the object:\n%s%s", all, errs)
	}
	for _, bad := range [][]string{{"vpn", "export", "acme/none", "--peer", "office"}, {"vpn", "export", "acme/office", "--peer", "none"}, {"vpn", "export", "acme/office", "--peer", "none", "--new-key"}, {"vpn", "status", "none"}} {
		if out, errs := weft(bad...); out != "" || errs == "" {
			t.Errorf("%q: %s%s", bad, out, errs)
		}
	}
}

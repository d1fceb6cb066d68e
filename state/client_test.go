package state

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// authority signs certificates for 127.0.0.1.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte // of cert
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.issue("ca")
	return a
}

// issue writes name.crt and name.key; the first one signs itself and the others.
func (a *authority) issue(name string, ips ...net.IP) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: append(ips, net.IPv4(127, 0, 0, 1)), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true, IsCA: a.cert == nil,
	}
	if a.cert == nil {
		a.cert, a.key = tmpl, key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	priv, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	crt := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if name == "ca" {
		a.pem = crt
	}
	pk := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: priv})
	for suffix, b := range map[string][]byte{".crt": crt, ".key": pk} {
		if err := os.WriteFile(a.path(name+suffix), b, 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	pair, err := tls.X509KeyPair(crt, pk)
	if err != nil {
		a.t.Fatal(err)
	}
	return pair
}

// client is what a client with a certificate of its own needs.
func (a *authority) client(name string) *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(a.pem)
	return &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{a.issue(name)}}
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

// requirePasswords makes user weft, who may use /weft/ and nothing else, and lets nobody in without a password from then on.
func requirePasswords(t *testing.T, admin *clientv3.Client) {
	t.Helper()
	_, err1 := admin.UserAdd(t.Context(), "root", "secret")
	_, err2 := admin.RoleAdd(t.Context(), "root")
	_, err3 := admin.UserGrantRole(t.Context(), "root", "root")
	_, err4 := admin.UserAdd(t.Context(), "weft", "warp")
	_, err5 := admin.RoleAdd(t.Context(), "weft")
	_, err6 := admin.RoleGrantPermission(t.Context(), "weft", "/weft/", clientv3.GetPrefixRangeEnd("/weft/"), clientv3.PermissionType(clientv3.PermReadWrite))
	_, err7 := admin.UserGrantRole(t.Context(), "weft", "weft")
	_, err8 := admin.AuthEnable(t.Context())
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7, err8); err != nil {
		t.Fatal(err)
	}
}

func TestDialWithTLSAndPassword(t *testing.T) {
	ca := newAuthority(t)
	ca.issue("server")
	good := ca.client("client")
	e, err := StartEmbedded(t.Context(), EmbeddedConfig{
		Dir: t.TempDir(), FastTimers: true, UnsafeNoFsync: true, Listen: []string{"https://127.0.0.1:0"},
		CertFile: ca.path("server.crt"), KeyFile: ca.path("server.key"), CAFile: ca.path("ca.crt"),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	admin, err := Dial(t.Context(), ClientConfig{Endpoints: e.Endpoints(), TLS: good})
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	requirePasswords(t, admin)
	for name, tc := range map[string]struct {
		cfg  ClientConfig
		says string
	}{
		"all":            {ClientConfig{TLS: good, Username: "weft", Password: "warp"}, ""},
		"wrong password": {ClientConfig{TLS: good, Username: "weft", Password: "woof"}, "authentication failed"},
		"no password":    {ClientConfig{TLS: good}, "permission denied"},
		"no certificate": {ClientConfig{TLS: &tls.Config{RootCAs: good.RootCAs}, Username: "weft", Password: "warp"}, "certificate required"},
		"unknown server": {ClientConfig{TLS: &tls.Config{Certificates: good.Certificates}, Username: "weft", Password: "warp"}, "unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			patience := time.Minute // the server takes its time for a password
			if strings.HasPrefix(tc.says, "certificate") || strings.HasPrefix(tc.says, "unknown") {
				patience = 4 * time.Second // no connection comes about: that is tried until the end, and the handshake is to have failed by then
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			tc.cfg.Endpoints = e.Endpoints()
			c, err := Dial(ctx, tc.cfg)
			if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want %q in it", err, tc.says)
			}
			if err == nil {
				c.Close()
			}
		})
	}
	t.Run("store", func(t *testing.T) {
		s, _ := openStore(t, Config{Client: ClientConfig{Endpoints: e.Endpoints(), TLS: good, Username: "weft", Password: "warp"}})
		apply(t, s, network)
		if _, _, rev, err := s.LearnMAC(t.Context(), 1, mac(1), 6); err != nil {
			t.Error(err)
		} else if p, _ := wait(t, s, rev).Topology.Bridge(1).FDB(mac(1)); p != 6 {
			t.Errorf("MAC at %d", p)
		}
		r, err := s.RegisterEdge(edgeInfo("e1"), EdgeConfig{})
		if err != nil {
			t.Fatal(err)
		}
		running(t, r.Run)
		untilView(t, s, "e1", hasEdge("e1"))
	})
}

func TestDialNamesWhatIsWrong(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := Dial(ctx, ClientConfig{Endpoints: []string{"unix://" + t.TempDir() + "/nothing.sock"}}); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("no socket there: %v", err)
	}
}

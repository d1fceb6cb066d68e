package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"regexp"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// scriptAPI is the script command "api": it serves the API of the script's database by weft api, with TLS, until the script ends. SERVER is its URL, SERVER_CA the authority of its
// certificate, FIRST the token of the first administrator.
func scriptAPI(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: api")
	}
	ts.Check(makeCertificate(ts.MkAbs("server.crt"), ts.MkAbs("server.key")))
	config := fmt.Sprintf("etcd: {endpoints: [%q]}\nlisten: 127.0.0.1:0\nmetrics: 127.0.0.1:0\ntls: {cert: server.crt, key: server.key}\n", ts.Getenv("WEFT_ETCD"))
	ts.Check(os.WriteFile(ts.MkAbs("api.yaml"), []byte(config), 0o600))
	ctx, stop := context.WithCancel(context.Background())
	var stdout, stderr buffer
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"api", "--config", ts.MkAbs("api.yaml")}, &stdout, &stderr) }()
	ts.Defer(func() {
		stop()
		if code := <-ended; code != 0 {
			ts.Logf("weft api: status %d: %s", code, stderr.String())
		}
	})
	serves, first := regexp.MustCompile(`msg="api serves".* at=(\S+)`), regexp.MustCompile(`(?m)^  (\S+)$`)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(3 * time.Minute); ; <-tick.C {
		if at := serves.FindStringSubmatch(stderr.String()); at != nil {
			ts.Setenv("SERVER", "https://"+at[1])
			break
		}
		if len(ended) > 0 || time.Now().After(deadline) {
			ts.Fatalf("weft api does not serve: %s", stderr.String())
		}
	}
	ts.Setenv("SERVER_CA", ts.MkAbs("server.crt"))
	ts.Setenv("WEFT_CONFIG", ts.MkAbs("home/config.yaml"))
	if token := first.FindStringSubmatch(stdout.String()); token != nil {
		ts.Setenv("FIRST", token[1])
		ts.Check(os.WriteFile(ts.MkAbs("first"), []byte(token[1]+"\n"), 0o600))
	}
}

// makeCertificate makes a certificate of this machine that is its own authority.
func makeCertificate(certFile, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "weft api"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600); err != nil {
		return err
	}
	return os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600)
}

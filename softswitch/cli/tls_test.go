package cli

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/weft-sdn/weft/softswitch"
)

// certificate writes a self-signed certificate and its key, and returns their paths.
func certificate(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "switch"}, DNSNames: []string{"switch"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	rawKey, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: rawKey}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestMutualTLS(t *testing.T) {
	cert, key := certificate(t, t.TempDir())
	security, err := (&TLS{On: true, Cert: cert, Key: key, CA: cert, ClientAuth: true}).options()
	if err != nil {
		t.Fatal(err)
	}
	server, err := softswitch.New(softswitch.Options{GRPC: security})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, l) }()
	ask := func(config *tls.Config) error {
		config.ServerName = "switch"
		conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(config)))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, err = p4v1.NewP4RuntimeClient(conn).Capabilities(ctx, &p4v1.CapabilitiesRequest{})
		return err
	}
	pool := x509.NewCertPool()
	raw, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	pool.AppendCertsFromPEM(raw)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := ask(&tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}); err != nil {
		t.Errorf("with a certificate: %v", err)
	}
	if err := ask(&tls.Config{RootCAs: pool}); err == nil {
		t.Error("a client without a certificate got in")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestTLSOptionsAreChecked(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir)
	junk := filepath.Join(dir, "junk")
	if err := os.WriteFile(junk, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []TLS{
		{Cert: cert}, {ClientAuth: true}, {On: true}, {On: true, Cert: cert}, {On: true, Cert: cert, Key: junk},
		{On: true, Cert: cert, Key: key, CA: junk}, {On: true, Cert: cert, Key: key, CA: junk + "x"},
		{On: true, Cert: cert, Key: key, ClientAuth: true},
	} {
		if _, err := c.options(); err == nil {
			t.Errorf("%+v: no error", c)
		}
	}
}

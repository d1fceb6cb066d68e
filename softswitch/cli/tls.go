package cli

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/pflag"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// TLS says how the gRPC server is secured, in the terms of simple_switch_grpc.
type TLS struct {
	On         bool
	Cert, Key  string // PEM files of the server
	CA         string // PEM file to verify clients with
	ClientAuth bool   // clients must have a certificate
}

func (t *TLS) flags(f *pflag.FlagSet) {
	f.BoolVar(&t.On, "grpc-server-ssl", false, "serve gRPC over TLS")
	f.StringVar(&t.Cert, "grpc-server-cert", "", "PEM `file` of the server's certificate")
	f.StringVar(&t.Key, "grpc-server-key", "", "PEM `file` of the server's key")
	f.StringVar(&t.CA, "grpc-server-cacert", "", "PEM `file` of the authority of client certificates")
	f.BoolVar(&t.ClientAuth, "grpc-server-with-client-auth", false, "require a client certificate (mutual TLS)")
}

// options are the gRPC server's.
func (t *TLS) options() ([]grpc.ServerOption, error) {
	if !t.On {
		if t.Cert != "" || t.Key != "" || t.CA != "" || t.ClientAuth {
			return nil, errors.New("certificates are given, but not --grpc-server-ssl")
		}
		return nil, nil
	}
	if t.Cert == "" || t.Key == "" {
		return nil, errors.New("--grpc-server-ssl needs --grpc-server-cert and --grpc-server-key")
	}
	pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, fmt.Errorf("server certificate: %w", err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if t.ClientAuth {
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("client authority: %w", err)
		}
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("client authority: %s holds no certificate", t.CA)
		}
	} else if t.ClientAuth {
		return nil, errors.New("--grpc-server-with-client-auth needs --grpc-server-cacert")
	}
	return []grpc.ServerOption{grpc.Creds(credentials.NewTLS(config))}, nil
}

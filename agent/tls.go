package agent

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// TLS names PEM files. The certificate is read again for each connection, and by servers the authority, so that a renewed one is taken without a restart.
type TLS struct {
	CA         string `json:"ca"` // of the other side's certificate
	Cert       string `json:"cert"`
	Key        string `json:"key"`
	ServerName string `json:"serverName"` // in the server's certificate; empty: the host that is dialled
}

// IsZero reports whether nothing is given: no TLS.
func (t TLS) IsZero() bool { return t == TLS{} }

func (t *TLS) within(dir string) { within(dir, &t.CA, &t.Cert, &t.Key) }

// fieldProblem is what is wrong with one field, below the struct that is checked.
type fieldProblem struct{ field, value, problem, hint string }

// problems checks that the files are there and hold what they should.
func (t TLS) problems() []fieldProblem {
	var out []fieldProblem
	if t.CA != "" {
		if _, err := t.pool(); err != nil {
			out = append(out, fieldProblem{"ca", t.CA, "can't be used: " + reason(err), "name a PEM file of certificates"})
		}
	}
	switch {
	case t.Cert != "" && t.Key == "":
		out = append(out, fieldProblem{"key", "", "is missing", "name the PEM file of the certificate's key"})
	case t.Cert == "" && t.Key != "":
		out = append(out, fieldProblem{"cert", "", "is missing", "name the PEM file of the key's certificate"})
	case t.Cert != "":
		if _, err := t.pair(); err != nil {
			out = append(out, fieldProblem{"cert", t.Cert, "can't be used with " + t.Key + ": " + reason(err), "name PEM files of a certificate and its key"})
		}
	}
	return out
}

// reason is an error of a file without the file's name, which the caller says.
func reason(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

func (t TLS) pair() (*tls.Certificate, error) {
	p, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	return &p, err
}

func (t TLS) pool() (*x509.CertPool, error) {
	pem, err := os.ReadFile(t.CA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("it holds no certificate")
	}
	return pool, nil
}

// Client returns what a client needs: the system's authorities if no CA is given. It is never nil.
func (t TLS) Client() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	var err error
	if t.CA != "" {
		if c.RootCAs, err = t.pool(); err != nil {
			return nil, fmt.Errorf("authority %s: %w", t.CA, err)
		}
	}
	if t.Cert != "" {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return t.pair() }
	}
	return c, nil
}

// Server returns what a server needs; with a CA, clients must have a certificate of it. An authority that can't be read any more stays the one that was read at first.
func (t TLS) Server() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}} // those that servers would add come too late for GetConfigForClient
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return t.pair() }
	if t.CA != "" {
		pool, err := t.pool()
		if err != nil {
			return nil, fmt.Errorf("authority %s: %w", t.CA, err)
		}
		c.ClientCAs, c.ClientAuth = pool, tls.RequireAndVerifyClientCert
		c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			now, err := t.pool()
			if err != nil {
				return nil, nil //nolint:nilerr // the one that is known goes on
			}
			renewed := c.Clone()
			renewed.ClientCAs = now
			return renewed, nil
		}
	}
	return c, nil
}

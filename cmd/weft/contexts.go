package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/rogpeppe/go-internal/lockedfile"
)

// contexts are the servers that one has logged in at: the file ~/.config/weft/config.yaml, or $WEFT_CONFIG. It has secrets: nobody else may read it.
type contexts struct {
	Current string             `json:"current,omitempty"`
	Items   map[string]account `json:"contexts,omitempty"`

	file string
}

// account is who one is at a server.
type account struct {
	Server  string    `json:"server"`
	CA      string    `json:"ca,omitempty"`    // PEM file of the authority of its certificate; none: the system's
	Token   string    `json:"token,omitempty"` // secret
	Subject string    `json:"subject,omitempty"`
	Tenant  string    `json:"tenant,omitempty"` // of whom one is; none: of the provider
	Expires time.Time `json:"expires,omitzero"`
	// OIDC is where the token is from, if it is an ID token: it is renewed there.
	OIDC *oidcAccount `json:"oidc,omitempty"`
}

// oidcAccount is an account at an OpenID provider.
type oidcAccount struct {
	Issuer   string `json:"issuer"`
	ClientID string `json:"clientID"`
	CA       string `json:"ca,omitempty"`      // PEM file of the authority of its certificate; none: the system's
	Refresh  string `json:"refresh,omitempty"` // secret
}

// contextsFile is where they are.
func contextsFile() (string, error) {
	if file := os.Getenv("WEFT_CONFIG"); file != "" {
		return file, nil
	}
	dir := os.Getenv("XDG_CONFIG_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("where the configuration is: %w; WEFT_CONFIG can say so", err)
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "weft", "config.yaml"), nil
}

// loadContexts reads the file; there need not be one.
func loadContexts() (*contexts, error) {
	file, err := contextsFile()
	if err != nil {
		return nil, err
	}
	c := &contexts{file: file, Items: map[string]account{}}
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, bare(err))
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: has tokens, and others may read it (mode %04o); chmod 600 would do", file, info.Mode().Perm())
	}
	form, err := yaml.YAMLToJSON(text)
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(form))
		d.DisallowUnknownFields()
		err = d.Decode(c)
	}
	if err != nil { // which may quote the text, and with it a token
		return nil, fmt.Errorf("%s: is no file of logins; weft login makes one, in the place of it", file)
	}
	if c.Items == nil {
		c.Items = map[string]account{}
	}
	return c, nil
}

// lockContexts has other commands wait that lock the file, too.
func lockContexts() (unlock func(), err error) {
	file, err := contextsFile()
	if err != nil {
		return nil, err
	}
	return lockedfile.MutexAt(file + ".lock").Lock()
}

// save writes the file, whole or not at all, for its owner alone.
func (c *contexts) save() error {
	text, err := asYAML(c)
	if err != nil {
		return err
	}
	dir := filepath.Dir(c.file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".config-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), c.file)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// named returns an account by the name of its context.
func (c *contexts) named(name string) (account, error) {
	a, ok := c.Items[name]
	if !ok {
		return a, missing("context %q: is not there; there is %s", name, or(strings.Join(c.names(), ", ")))
	}
	return a, nil
}

func (c *contexts) names() []string { return slices.Sorted(maps.Keys(c.Items)) }

// at returns the account at a server, the current one first.
func (c *contexts) at(server string) (name string, a account, ok bool) {
	if a := c.Items[c.Current]; sameServer(a.Server, server) {
		return c.Current, a, true
	}
	for _, name := range c.names() {
		if a := c.Items[name]; sameServer(a.Server, server) {
			return name, a, true
		}
	}
	return "", account{}, false
}

func sameServer(a, b string) bool {
	return a != "" && strings.TrimSuffix(a, "/") == strings.TrimSuffix(b, "/")
}

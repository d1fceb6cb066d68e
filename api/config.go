package api

import (
	"cmp"
	_ "embed"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/topology"
)

// Config is a configuration file of a server; docs/api.md has every field. Make one with Load or Decode: they validate and fill in defaults.
type Config struct {
	Etcd    agent.Etcd   `json:"etcd"`
	Listen  string       `json:"listen"` // HOST:PORT
	TLS     agent.TLS    `json:"tls"`    // CA: of certificates by which clients may show who they are
	Plain   bool         `json:"plain"`  // serve without TLS, to this machine alone
	Open    bool         `json:"open"`   // everybody is the provider, on this machine alone
	Metrics string       `json:"metrics"`
	GNMI    string       `json:"gnmi"` // HOST:PORT; empty: it is not served
	OIDC    *access.OIDC `json:"oidc"`
	Agents  agent.TLS    `json:"agents"` // how the status servers of agents are asked
	Limits  Limits       `json:"limits"`
	Audit   Audit        `json:"audit"`
	Log     agent.Log    `json:"log"`
}

// Limits bound what callers take.
type Limits struct {
	Rate    uint32 `json:"rate"`    // requests a second of one caller
	Burst   uint32 `json:"burst"`   // and at once
	Body    uint32 `json:"body"`    // MiB of a request
	Watches uint32 `json:"watches"` // streams at once, of all callers
}

// Audit is how much the audit log keeps.
type Audit struct {
	Days    uint32 `json:"days"`
	Records uint32 `json:"records"`
}

// Defaults of fields that are left out.
const (
	DefaultListen  = "127.0.0.1:9580"
	DefaultMetrics = "127.0.0.1:9581"
	defaultRate    = 200
	defaultBody    = 16
	defaultWatches = 1000
	defaultDays    = 90
	defaultRecords = 100_000
)

// Example is a configuration file with every field, commented.
//
//go:embed example.yaml
var Example string

// Load reads and validates a configuration file. Names of files in it are relative to its directory. What is wrong comes as topology.Errors, all of it.
func Load(file string) (*Config, error) { return agent.LoadConfig(file, Decode) }

// Decode is Load of what is not in a file: errors name it file, and names in it are relative to dir.
func Decode(file, dir string, data []byte) (*Config, error) {
	c := new(Config)
	err := agent.DecodeConfig(file, data, c, func(s *topology.Source) topology.Errors {
		c.fill()
		return c.check(s, dir)
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// fill puts defaults in place of what was left out.
func (c *Config) fill() {
	c.Listen, c.Metrics = cmp.Or(c.Listen, DefaultListen), cmp.Or(c.Metrics, DefaultMetrics)
	l := &c.Limits
	l.Rate, l.Body, l.Watches = cmp.Or(l.Rate, defaultRate), cmp.Or(l.Body, defaultBody), cmp.Or(l.Watches, defaultWatches)
	l.Burst = cmp.Or(l.Burst, 2*l.Rate)
	c.Audit.Days, c.Audit.Records = cmp.Or(c.Audit.Days, defaultDays), cmp.Or(c.Audit.Records, defaultRecords)
}

// mostBody is what one transaction of the database takes, in MiB.
const mostBody = 64

func (c *Config) check(s *topology.Source, dir string) (errs topology.Errors) {
	fail := func(field, value, problem, hint string) {
		errs = append(errs, &topology.FieldError{File: s.File, Line: s.Line(field), Field: field, Value: value, Problem: problem, Hint: hint})
	}
	errs = append(errs, c.Etcd.Check(s, "etcd", dir)...)
	errs = append(errs, c.TLS.Check(s, "tls", dir)...)
	errs = append(errs, c.Agents.Check(s, "agents", dir)...)
	errs = append(errs, c.Log.Check(s, "log")...)
	if c.OIDC != nil {
		errs = append(errs, c.OIDC.Check(s, "oidc", dir)...)
	}
	for _, a := range []struct{ field, value string }{{"listen", c.Listen}, {"metrics", c.Metrics}} {
		if _, _, err := net.SplitHostPort(a.value); err != nil {
			fail(a.field, a.value, "is not HOST:PORT", "use one such as "+DefaultListen+" or [::]:9580")
		}
	}
	if _, _, err := net.SplitHostPort(c.GNMI); c.GNMI != "" && err != nil {
		fail("gnmi", c.GNMI, "is not HOST:PORT", "use one such as [::]:9339, or leave it out")
	}
	if (c.Plain || c.Open) && c.GNMI != "" && !isLocal(c.GNMI) {
		fail("gnmi", c.GNMI, "is reached from elsewhere, and plain and open are for this machine alone", "use a loopback address, or leave it out")
	}
	local := isLocal(c.Listen)
	switch {
	case c.Plain && c.TLS.Cert != "":
		fail("plain", "true", "goes without tls", "leave one of them out")
	case c.Plain && !local:
		fail("plain", "true", "is for this machine alone, and listen is "+c.Listen, "listen at a loopback address, or give tls.cert and tls.key")
	case !c.Plain && c.TLS.Cert == "":
		fail("tls.cert", "", "is missing", "name PEM files of the server's certificate and its key; plain: true goes without, on this machine alone")
	}
	if c.Open && !local {
		fail("open", "true", "is for this machine alone, and listen is "+c.Listen, "listen at a loopback address, or leave it out")
	}
	if c.Open && c.OIDC != nil {
		fail("oidc", "", "is of no use with open", "leave one of them out")
	}
	if c.Limits.Body > mostBody {
		fail("limits.body", fmt.Sprint(c.Limits.Body), "is more than the database takes", fmt.Sprintf("use 1 to %d", mostBody))
	}
	return errs
}

// isLocal reports whether an address is of this machine alone.
func isLocal(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && a.IsLoopback()
}

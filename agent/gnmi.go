package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/telemetry"
)

// GNMI is the gNMI server of an edge's switch, which tells how its links are (O2). The zero GNMI: nobody tells.
type GNMI struct {
	Address      string            `json:"address"` // HOST:PORT or unix:PATH
	TLS          TLS               `json:"tls"`
	Username     string            `json:"username"`
	PasswordFile string            `json:"passwordFile"`
	Target       string            `json:"target"`   // which one, of a server that stands for several
	Interval     uint32            `json:"interval"` // of samples, seconds
	Ports        map[string]uint16 `json:"ports"`    // name of an interface at the switch → port; empty: the switch tells (openconfig-p4rt)
}

const (
	defaultInterval = 5
	maxInterval     = 300
)

func (g *GNMI) isZero() bool {
	return g.Address == "" && g.TLS.IsZero() && g.Username == "" && g.PasswordFile == "" && g.Target == "" && g.Interval == 0 && len(g.Ports) == 0
}

func (g *GNMI) fill(dir string) {
	if g.isZero() {
		return
	}
	g.TLS.within(dir)
	within(dir, &g.PasswordFile)
	if g.Interval == 0 {
		g.Interval = defaultInterval
	}
}

// gnmi checks the configuration of an edge's telemetry.
func (c *checker) gnmi(at string, e *Edge) {
	g := &e.GNMI
	if g.isZero() {
		return
	}
	if g.Address == "" {
		c.fail(at+".address", "", "is missing", "use the HOST:PORT or unix:/PATH of the switch's gNMI server")
	} else if problem, hint := addressProblem(g.Address); problem != "" {
		c.fail(at+".address", g.Address, problem, hint)
	}
	c.all(at+".tls", g.TLS.problems())
	switch {
	case g.Username == "" && g.PasswordFile != "":
		c.fail(at+".username", "", "is missing", "name the user whose password is in "+g.PasswordFile)
	case g.Username == "":
	case g.PasswordFile == "":
		c.fail(at+".passwordFile", "", "is missing", "name a file that holds the password of "+g.Username)
	case g.TLS.IsZero():
		c.fail(at+".tls", "", "is missing, and a password would go in the clear", "name at least tls.ca")
	default:
		if p, err := passwordIn(g.PasswordFile); err != nil {
			c.fail(at+".passwordFile", g.PasswordFile, "can't be read: "+reason(err), "name a file with the password as its one line")
		} else if p == "" {
			c.fail(at+".passwordFile", g.PasswordFile, "holds no password", "name a file with the password as its one line")
		}
	}
	if g.Interval < 1 || g.Interval > maxInterval {
		c.fail(at+".interval", strconv.FormatUint(uint64(g.Interval), 10), "is out of range", fmt.Sprintf("use 1 to %d seconds", maxInterval))
	}
	named := map[uint16]string{}
	for _, name := range slices.Sorted(maps.Keys(g.Ports)) {
		port := g.Ports[name]
		field, value := at+".ports."+name, strconv.Itoa(int(port))
		if name == "" || strings.TrimSpace(name) != name {
			c.fail(field, value, "has no name of an interface", "use the name that the switch has for it")
		}
		if port > offload.LastUnderlay {
			c.fail(field, value, "is no port", fmt.Sprintf("use 0 to %d: access ports are below %d, those of uplinks from there", offload.LastUnderlay, offload.FirstUnderlay))
		}
		if other, taken := named[port]; taken {
			c.fail(field, value, "is the port of interface "+other+" too", "give each its own")
		}
		named[port] = name
	}
}

// collector is what a collector of the edge's telemetry needs.
func (g *GNMI) collector(log *slog.Logger) (telemetry.Config, error) {
	c := telemetry.Config{
		Address: g.Address, Target: g.Target, Ports: g.Ports, Last: offload.LastUnderlay, Interval: time.Duration(g.Interval) * time.Second, Log: log,
		Options: []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())},
	}
	if !strings.HasPrefix(g.Address, "unix:") {
		c.Address = "dns:///" + g.Address
	}
	if !g.TLS.IsZero() {
		t, err := g.TLS.Client()
		if err != nil {
			return c, err
		}
		c.Options = []grpc.DialOption{grpc.WithTransportCredentials(credentials.NewTLS(t))}
	}
	if g.Username != "" {
		p, err := passwordIn(g.PasswordFile)
		if err == nil && p == "" {
			err = errors.New("it holds no password")
		}
		if err != nil {
			return c, fmt.Errorf("gnmi.passwordFile %s: %w", g.PasswordFile, err)
		}
		c.Options = append(c.Options, grpc.WithPerRPCCredentials(telemetry.Login(g.Username, p)))
	}
	return c, nil
}

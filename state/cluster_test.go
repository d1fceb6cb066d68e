package state

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/types"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// memberVariable in the environment makes the test binary a member of a cluster: an EmbeddedConfig, JSON.
const memberVariable = "WEFT_TEST_MEMBER"

// runMember is a server by itself, until it is killed. SIGUSR1 cuts it off from the other members, SIGUSR2 ends that.
func runMember(spec string) {
	var cfg EmbeddedConfig
	if err := json.Unmarshal([]byte(spec), &cfg); err != nil {
		panic(err)
	}
	cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	e, err := StartEmbedded(context.Background(), cfg)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() {
		for s := range signals {
			for _, m := range e.etcd.Server.Cluster().Members() {
				switch {
				case m.ID == e.etcd.Server.MemberID():
				case s == syscall.SIGUSR1:
					e.etcd.Server.CutPeer(m.ID)
				default:
					e.etcd.Server.MendPeer(m.ID)
				}
			}
		}
	}()
	fmt.Fprintln(os.Stderr, e.wait(context.Background()))
}

// flavour is a kind of etcd that clusters are made of.
type flavour struct {
	name string
	make func(t *testing.T, cfg EmbeddedConfig) *exec.Cmd
	cuts bool // it does as runMember with SIGUSR1 and SIGUSR2
}

// weftEtcd is the one of this module, each member a process.
var weftEtcd = flavour{name: "weft", cuts: true, make: func(t *testing.T, cfg EmbeddedConfig) *exec.Cmd {
	spec, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), memberVariable+"="+string(spec))
	return cmd
}}

// flavours runs a test with each kind of etcd.
func flavours(t *testing.T, test func(*testing.T, flavour)) {
	for _, f := range []flavour{weftEtcd, otherEtcd} {
		t.Run(f.name, func(t *testing.T) { test(t, f) })
	}
}

// cluster is three members, each a process of its own on a loopback address of its own.
type cluster struct {
	t       *testing.T
	members []*member
	tls     *tls.Config // nil: none
}

type member struct {
	c        *cluster
	flavour  flavour
	cfg      EmbeddedConfig
	endpoint string
	cmd      *exec.Cmd
	log      bytes.Buffer
	client   *clientv3.Client // of this member alone
}

// clusters numbers those of this process.
var clusters atomic.Int32

// startCluster starts three members and returns when each answers. With an authority, they want TLS on both sides from clients and each other.
func startCluster(t *testing.T, f flavour, ca *authority, change func(*EmbeddedConfig)) *cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("clusters of processes are left out by -short")
	}
	c, number, all, scheme := &cluster{t: t}, int(clusters.Add(1)), map[string]string{}, "http://"
	if ca != nil {
		scheme, c.tls = "https://", ca.client("root") // known by its certificate, if there are passwords
	}
	dir := t.TempDir()
	for i := range 3 {
		// 127.64.0.0/10 by process and cluster: nobody else has the ports there.
		host := fmt.Sprintf("127.%d.%d.%d", 64+os.Getpid()>>8&0x3f, os.Getpid()&0xff, 1+(3*number+i)%250)
		name := fmt.Sprintf("m%d", i)
		all[name] = scheme + host + ":2380"
		m := &member{c: c, flavour: f, endpoint: scheme + host + ":2379"}
		m.cfg = EmbeddedConfig{
			Dir: filepath.Join(dir, name), Listen: []string{m.endpoint}, UnsafeNoFsync: true,
			Cluster: &Member{Name: name, Listen: []string{all[name]}, Members: all},
		}
		if ca != nil {
			ca.issue(name, net.ParseIP(host))
			m.cfg.CertFile, m.cfg.KeyFile, m.cfg.CAFile = ca.path(name+".crt"), ca.path(name+".key"), ca.path("ca.crt")
			m.cfg.Cluster.CertFile, m.cfg.Cluster.KeyFile, m.cfg.Cluster.CAFile = m.cfg.CertFile, m.cfg.KeyFile, m.cfg.CAFile
		}
		if change != nil {
			change(&m.cfg)
		}
		c.members = append(c.members, m)
	}
	t.Cleanup(func() {
		for _, m := range c.members {
			m.kill()
			if m.client != nil {
				m.client.Close()
			}
			if t.Failed() {
				t.Logf("%s: …%s", m.cfg.Cluster.Name, m.log.String()[max(0, m.log.Len()-1500):])
			}
		}
	})
	for _, m := range c.members {
		m.start()
	}
	for _, m := range c.members {
		m.answers()
	}
	return c
}

func (c *cluster) endpoints() (all []string) {
	for _, m := range c.members {
		all = append(all, m.endpoint)
	}
	return all
}

// start runs the process.
func (m *member) start() {
	m.c.t.Helper()
	m.cmd = m.flavour.make(m.c.t, m.cfg)
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	m.cmd.Stderr = &m.log
	if err := m.cmd.Start(); err != nil {
		m.c.t.Fatal(err)
	}
}

// kill is what a crash is.
func (m *member) kill() {
	if m.cmd == nil || m.cmd.ProcessState != nil {
		return
	}
	_ = m.cmd.Process.Kill()
	_ = m.cmd.Wait()
}

func (m *member) signal(s os.Signal) {
	m.c.t.Helper()
	if err := m.cmd.Process.Signal(s); err != nil {
		m.c.t.Fatal(err)
	}
}

// answers waits until the member does, with what the others have.
func (m *member) answers() {
	m.c.t.Helper()
	until(m.c.t, m.cfg.Cluster.Name+" answers", func(ctx context.Context) error {
		if m.client == nil {
			client, err := clientv3.New(clientv3.Config{Endpoints: []string{m.endpoint}, TLS: m.c.tls, Logger: zapTo(nil, true)})
			if err != nil {
				return err
			}
			m.client = client
		}
		_, err := m.client.Get(ctx, "x")
		return err
	})
}

// leader returns the present leader, and another member.
func (c *cluster) leader() (leader, other *member) {
	c.t.Helper()
	until(c.t, "a leader", func(ctx context.Context) error {
		leader = nil
		var errs []error
		for _, m := range c.members {
			s, err := m.client.Status(ctx, m.endpoint)
			switch {
			case err != nil:
				errs = append(errs, err)
			case s.Leader == s.Header.MemberId && types.ID(s.Leader) != 0:
				leader = m
			default:
				other = m
			}
		}
		if leader == nil || other == nil {
			return fmt.Errorf("none: %w", errors.Join(errs...))
		}
		return nil
	})
	return leader, other
}

// until asks again and again until there is no error; each question has five seconds, all of them two minutes.
func until(t *testing.T, what string, ask func(context.Context) error) {
	t.Helper()
	all, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ctx, cancel := context.WithTimeout(all, 5*time.Second)
		err := ask(ctx)
		cancel()
		if err == nil {
			return
		}
		select {
		case <-all.Done():
			t.Fatalf("not within two minutes: %s: %v", what, err)
		case <-tick.C:
		}
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weft-sdn/weft/softswitch/port"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/wire"
)

const haNetwork = `{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: Chain, metadata: {name: hide, tenant: acme}, spec: {rules: [{match: {outPorts: [gw-out]}, action: snat, nat: {addresses: [203.0.113.1]}}]}}
---
{apiVersion: weft/v1, kind: Router, metadata: {name: gw, tenant: acme}, spec: {filters: {egress: hide}}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: lan-gw, tenant: acme}, spec: {device: bridge/lan, peer: gw-lan}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-lan, tenant: acme}, spec: {device: router/gw, peer: lan-gw, addresses: [10.1.0.254/24]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-out, tenant: acme}, spec: {device: router/gw, addresses: [198.51.100.1/24], mac: "02:00:00:00:99:fe"}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm, tenant: acme}, spec: {device: bridge/lan, mac: "02:00:00:00:00:01", addresses: [10.1.0.1/24]}}
---
{apiVersion: weft/v1, kind: Binding, metadata: {name: vm, tenant: acme}, spec: {vport: vm, edge: nic1, interface: p1}}
---
{apiVersion: weft/v1, kind: Binding, metadata: {name: out, tenant: acme}, spec: {vport: gw-out, edge: nic1, interface: p2}}
`

const haAgent = `etcd: {endpoints: [%q]}
listen: unix:%s
edges:
- id: nic1
  ha: true
  target: {address: "unix:%s", profile: softswitch}
  vteps: [198.51.100.101]
  uplinks: [{port: 256, mac: "02:ed:00:00:00:01", addresses: [192.0.2.2], gateways: [192.0.2.1]}]
  interfaces: {p1: 1, p2: 2}
`

// haEdge is an edge of processes: a softswitch, and agents.
type haEdge struct {
	*testing.T
	dir, endpoint string
	store         *state.Store
	agents        int
}

func newHAEdge(t *testing.T) *haEdge {
	t.Helper()
	dir, err := os.MkdirTemp("", "weft") // short, for the paths of sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	endpoint, stop, err := startDatabase(filepath.Join(dir, "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	e := &haEdge{T: t, dir: dir, endpoint: endpoint}
	if e.store, err = state.Open(t.Context(), state.Config{Client: state.ClientConfig{Endpoints: []string{endpoint}}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.store.Close() })
	e.background(e.store.Run)
	e.process("softswitch", "softswitch", "--no-p4", "--cpu-port", "510", "--grpc-server-addr", "unix:"+dir+"/sw",
		"-i", "1@unix:"+dir+"/p1", "-i", "2@unix:"+dir+"/p2", "-i", "256@unix:"+dir+"/up")
	return e
}

// background runs something until the test ends.
func (e *haEdge) background(run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	e.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			e.Error(err)
		}
	})
}

// process starts weft with arguments; it is killed when the test ends.
func (e *haEdge) process(name string, args ...string) *exec.Cmd {
	e.Helper()
	cmd := exec.Command("weft", args...)
	log, err := os.Create(filepath.Join(e.dir, name+".log"))
	if err != nil {
		e.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		log.Close()
		if text, err := os.ReadFile(log.Name()); err == nil && e.Failed() {
			e.Logf("%s:\n%s", name, text)
		}
	})
	return cmd
}

// agent starts one more agent of the edge, and waits until it is one.
func (e *haEdge) agent() *exec.Cmd {
	e.Helper()
	e.agents++
	name := fmt.Sprintf("agent%d", e.agents)
	file := filepath.Join(e.dir, name+".yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, haAgent, e.endpoint, filepath.Join(e.dir, name), filepath.Join(e.dir, "sw")), 0o600); err != nil {
		e.Fatal(err)
	}
	known := e.alive()
	cmd := e.process(name, "agent", "--config", file)
	e.until(name+" is one of the edge's", func() bool { return len(e.alive()) > len(known) })
	e.until(name+" is ready", func() bool { return e.ready(name) })
	return cmd
}

// ready asks an agent's status server.
func (e *haEdge) ready(name string) bool {
	conn, err := net.Dial("unix", filepath.Join(e.dir, name))
	if err != nil {
		return false
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /readyz HTTP/1.0\r\n\r\n"); err != nil {
		return false
	}
	answer, _ := io.ReadAll(conn)
	return strings.Contains(string(answer), " 200 ")
}

func (e *haEdge) alive() map[string]state.AgentInfo { return e.store.View().Agents["nic1"].Alive }

func (e *haEdge) until(what string, is func() bool) {
	e.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for !is() {
		select {
		case <-tick.C:
		case <-limit:
			e.Fatal("not within a minute: " + what)
		}
	}
}

// plug powers a host on at an interface.
func (e *haEdge) plug(name string, cfg host.Config) *host.Host {
	e.Helper()
	p, err := port.OpenUnix(filepath.Join(e.dir, name))
	if err != nil {
		e.Fatal(err)
	}
	c := wire.New(wire.Config{})
	e.background(c.Run)
	e.background(wire.NewPatch(c.A(), p).Run)
	h, err := host.New(cfg, c.B())
	if err != nil {
		e.Fatal(err)
	}
	e.Cleanup(h.Close)
	return h
}

// echoes takes connections at a port and returns what they say.
func echoes(t *testing.T, h *host.Host, at uint16) {
	t.Helper()
	lis, err := h.ListenTCP(at)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := lis.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn); conn.Close() }()
		}
	}()
}

// standbyNamesActive: who asks a standby for flows or drops hears at once whom to ask, and its metrics do not wait either.
func (e *haEdge) standbyNamesActive(standby, active string) {
	e.Helper()
	for _, what := range []string{"flows", "drops"} {
		out, err := exec.Command("weft", what, "--agent", "unix:"+filepath.Join(e.dir, standby), "--edge", "nic1").CombinedOutput()
		if err == nil || !strings.Contains(string(out), "this agent stands by: ask the one that acts for the edge") || !strings.Contains(string(out), filepath.Join(e.dir, active)) {
			e.Errorf("weft %s of a standby: %v: %s", what, err, out)
		}
	}
}

// TestAgentIsKilled: of two agents' processes the one that acts is killed, and then the other one is told to end. A TCP connection behind a translation goes on and ends properly, and
// new flows are decided soon.
func TestAgentIsKilled(t *testing.T) {
	e := newHAEdge(t)
	first := e.agent()
	e.until("the edge is live", func() bool { return e.store.View().Edges.Has("nic1") }) // --wait waits for those that are
	net := filepath.Join(e.dir, "net.yaml")
	if err := os.WriteFile(net, []byte(haNetwork), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("weft", "apply", "-f", net, "--wait", "--etcd", e.endpoint).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	prefix := netip.MustParsePrefix
	vm := e.plug("p1", host.Config{Name: "vm", MAC: [6]byte{2, 0, 0, 0, 0, 1}, Addrs: []netip.Prefix{prefix("10.1.0.1/24")}, Gateways: []netip.Addr{netip.MustParseAddr("10.1.0.254")}})
	out := e.plug("p2", host.Config{Name: "out", MAC: [6]byte{2, 0, 0, 0, 0x99, 1}, Addrs: []netip.Prefix{prefix("198.51.100.2/24")}, Gateways: []netip.Addr{netip.MustParseAddr("198.51.100.1")}})
	echoes(t, out, 80)
	if err := out.ServeUDPEcho(53); err != nil {
		t.Fatal(err)
	}
	to := netip.AddrPortFrom(out.Addr4(), 80)
	conn, err := vm.DialTCP(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	word := make([]byte, 64)
	longest := time.Duration(0)
	speak := func(until func() bool) {
		t.Helper()
		for !until() {
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			begin := time.Now()
			if _, err := conn.Write(word); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(conn, word); err != nil {
				t.Fatal(err)
			}
			longest = max(longest, time.Since(begin))
		}
	}
	n := 0
	speak(func() bool { n++; return n > 100 })
	second := e.agent()
	e.standbyNamesActive("agent2", "agent1")
	steps := []struct {
		how string
		of  *exec.Cmd
		sig syscall.Signal
	}{{"killed", first, syscall.SIGKILL}, {"told to end", second, syscall.SIGTERM}}
	for i, step := range steps {
		if i == 1 {
			e.agent()
		}
		active := e.store.View().Agents["nic1"].Active
		longest = 0
		begin := time.Now()
		if err := step.of.Process.Signal(step.sig); err != nil {
			t.Fatal(err)
		}
		fresh := make(chan time.Duration, 1)
		go func() {
			for {
				if _, err := vm.EchoUDP(t.Context(), netip.AddrPortFrom(out.Addr4(), 53), []byte("new"), 20*time.Millisecond); err == nil || t.Context().Err() != nil {
					fresh <- time.Since(begin)
					return
				}
			}
		}()
		var took time.Duration
		speak(func() bool {
			select {
			case took = <-fresh:
				return true
			default:
				return false
			}
		})
		e.until("another agent acts", func() bool { a := e.store.View().Agents["nic1"]; return a.Active != active && a.IsLed() })
		t.Logf("the agent was %s: a new flow was answered after %v; the longest round trip of the one that goes on took %v", step.how, took, longest)
	}
	e.until("the last agent is registered", func() bool {
		v := e.store.View().Edges.Of("nic1")
		return strings.HasSuffix(v.Status, "agent3") && v.Target == ""
	})
	conn.Close()
	e.until("the connection is over", func() bool {
		over := false
		_ = e.store.Connections(t.Context(), func(c state.StoredConn) error {
			over = over || c.Over() && c.Forward.DstPort == 80
			return nil
		})
		return over
	})
	text, err := exec.Command("weft", "edges", "--etcd", e.endpoint).CombinedOutput()
	if err != nil || !strings.Contains(string(text), " active ") || strings.Contains(string(text), " standby ") {
		t.Errorf("weft edges: %v\n%s", err, text)
	}
}

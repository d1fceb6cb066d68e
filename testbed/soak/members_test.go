package soak

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/state"
)

// memberVariable in the environment makes the test binary a member of the cluster: an EmbeddedConfig, JSON.
const memberVariable = "WEFT_SOAK_MEMBER"

// runMember is a server by itself, until it is killed.
func runMember(spec string) error {
	var cfg state.EmbeddedConfig
	if err := json.Unmarshal([]byte(spec), &cfg); err != nil {
		return err
	}
	cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	e, err := state.StartEmbedded(context.Background(), cfg)
	if err != nil {
		return err
	}
	return e.Run(context.Background())
}

// member is one of three etcd servers, a process each.
type member struct {
	cfg     state.EmbeddedConfig
	address string // HOST:PORT for clients
	cmd     *exec.Cmd
	log     bytes.Buffer
}

const members = 3

// newMembers plans the cluster in a directory.
func newMembers(dir string) (all []*member) {
	peers := map[string]string{}
	for i := range members {
		// 127.128.0.0/10 by process: nobody else has the ports there.
		host := net.IPv4(127, byte(128+os.Getpid()>>8&0x3f), byte(os.Getpid()), byte(i+1)).String()
		name := fmt.Sprintf("m%d", i)
		peers[name] = "http://" + host + ":2380"
		all = append(all, &member{address: host + ":2379", cfg: state.EmbeddedConfig{
			Dir: filepath.Join(dir, name), Listen: []string{"http://" + host + ":2379"}, UnsafeNoFsync: true, Cluster: &state.Member{Name: name, Listen: []string{peers[name]}, Members: peers},
		}})
	}
	return all
}

func (m *member) start() error {
	spec, err := json.Marshal(m.cfg)
	if err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	m.cmd = exec.Command(exe)
	m.cmd.Env = append(os.Environ(), memberVariable+"="+string(spec))
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	m.cmd.Stderr = &m.log
	return m.cmd.Start()
}

// kill is what a crash is.
func (m *member) kill() {
	if m.cmd != nil && m.cmd.ProcessState == nil {
		_ = m.cmd.Process.Kill()
		_ = m.cmd.Wait()
	}
}

func (m *member) pause() { _ = m.cmd.Process.Signal(syscall.SIGSTOP) }
func (m *member) goOn()  { _ = m.cmd.Process.Signal(syscall.SIGCONT) }

// answers waits until the member does, with what the others have.
func (m *member) answers(ctx context.Context) error {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"http://" + m.address}})
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		ask, cancel := context.WithTimeout(ctx, 5*time.Second)
		_, err := client.Get(ask, "x")
		cancel()
		if err == nil || ctx.Err() != nil {
			return errors.Join(err, context.Cause(ctx))
		}
	}
}

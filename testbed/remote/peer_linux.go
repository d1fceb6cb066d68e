package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/ipc"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/weft-sdn/weft/testbed/netns"
)

// ErrMissing is why there is no independent peer.
var ErrMissing = errors.New("an independent WireGuard is missing")

// Missing says why a machine can't have an independent WireGuard; nil: it can.
func Missing() error {
	if err := netns.Denied(); err != nil {
		return err
	}
	for _, program := range []string{"wg", "wg-quick", "bash", "ping", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%w: %w (Debian: wireguard-tools)", ErrMissing, err)
		}
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		return fmt.Errorf("%w: %w", ErrMissing, err)
	}
	return nil
}

// Main is the process of an independent WireGuard: wireguard-go on a TUN device of the kernel's, set up by wg. It ends with its device.
func Main(name string, log io.Writer) error {
	t, err := tun.CreateTUN(name, device.DefaultMTU)
	if err != nil {
		return err
	}
	say := func(format string, args ...any) { fmt.Fprintf(log, format+"\n", args...) }
	d := device.NewDevice(t, conn.NewDefaultBind(), &device.Logger{Verbosef: say, Errorf: say})
	defer d.Close()
	file, err := ipc.UAPIOpen(name)
	if err != nil {
		return err
	}
	l, err := ipc.UAPIListen(name, file)
	if err != nil {
		return err
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go d.IpcHandle(c)
		}
	}()
	<-d.Wait()
	return nil
}

// Quick is an interface that wg-quick brought up in a machine's namespace.
type Quick struct {
	host *netns.Host
	name string
	dir  string
	env  []string
}

// argument is how a test binary is told that it is Main.
const argument = "wireguard-process"

// Up brings a file of wg-quick's up in a machine's namespace. The process is this test's binary: its TestMain calls Main with what follows argument.
func Up(ctx context.Context, h *netns.Host, name, conf string) (*Quick, error) {
	dir, err := os.MkdirTemp("", "wg")
	if err != nil {
		return nil, err
	}
	q := &Quick{host: h, name: name, dir: dir}
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	script := fmt.Sprintf(`#!/bin/bash
%q %s "$1" >%q 2>&1 </dev/null &
echo $! >%q
for ((i = 0; i < 200; i++)); do [ -S "/var/run/wireguard/$1.sock" ] && exit 0; read -rt 0.05 <> <(:) || :; done
exit 1
`, exe, argument, q.file("log"), q.file("pid"))
	if err := errors.Join(os.WriteFile(q.file("wireguard"), []byte(script), 0o700), os.WriteFile(q.file(name+".conf"), []byte(conf), 0o600)); err != nil {
		return nil, err
	}
	q.env = []string{"PATH=" + os.Getenv("PATH"), "WG_QUICK_USERSPACE_IMPLEMENTATION=" + q.file("wireguard")}
	if said, err := q.run(ctx, "bash", "-c", "echo 0 >/proc/sys/net/ipv6/conf/default/disable_ipv6"); err != nil { // a machine's own interface has it off
		q.Close()
		return nil, fmt.Errorf("IPv6: %w: %s", err, said)
	}
	if said, err := q.run(ctx, "wg-quick", "up", q.file(name+".conf")); err != nil {
		q.Close()
		return nil, fmt.Errorf("wg-quick up: %w: %s", err, said)
	}
	return q, nil
}

func (q *Quick) file(name string) string { return filepath.Join(q.dir, name) }

func (q *Quick) run(ctx context.Context, args ...string) (string, error) {
	out, errs, err := q.host.Exec(ctx, "env", append(q.env, args...)...)
	return string(out) + string(errs), err
}

// Show is what wg show says.
func (q *Quick) Show(ctx context.Context) (string, error) { return q.run(ctx, "wg", "show", q.name) }

// Set is wg set.
func (q *Quick) Set(ctx context.Context, args ...string) error {
	said, err := q.run(ctx, append([]string{"wg", "set", q.name}, args...)...)
	if err != nil {
		err = fmt.Errorf("wg set: %w: %s", err, said)
	}
	return err
}

// Log is what the process said.
func (q *Quick) Log() string {
	b, _ := os.ReadFile(q.file("log"))
	return string(b)
}

// Close ends the process, and its interface with it.
func (q *Quick) Close() {
	if b, err := os.ReadFile(q.file("pid")); err == nil {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && pid > 1 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	_ = os.Remove("/var/run/wireguard/" + q.name + ".sock")
	_ = os.RemoveAll(q.dir)
}

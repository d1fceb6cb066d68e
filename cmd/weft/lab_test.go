package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/testbed/netns"
)

// labCondition are the conditions of scripts that concern labs: netns and bmv2.
func labCondition(name string) (bool, error) {
	switch name {
	case "netns":
		return netns.Missing() == nil, nil
	case "bmv2":
		_, err := exec.LookPath("simple_switch_grpc")
		return err == nil && os.Geteuid() == 0, nil
	}
	return false, fmt.Errorf("there is no condition %q", name)
}

// startDev runs weft dev with processes of its own. It is killed at the end of the test.
func startDev(t *testing.T) (*exec.Cmd, *buffer) {
	t.Helper()
	dir, err := os.MkdirTemp("", "weft") // short, for the path of a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	cmd := exec.Command("weft", "dev", "--processes", "--listen", "unix://"+dir+"/e")
	out := new(buffer)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, out
}

// TestKilledLab: processes of a lab that is killed end, too.
func TestKilledLab(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ends the children of a process that is killed")
	}
	cmd, out := startDev(t)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		left, _ := filepath.Glob(filepath.Join(os.TempDir(), fmt.Sprintf("weft-lab-%d-*", cmd.Process.Pid)))
		for _, one := range left {
			os.RemoveAll(one)
		}
	})
	until(t, func() (bool, string) {
		select {
		case err := <-ended:
			t.Fatalf("weft dev ended: %v\n%s", err, out)
		default:
		}
		return strings.Contains(out.String(), "ctrl-C ends it"), out.String()
	})
	children := childrenOf(t, cmd.Process.Pid)
	if len(children) != 9 { // etcd, and an agent and a softswitch for each of four edges
		t.Errorf("%d processes, want 9", len(children))
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	until(t, func() (bool, string) {
		for _, pid := range children {
			if runs(pid) {
				return false, fmt.Sprintf("process %d runs on", pid)
			}
		}
		return true, ""
	})
	<-ended
	ended <- nil
}

// childrenOf are the children of all threads of a process.
func childrenOf(t *testing.T, pid int) (children []int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil || len(files) == 0 {
		t.Skip("this kernel does not tell a process's children")
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread ended
		}
		for word := range strings.FieldsSeq(string(text)) {
			child, err := strconv.Atoi(word)
			if err != nil {
				t.Fatal(err)
			}
			children = append(children, child)
		}
	}
	return children
}

// runs reports whether a process is there and no zombie.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := bytes.Cut(stat, []byte(") "))
	return !bytes.HasPrefix(state, []byte("Z")) && !bytes.HasPrefix(state, []byte("X"))
}

// TestLostProcess: a lab ends when one of its processes does, and says which, and what it said last.
func TestLostProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("children are looked up in Linux's /proc")
	}
	cmd, out := startDev(t)
	until(t, func() (bool, string) { return strings.Contains(out.String(), "ctrl-C ends it"), out.String() })
	children := childrenOf(t, cmd.Process.Pid)
	for _, pid := range children {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || !bytes.Contains(line, []byte("nic2.yaml")) {
			continue
		}
		if p, err := os.FindProcess(pid); err != nil || p.Kill() != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("weft dev ended well without one of its agents")
		}
	case <-time.After(time.Minute):
		t.Fatal("weft dev goes on without one of its agents")
	}
	if want := "agent of edge nic2: nic2.agent ended: signal: killed; its last words"; !strings.Contains(out.String(), want) {
		t.Errorf("it says\n%s\nwithout %q", out, want)
	}
	for _, pid := range children {
		if runs(pid) {
			t.Errorf("process %d was left behind", pid)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), fmt.Sprintf("weft-lab-%d-*", cmd.Process.Pid))); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

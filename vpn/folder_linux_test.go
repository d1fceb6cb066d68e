package vpn

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/testbed/wait"
)

// TestKilledAgent: the daemon of an agent that is killed ends with it, and the agent that starts next removes its folder, and no other's.
func TestKilledAgent(t *testing.T) {
	if os.Getenv("WEFT_VPN_AGENT") != "" {
		agentToKill()
		return
	}
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil { // for the daemon, who is nobody
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	c := needCell(t, func(string) {})
	agent := exec.Command(os.Args[0], "-test.run=^TestKilledAgent$")
	agent.Env = append(os.Environ(), "WEFT_VPN_AGENT=1")
	out, err := agent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, left, _ := strings.Cut(strings.TrimSpace(line), " ")
	if _, err := strconv.Atoi(pid); err != nil {
		t.Fatalf("it said %q", line)
	}
	if status, err := os.ReadFile("/proc/" + pid + "/status"); err != nil || strings.Contains(string(status), "\nUid:\t0\t") || strings.Contains(string(status), "\nGid:\t0\t") {
		t.Errorf("the daemon is root, or %v", err)
	}
	log := slog.New(slog.DiscardHandler)
	sweep(log)
	if _, err := os.Stat(left); err != nil {
		t.Fatalf("the folder of an agent that lives is gone: %v", err)
	}
	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = agent.Wait()
	wait.Until(t, "the daemon ends", func() bool {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
	stranger := os.TempDir() + "/" + folderPrefix + "stranger"
	if err := os.Mkdir(stranger, 0o755); err != nil {
		t.Fatal(err)
	}
	wait.Until(t, "the folder is removed", func() bool {
		sweep(log)
		_, err := os.Stat(left)
		return errors.Is(err, fs.ErrNotExist)
	})
	for _, path := range []string{c.folder.path, stranger} {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s is gone, too: %v", path, err)
		}
	}
}

// agentToKill runs a daemon until it is killed, and tells its process and folder.
func agentToKill() {
	c, err := newCell(slog.New(slog.DiscardHandler), nobody(), func(string) {})
	if err != nil {
		fmt.Println(err)
		return
	}
	c.run(func(ctx context.Context) error {
		return c.exec(ctx, nil, nil, endTime, func(line string) { fmt.Println(line, c.folder.path) }, "sh", "-c", "echo $$; exec sleep 1000")
	})
	c.running.Wait()
}

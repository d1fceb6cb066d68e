package peer

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/weft-sdn/weft/testbed/netns"
)

// ErrNotInstalled is why there is no speaker where its programs are missing.
var ErrNotInstalled = errors.New("is not installed")

// ErrEnded is why a speaker tells nothing: its programs have ended, or were killed.
var ErrEnded = errors.New("is not running")

// places of programs beside PATH: where Debian has those that users do not call.
var places = [...]string{"/usr/sbin", "/usr/lib/frr"}

// programs are those of a maker, and debian the package that has them there.
func (m Maker) programs() (programs []string, debian string) {
	if m == BIRD {
		return []string{"bird"}, "bird2"
	}
	return []string{"zebra", "bgpd", "bfdd"}, "frr"
}

// find returns the path of a program of a maker. The error is ErrNotInstalled.
func find(maker Maker, program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	for _, place := range places {
		if path, err := exec.LookPath(filepath.Join(place, program)); err == nil {
			return path, nil
		}
	}
	_, debian := maker.programs()
	return "", fmt.Errorf("%s: program %s %w: Debian has it in package %s", maker, program, ErrNotInstalled, debian)
}

// Missing tells why Open cannot work for a maker here; nil: it can.
func Missing(maker Maker) error {
	programs, _ := maker.programs()
	for _, program := range programs {
		if _, err := find(maker, program); err != nil {
			return err
		}
	}
	if err := netns.Denied(); err != nil {
		return fmt.Errorf("%s: %w", maker, err)
	}
	return nil
}

// Need skips a test, and says so, where one of the makers' speakers cannot be had.
func Need(t testing.TB, makers ...Maker) {
	t.Helper()
	for _, maker := range makers {
		if err := Missing(maker); err != nil {
			t.Skipf("NO BGP PEER: %v", err)
		}
	}
}

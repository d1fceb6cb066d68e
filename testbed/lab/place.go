package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// placePrefix begins the names of labs' directories: placePrefix, process id of the owner, "-", something random.
const placePrefix = "weft-lab-"

// place is the directory of a running lab: sockets, logs, etcd's data. It is locked as long as its owner lives, so that others can tell.
type place struct {
	dir  string
	lock *os.File
}

// newPlace makes a directory, and takes away those of labs that were killed.
func newPlace() (*place, error) {
	sweep()
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d-", placePrefix, os.Getpid()))
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &place{dir, lock}, nil
}

// remove takes the directory away.
func (p *place) remove() error { return errors.Join(os.RemoveAll(p.dir), p.lock.Close()) }

// lockDir locks a directory until the file is closed, or the process ends.
func lockDir(dir string) (*os.File, error) {
	file, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), file.Close())
	}
	return file, nil
}

// sweep removes the directories that labs left behind: nobody holds the lock, and no process has the id. Both, since ids are given again, and those of
// another container are not seen here. What belongs to another user stays.
func sweep() {
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), placePrefix+"*"))
	for _, dir := range left {
		text, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), placePrefix), "-")
		pid, err := strconv.Atoi(text)
		if err != nil || pid <= 0 || !errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
			continue
		}
		if lock, err := lockDir(dir); err == nil {
			_ = os.RemoveAll(dir)
			_ = lock.Close()
		}
	}
}

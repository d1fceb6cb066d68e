package vpn

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// folder is the private folder of a daemon, with mode 0700. There are no secrets in it. It is locked as long as its process lives: so folders that are nobody's any more are known.
type folder struct {
	path string
	lock *os.File
}

const folderPrefix = "weft-vpn-"

// newFolder makes a folder of a user's.
func newFolder(uid, gid int) (*folder, error) {
	for {
		path, err := os.MkdirTemp("", folderPrefix)
		if err != nil {
			return nil, err
		}
		f, err := lockFolder(path, 0)
		if err == nil {
			err = os.Chown(path, uid, gid)
		}
		switch {
		case err == nil:
			return f, nil
		case errors.Is(err, fs.ErrNotExist): // another agent that has just started took it for a dead one's
			continue
		}
		_ = os.RemoveAll(path)
		return nil, err
	}
}

// lockFolder locks a folder that is there then.
func lockFolder(path string, wait int) (*folder, error) {
	lock, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|wait); err == nil {
		_, err = os.Lstat(path)
	}
	if err != nil {
		lock.Close()
		return nil, err
	}
	return &folder{path, lock}, nil
}

// remove removes a folder, and what is in it.
func (f *folder) remove() {
	_ = os.RemoveAll(f.path)
	f.lock.Close()
}

// sweep removes the folders that agents left behind which were killed.
func sweep(log *slog.Logger) {
	paths, _ := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*"))
	for _, path := range paths {
		info, err := os.Lstat(path)
		if err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 {
			continue // not ours
		}
		f, err := lockFolder(path, unix.LOCK_NB)
		if err != nil {
			continue // somebody's
		}
		f.remove()
		log.Info("removed what an agent that was killed left behind", "folder", path)
	}
}

package p4rt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Fence gives out election ids that are never used twice, across restarts of the controller: each is
// on disk before it is given. Use its Election as Config.Election. One process owns the file.
//
// It claims: every answer is above all that the target has shown. A controller that should wait
// for another to leave answers from an election of its own (etcd, Raft) instead.
type Fence struct {
	path string

	mu   sync.Mutex
	last ElectionID
	err  error
}

// fenceSize is the length of the file: the id and a checksum.
const fenceSize = 20

// OpenFence reads the file, or starts at 0 if there is none. A file that is damaged is an error: the
// ids given before are not known.
func OpenFence(path string) (*Fence, error) {
	f := &Fence{path: path}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, fmt.Errorf("election fence: %w", err)
	}
	if len(b) != fenceSize || crc32.ChecksumIEEE(b[:16]) != binary.BigEndian.Uint32(b[16:]) {
		return nil, fmt.Errorf("election fence %s: %w: write a higher election id than any used before into a new one", path, ErrMalformed)
	}
	f.last = ElectionID{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
	return f, nil
}

// Election gives the next id: above seen and above all that were given. If it can't be stored the
// answer is zero, a backup's, and Err tells why.
func (f *Fence) Election(seen ElectionID) ElectionID {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := f.last
	if next.Less(seen) {
		next = seen
	}
	if next.Low++; next.Low == 0 {
		next.High++
	}
	if f.err = f.store(next); f.err != nil {
		return ElectionID{}
	}
	f.last = next
	return next
}

// Last is the id given last; zero if none.
func (f *Fence) Last() ElectionID {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

// Err is why the last call of Election could not store its answer; nil if it could.
func (f *Fence) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// store replaces the file and waits until it is on disk.
func (f *Fence) store(id ElectionID) (err error) {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, fenceSize), id.High)
	b = binary.BigEndian.AppendUint64(b, id.Low)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	file, err := os.CreateTemp(filepath.Dir(f.path), filepath.Base(f.path)+".*")
	if err != nil {
		return fmt.Errorf("election fence: %w", err)
	}
	defer func() {
		if err != nil {
			os.Remove(file.Name())
			err = fmt.Errorf("election fence: %w", err)
		}
	}()
	_, err = file.Write(b)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err = os.Rename(file.Name(), f.path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(f.path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

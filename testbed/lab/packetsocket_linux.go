package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// packetSockets counts what the kernel drops because a process is slow to read its packet sockets. The process need not help: the sockets are looked up
// in it, and shared.
type packetSockets struct {
	mu      sync.Mutex
	indexes []int // of the interfaces whose sockets count
	pid     int   // of the process that the descriptors are from
	shared  []int // descriptors of this process
	count   uint64
}

// watch adds an interface by index.
func (s *packetSockets) watch(index int) { s.indexes = append(s.indexes, index) }

// dropped counts the frames that were dropped so far. It is 0 if the process can't be looked into.
func (s *packetSockets) dropped(pid int) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if pid != s.pid || len(s.shared) < len(s.indexes) {
		s.closeLocked()
		s.pid, s.shared = pid, s.find(pid)
	}
	for _, fd := range s.shared {
		if stats, err := unix.GetsockoptTpacketStats(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil { // reading resets them
			s.count += uint64(stats.Drops)
		}
	}
	return s.count
}

// find shares the process's packet sockets on the interfaces.
func (s *packetSockets) find(pid int) (shared []int) {
	if pid == 0 {
		return nil
	}
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(process)
	names, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, name := range names {
		theirs, err := strconv.Atoi(filepath.Base(name))
		if err != nil {
			continue
		}
		fd, err := unix.PidfdGetfd(process, theirs, 0)
		if err != nil {
			continue
		}
		if address, err := unix.Getsockname(fd); err == nil {
			if at, ok := address.(*unix.SockaddrLinklayer); ok && slices.Contains(s.indexes, at.Ifindex) {
				shared = append(shared, fd)
				continue
			}
		}
		unix.Close(fd)
	}
	return shared
}

func (s *packetSockets) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeLocked()
}

func (s *packetSockets) closeLocked() {
	for _, fd := range s.shared {
		unix.Close(fd)
	}
	s.shared = nil
}

// disableOffloads makes an interface leave no segmentation to others (ethtool -K NAME tso off gso off gro off tx off).
func disableOffloads(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	for _, set := range []uint32{unix.ETHTOOL_STXCSUM, unix.ETHTOOL_STSO, unix.ETHTOOL_SGSO, unix.ETHTOOL_SGRO} {
		value := struct{ command, data uint32 }{set, 0}
		request := struct {
			name [unix.IFNAMSIZ]byte
			data *struct{ command, data uint32 }
			_    [16]byte // the kernel's union is longer than a pointer
		}{data: &value}
		copy(request.name[:unix.IFNAMSIZ-1], name)
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
			return fmt.Errorf("interface %s: turn offloads off: %w", name, errno)
		}
	}
	return nil
}

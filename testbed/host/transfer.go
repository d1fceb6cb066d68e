package host

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Transfer is what a bulk transfer achieved.
type Transfer struct {
	Bytes     int64
	Connected time.Duration // until the connection stood
	Duration  time.Duration
	SHA256    [sha256.Size]byte
}

// Mbps is the rate in 10⁶ bits per second.
func (t Transfer) Mbps() float64 {
	if t.Duration <= 0 {
		return 0
	}
	return float64(t.Bytes) * 8 / 1e6 / t.Duration.Seconds()
}

// pattern is a reproducible, incompressible stream of n bytes.
func pattern(seed uint64, n int64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return io.LimitReader(rand.NewChaCha8(key), n)
}

// patternSum is the hash of pattern(seed, n).
func patternSum(seed uint64, n int64) (sum [sha256.Size]byte, err error) {
	hash := sha256.New()
	if _, err := io.Copy(hash, pattern(seed, n)); err != nil {
		return sum, fmt.Errorf("hash pattern: %w", err)
	}
	return [sha256.Size]byte(hash.Sum(nil)), nil
}

// ServeSink takes TCP connections on port, until the host closes: it reads each to its end
// and answers with the count (8 bytes, big endian) and SHA-256 of what it read.
func (h *Host) ServeSink(port uint16) error {
	listener, err := h.ListenTCP(port)
	if err != nil {
		return err
	}
	err = h.start(listener, func() {
		var conns sync.WaitGroup
		defer conns.Wait()
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { h.sink(conn) })
		}
	})
	if err != nil {
		listener.Close()
	}
	return err
}

func (h *Host) sink(conn net.Conn) {
	defer conn.Close()
	stop := context.AfterFunc(h.ctx, func() { expire(conn) })
	defer stop()
	hash := sha256.New()
	n, err := io.Copy(hash, conn)
	if err != nil {
		return // the sender sees the same
	}
	answer := binary.BigEndian.AppendUint64(nil, uint64(n))
	if _, err := conn.Write(hash.Sum(answer)); err != nil {
		return // as above
	}
}

// expire makes blocked calls on conn return.
func expire(conn net.Conn) {
	if err := conn.SetDeadline(time.Unix(1, 0)); err != nil {
		conn.Close()
	}
}

// Push sends n bytes by TCP to a sink and checks its count and hash.
func (h *Host) Push(ctx context.Context, to netip.AddrPort, n int64) (Transfer, error) {
	return h.PushAt(ctx, to, n, nil)
}

// PushAt is Push at a pace.
func (h *Host) PushAt(ctx context.Context, to netip.AddrPort, n int64, pace Pace) (Transfer, error) {
	begin := time.Now()
	conn, err := h.DialTCP(ctx, to)
	if err != nil {
		return Transfer{}, err
	}
	defer conn.Close()
	connected := time.Since(begin)
	for _, c := range []context.Context{ctx, h.ctx} {
		stop := context.AfterFunc(c, func() { expire(conn) })
		defer stop()
	}
	fail := func(err error) (Transfer, error) {
		if cause := context.Cause(ctx); cause != nil {
			err = errors.Join(cause, err)
		}
		return Transfer{}, fmt.Errorf("host %s: push to %s: %w", h.cfg.Name, to, err)
	}
	seed, hash := rand.Uint64(), sha256.New()
	sent, err := io.Copy(conn, io.TeeReader(paced(ctx, pattern(seed, n), pace), hash))
	if err != nil {
		return fail(err)
	}
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		if err := half.CloseWrite(); err != nil {
			return fail(err)
		}
	}
	var answer [8 + sha256.Size]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return fail(err)
	}
	result := Transfer{Bytes: sent, Connected: connected, Duration: time.Since(begin), SHA256: [sha256.Size]byte(hash.Sum(nil))}
	if got := int64(binary.BigEndian.Uint64(answer[:])); got != sent || [sha256.Size]byte(answer[8:]) != result.SHA256 {
		return fail(fmt.Errorf("%w: %d of %d bytes arrived", ErrCorrupt, got, sent))
	}
	return result, nil
}

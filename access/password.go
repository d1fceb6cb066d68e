package access

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"
)

// Bounds of a password: the most is what bcrypt reads.
const (
	minPassword  = 12 // characters
	maxPassword  = 72 // bytes
	passwordCost = 12
)

// passwords hashes them, few at once: each keeps a core busy for a quarter of a second.
type passwords struct {
	slots chan struct{}
	cost  int
}

func newPasswords(cost int) passwords {
	if cost == 0 {
		cost = passwordCost
	}
	return passwords{make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), cost}
}

// begin waits for a turn, which end gives back.
func (p *passwords) begin(ctx context.Context) error {
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: too much to do", ErrUnavailable)
	}
}

func (p *passwords) end() { <-p.slots }

// hash returns what is stored of a new password.
func (p *passwords) hash(ctx context.Context, password string, of UserName) (string, error) {
	switch {
	case utf8.RuneCountInString(password) < minPassword:
		return "", fmt.Errorf("%w: password: use %d characters at least", ErrInvalid, minPassword)
	case len(password) > maxPassword:
		return "", fmt.Errorf("%w: password: use %d bytes at most", ErrInvalid, maxPassword)
	case password == of.Name || password == of.String():
		return "", fmt.Errorf("%w: password: use another than the name", ErrInvalid)
	}
	if err := p.begin(ctx); err != nil {
		return "", err
	}
	defer p.end()
	b, err := bcrypt.GenerateFromPassword([]byte(password), p.cost)
	if err != nil {
		return "", errors.New("access: a password can't be hashed")
	}
	return string(b), nil
}

// check reports whether a password is that of which a hash is stored; "" is nobody's, and takes as long.
func (p *passwords) check(ctx context.Context, hash, password string) (bool, error) {
	if err := p.begin(ctx); err != nil {
		return false, err
	}
	defer p.end()
	known := hash != ""
	if !known {
		hash = nobodys
	}
	return bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil && known, nil
}

// nobodys is the hash of a random text that was thrown away.
const nobodys = "$2a$12$mxzkfcb7qZazRunMgccZvuu.9iD3GSG5OZ6cR9uezvJxe.fJOC4ky"

package vpn

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// UIDs are user ids, of which each daemon that needs no privileges has one of its own. Zero: they all are nobody.
type UIDs struct{ First, Last uint32 }

// firstUID is the lowest that daemons may have: those below are of root and the system's services.
const firstUID = 1000

// ParseUIDs reads FIRST-LAST.
func ParseUIDs(text string) (UIDs, error) {
	first, last, _ := strings.Cut(text, "-")
	a, errA := strconv.ParseUint(first, 10, 32)
	b, errB := strconv.ParseUint(last, 10, 32)
	switch {
	case errors.Join(errA, errB) != nil:
		return UIDs{}, errors.New("is not FIRST-LAST, two user ids")
	case a < firstUID || b < a || b >= 1<<32-1:
		return UIDs{}, fmt.Errorf("are no user ids from %d on, the lower one first", firstUID)
	}
	return UIDs{First: uint32(a), Last: uint32(b)}, nil
}

// uids gives user ids to daemons.
type uids struct {
	of UIDs

	mu    sync.Mutex
	taken map[uint32]bool
}

var errNoUID = errors.New("all user ids of vpn.uids, of the agent's configuration, are taken by daemons of other VPNs: give a larger range")

// take gives a daemon a user id, until it is given back.
func (u *uids) take() (uint32, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id := u.of.First; id <= u.of.Last; id++ {
		if !u.taken[id] {
			if u.taken == nil {
				u.taken = map[uint32]bool{}
			}
			u.taken[id] = true
			return id, nil
		}
	}
	return 0, errNoUID
}

func (u *uids) back(id uint32) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.taken, id)
}

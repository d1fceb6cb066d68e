package access

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weft-sdn/weft/state"
)

// directory is who has access, as the database last said.
type directory struct {
	log *slog.Logger

	mu     sync.RWMutex
	listed map[string]bool // prefixes of which all is known
	users  map[UserName]storedUser
	tokens map[string]storedToken // by id
}

func newDirectory(log *slog.Logger) *directory {
	return &directory{log: log, listed: map[string]bool{}, users: map[UserName]storedUser{}, tokens: map[string]storedToken{}}
}

// deliver takes what changed. What can't be read counts as absent: nobody gets in by it.
func (d *directory) deliver(b state.Batch) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, prefix := range b.Listed {
		if d.listed[prefix] = true; prefix == userPrefix {
			clear(d.users)
		} else {
			clear(d.tokens)
		}
	}
	for i := range b.Events {
		if err := d.take(&b.Events[i]); err != nil {
			d.log.Warn("what is stored of users and tokens can't be read; it does not count", "err", err)
		}
	}
	return nil
}

func (d *directory) take(e *state.Event) error {
	if e.Prefix == userPrefix {
		name, err := parseUserKey(e.Key)
		if err != nil {
			return err
		}
		delete(d.users, name)
		if e.Deleted {
			return nil
		}
		u, err := decodeUser(e.Key, e.Value, e.ModRevision)
		if err == nil {
			d.users[name] = u
		}
		return err
	}
	id := strings.TrimPrefix(e.Key, tokenPrefix)
	delete(d.tokens, id)
	if e.Deleted {
		return nil
	}
	t, err := decodeToken(e.Key, e.Value, e.ModRevision)
	if err == nil {
		d.tokens[id] = t
	}
	return err
}

// decodeUser reads a user. An error says which key, not what it holds.
func decodeUser(key string, value []byte, rev int64) (storedUser, error) {
	u := storedUser{rev: rev}
	if json.Unmarshal(value, &u) != nil || u.check() != nil || userKey(u.UserName()) != key {
		return storedUser{}, fmt.Errorf("key %q holds no user", key)
	}
	return u, nil
}

func decodeToken(key string, value []byte, rev int64) (storedToken, error) {
	t := storedToken{rev: rev}
	if json.Unmarshal(value, &t) != nil || !isDigits(t.ID, idBytes) || tokenKey(t.ID) != key || t.Owner == "" || checkRole(t.Role, t.Tenant) != nil {
		return storedToken{}, fmt.Errorf("key %q holds no token", key)
	}
	return t, nil
}

func (d *directory) isReady() bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.listed[userPrefix] && d.listed[tokenPrefix]
}

func (d *directory) user(name UserName) (storedUser, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	u, ok := d.users[name]
	return u, ok
}

func (d *directory) token(id string) (storedToken, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	t, ok := d.tokens[id]
	return t, ok
}

// allUsers are the users of a tenant, or all, in order of name.
func (d *directory) allUsers(tenant string, all bool) []User {
	d.mu.RLock()
	defer d.mu.RUnlock()
	list := []User{}
	for name, u := range d.users {
		if all || name.Tenant == tenant {
			list = append(list, u.User)
		}
	}
	slices.SortFunc(list, func(a, b User) int { return strings.Compare(userKey(a.UserName()), userKey(b.UserName())) })
	return list
}

func (d *directory) allTokens() []storedToken {
	d.mu.RLock()
	defer d.mu.RUnlock()
	list := slices.Collect(maps.Values(d.tokens))
	slices.SortFunc(list, func(a, b storedToken) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// stands reports whether what a token lets its owner do counts now, and in which role: a user who went or was disabled may nothing, and of one who has another role a token counts that is for no more. A session is of
// the role that he has. What was made with another token goes with that. Others than users are not known here.
func (d *directory) stands(t *storedToken, now time.Time) (Role, bool) {
	above := *t
	for n := 0; above.Parent != ""; n++ {
		parent, ok := d.token(above.Parent)
		if !ok || n == maxAncestors {
			return "", false
		}
		if _, ok := d.standsAlone(&parent, now); !ok {
			return "", false
		}
		above = parent
	}
	return d.standsAlone(t, now)
}

// maxAncestors bounds the tokens of which one made the next. It can't go round, as long as nobody writes that into the database.
const maxAncestors = 1000

// standsAlone is the same, whatever token it was made with.
func (d *directory) standsAlone(t *storedToken, now time.Time) (Role, bool) {
	if t.expired(now) {
		return "", false
	}
	name, ok := strings.CutPrefix(t.Owner, userSubject)
	if !ok {
		return t.Role, true
	}
	u, err := ParseUserName(name)
	if err != nil {
		return "", false
	}
	owner, ok := d.user(u)
	switch {
	case !ok || owner.Disabled:
		return "", false
	case t.Session:
		return owner.Role, t.Tie == owner.Key
	}
	return t.Role, t.Tie == owner.Born && covers(owner.Role, owner.Tenant, t.Role, t.Tenant)
}

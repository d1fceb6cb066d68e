package access

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// UserChange is what is to become of a user; nil leaves it as it is.
type UserChange struct {
	Role     *Role
	Disabled *bool
	Password *string // new
	Old      string  // the present password, needed of who changes his own
}

// maxUsers is how many a tenant may have, and the provider: he who may make them can't fill the database with them.
const maxUsers = 1000

// Users returns the users that somebody may see, in order of tenant and name.
func (g *Guard) Users(ctx context.Context, who Identity) ([]User, error) {
	if err := g.Allow(ctx, who, Action{Verb: List, Kind: KindUser}); err != nil {
		return nil, err
	}
	tenant, all := who.Sees()
	return g.known.allUsers(tenant, all), nil
}

// User returns one user.
func (g *Guard) User(ctx context.Context, who Identity, name UserName) (User, error) {
	if err := g.Allow(ctx, who, Action{Verb: Get, Kind: KindUser, Tenant: name.Tenant, Name: name.Name}); err != nil {
		return User{}, err
	}
	u, err := g.findUser(ctx, name)
	return u.User, err
}

// findUser returns a user, also one whom another server made a moment ago. ErrNotFound: there is none.
func (g *Guard) findUser(ctx context.Context, name UserName) (storedUser, error) {
	u, ok := g.known.user(name)
	if !ok && g.client != nil {
		if err := g.catchUp(ctx); err != nil {
			return storedUser{}, err
		}
		u, ok = g.known.user(name)
	}
	if !ok {
		return storedUser{}, ErrNotFound
	}
	return u, nil
}

// CreateUser makes a user.
func (g *Guard) CreateUser(ctx context.Context, who Identity, u User, password string) (User, error) {
	if err := g.Allow(ctx, who, Action{Verb: Create, Kind: KindUser, Tenant: u.Tenant, Name: u.Name}); err != nil {
		return User{}, err
	}
	if err := u.check(); err != nil {
		return User{}, err
	}
	if len(g.known.allUsers(u.Tenant, false)) >= maxUsers {
		return User{}, fmt.Errorf("%w: there are %d users already, as many as a tenant may have", ErrInvalid, maxUsers)
	}
	if err := unscoped(who); err != nil {
		return User{}, err
	}
	hash, err := g.passwords.hash(ctx, password, u.UserName())
	if err != nil {
		return User{}, err
	}
	u.Created = g.cfg.Now().UTC()
	write, err := put(userKey(u.UserName()), storedUser{User: u, Password: hash, Born: newMark(), Key: newMark()})
	if err != nil {
		return User{}, err
	}
	err = g.commit(ctx, change{who: who, verb: Create, kind: KindUser, tenant: u.Tenant, name: u.Name, after: &u}, []clientv3.Cmp{at(userKey(u.UserName()), 0)}, write)
	if errors.Is(err, errConflict) {
		err = fmt.Errorf("user %s: %w", u.UserName(), ErrExists)
	}
	return u, err
}

// unscoped refuses what was shown for some kinds alone: a user is one for all that his role may, and so whoever makes one, or gets at his password, is.
func unscoped(who Identity) error {
	if len(who.Scope.Kinds) > 0 {
		return fmt.Errorf("%w: what was shown is for kinds %v alone, and a user is for all that his role may", ErrForbidden, who.Scope.Kinds)
	}
	return nil
}

// ChangeUser changes a user. One may change one's own password, and nothing else of oneself without the role for it. With another password, his sessions end.
func (g *Guard) ChangeUser(ctx context.Context, who Identity, name UserName, c UserChange) (User, error) {
	own := who.Subject == name.Subject() && who.Method == BySession && c.Role == nil && c.Disabled == nil
	if err := g.Allow(ctx, who, Action{Verb: Update, Kind: KindUser, Tenant: name.Tenant, Name: name.Name}); err != nil && !own {
		return User{}, err
	}
	if c.Password != nil || c.Role != nil {
		if err := unscoped(who); err != nil {
			return User{}, err
		}
	}
	hash := ""
	if c.Password != nil {
		if who.Subject == name.Subject() { // whatever he may, and shows: it may be stolen
			if err := g.knows(ctx, name, c.Old); err != nil {
				return User{}, err
			}
		}
		var err error
		if hash, err = g.passwords.hash(ctx, *c.Password, name); err != nil {
			return User{}, err
		}
	}
	return g.editUser(ctx, who, name, func(u *storedUser) error {
		if c.Role != nil {
			u.Role = *c.Role
		}
		if c.Disabled != nil {
			u.Disabled = *c.Disabled
		}
		if hash != "" {
			u.Password, u.Key = hash, newMark()
		}
		return u.check()
	})
}

// knows checks the present password of who changes it.
func (g *Guard) knows(ctx context.Context, name UserName, password string) error {
	if !g.tries.takeUser(name) {
		return ErrTooMany
	}
	u, ok := g.known.user(name)
	right, err := g.passwords.check(ctx, u.Password, password)
	switch {
	case err != nil:
		return err
	case !ok || !right:
		return fmt.Errorf("%w: the present password is needed, and is another", ErrForbidden)
	}
	g.tries.userSucceeded(name)
	return nil
}

func (g *Guard) editUser(ctx context.Context, who Identity, name UserName, edit func(*storedUser) error) (User, error) {
	for range attempts {
		was, err := g.findUser(ctx, name)
		if err != nil {
			return User{}, err
		}
		is := was
		if err := edit(&is); err != nil {
			return User{}, err
		}
		write, err := put(userKey(name), is)
		if err != nil {
			return User{}, err
		}
		c := change{who: who, verb: Update, kind: KindUser, tenant: name.Tenant, name: name.Name, before: &was.User, after: &is.User}
		err = g.commit(ctx, c, []clientv3.Cmp{at(userKey(name), was.rev)}, write)
		if !errors.Is(err, errConflict) {
			return is.User, err
		}
		if err := g.catchUp(ctx); err != nil {
			return User{}, err
		}
	}
	return User{}, fmt.Errorf("user %s: %w", name, errConflict)
}

// catchUp waits until all that is stored now is known here.
func (g *Guard) catchUp(ctx context.Context) error {
	resp, err := g.client.Get(ctx, firstKey, clientv3.WithCountOnly())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err := g.watcher.Wait(ctx, resp.Header.Revision); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// DeleteUser removes a user. His tokens and sessions do not count any more, and go when they expire.
func (g *Guard) DeleteUser(ctx context.Context, who Identity, name UserName) error {
	if err := g.Allow(ctx, who, Action{Verb: Delete, Kind: KindUser, Tenant: name.Tenant, Name: name.Name}); err != nil {
		return err
	}
	was, err := g.findUser(ctx, name)
	if err != nil {
		return err
	}
	c := change{who: who, verb: Delete, kind: KindUser, tenant: name.Tenant, name: name.Name, before: &was.User}
	err = g.commit(ctx, c, []clientv3.Cmp{at(userKey(name), was.rev)}, clientv3.OpDelete(userKey(name)))
	if errors.Is(err, errConflict) {
		err = fmt.Errorf("user %s: %w", name, err)
	}
	return err
}

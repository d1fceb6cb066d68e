package access

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// UserName names a user: of a tenant, or of the provider. Comparable.
type UserName struct{ Tenant, Name string }

// ParseUserName reads NAME, of the provider, or TENANT/NAME.
func ParseUserName(text string) (UserName, error) {
	var u UserName
	tenant, name, found := strings.Cut(text, "/")
	if u = (UserName{"", tenant}); found {
		u = UserName{tenant, name}
	}
	if found && tenant == "" {
		return UserName{}, fmt.Errorf("%w: the tenant before / is missing", ErrInvalid)
	}
	return u, u.check()
}

var (
	userNames   = regexp.MustCompile(`^[a-z0-9][a-z0-9.@_-]{0,62}$`)
	tenantNames = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,62}$`)
)

func (u UserName) check() error {
	if !userNames.MatchString(u.Name) {
		return fmt.Errorf("%w: name of a user: use 1 to 63 of a-z, 0-9, '.', '-', '_' and '@', a letter or digit first", ErrInvalid)
	}
	return checkTenant(u.Tenant)
}

func checkTenant(name string) error {
	if name != "" && !tenantNames.MatchString(name) {
		return fmt.Errorf("%w: name of a tenant: use 1 to 63 of a-z, 0-9, '-' and '.', a letter or digit first", ErrInvalid)
	}
	return nil
}

// String returns the form that ParseUserName reads.
func (u UserName) String() string {
	if u.Tenant == "" {
		return u.Name
	}
	return u.Tenant + "/" + u.Name
}

const userSubject = "user:"

// Subject is what the user is as an Identity.
func (u UserName) Subject() string { return userSubject + u.String() }

// User is somebody with a password.
type User struct {
	Name     string    `json:"name"`
	Tenant   string    `json:"tenant,omitempty"` // empty: of the provider
	Role     Role      `json:"role"`
	Disabled bool      `json:"disabled,omitempty"` // he may not log in, and his tokens do not count
	Created  time.Time `json:"created"`
}

// UserName returns the user's name.
func (u *User) UserName() UserName { return UserName{u.Tenant, u.Name} }

func (u *User) check() error {
	if err := u.UserName().check(); err != nil {
		return err
	}
	return checkRole(u.Role, u.Tenant)
}

// checkRole checks that a role is one of people, and goes with the tenant.
func checkRole(r Role, tenant string) error {
	switch {
	case !r.Valid() || r == Agent:
		return fmt.Errorf("%w: role: use %s, %s, %s, %s or %s", ErrInvalid, ProviderAdmin, ProviderViewer, TenantAdmin, TenantEditor, TenantViewer)
	case r.OfTenant() && tenant == "":
		return fmt.Errorf("%w: role %s goes with a tenant: name it", ErrInvalid, r)
	case !r.OfTenant() && tenant != "":
		return fmt.Errorf("%w: role %s is of the provider: leave the tenant out, or use %s, %s or %s", ErrInvalid, r, TenantAdmin, TenantEditor, TenantViewer)
	}
	return checkTenant(tenant)
}

// storedUser is a user as in the database.
type storedUser struct {
	User
	Password string `json:"password"` // bcrypt
	Born     string `json:"born"`     // another for each user who ever had the name: his tokens have it
	Key      string `json:"key"`      // another for each password: his sessions have it
	rev      int64  // at which it was written
}

// covers reports whether somebody of one role may let another act in another: he may do all that it may.
func covers(r Role, tenant string, less Role, lessTenant string) bool {
	switch r {
	case ProviderAdmin:
		return true
	case ProviderViewer:
		return less == ProviderViewer || less == TenantViewer
	case TenantAdmin:
		return tenant == lessTenant && less.OfTenant()
	case TenantEditor:
		return tenant == lessTenant && (less == TenantEditor || less == TenantViewer)
	case TenantViewer:
		return tenant == lessTenant && less == TenantViewer
	}
	return false
}

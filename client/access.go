package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/weft-sdn/weft/topology"
)

// Ways are how one can log in at a server.
type Ways struct {
	Password bool      `json:"password" doc:"By user and password: POST /v1/login"`
	OIDC     *OIDCWays `json:"oidc,omitempty" doc:"By an OpenID provider, whose ID tokens are then shown as they are"`
}

// OIDCWays is an OpenID provider.
type OIDCWays struct {
	Issuer   string   `json:"issuer" doc:"URL of the provider"`
	ClientID string   `json:"clientID" doc:"Client for which the ID token is to be made out"`
	Scopes   []string `json:"scopes" doc:"What to ask for"`
}

// Login is who logs in.
type Login struct {
	User     string `json:"user" maxLength:"127" doc:"NAME of one of the provider's, TENANT/NAME of a tenant's" example:"acme/ann"`
	Password string `json:"password" maxLength:"1024" doc:"The user's password"`
}

// Identity is who asks, as the server sees it.
type Identity struct {
	Subject  string          `json:"subject" doc:"What the audit log calls him" example:"user:acme/ann"`
	Name     string          `json:"name,omitempty" doc:"For people to read, if there is a better one"`
	Role     string          `json:"role" doc:"provider-admin, provider-viewer, tenant-admin, tenant-editor, tenant-viewer or agent"`
	Tenant   string          `json:"tenant,omitempty" doc:"Of a role of a tenant"`
	Method   string          `json:"method,omitempty" doc:"How he showed who he is: session, token, oidc or certificate"`
	Token    string          `json:"token,omitempty" doc:"Id of the token or session that was shown"`
	Expires  time.Time       `json:"expires,omitzero" doc:"When what was shown ends; none: not by itself"`
	ReadOnly bool            `json:"readOnly,omitempty" doc:"What was shown is for reading alone"`
	Kinds    []topology.Kind `json:"kinds,omitempty" doc:"Kinds that it is for; none: all"`
}

// MadeToken is a token or session that was made.
type MadeToken struct {
	Secret string   `json:"secret" doc:"What is to be shown, as Authorization: Bearer SECRET. It is told this once"`
	Token  APIToken `json:"token" doc:"What is known of it"`
}

// APIToken is a token or session.
type APIToken struct {
	ID       string          `json:"id" doc:"To revoke it by"`
	Name     string          `json:"name,omitempty" doc:"What it is for"`
	Owner    string          `json:"owner" doc:"Who made it, and as whom it acts"`
	Role     string          `json:"role" doc:"What it may do at most"`
	Tenant   string          `json:"tenant,omitempty" doc:"Of a role of a tenant"`
	ReadOnly bool            `json:"readOnly,omitempty" doc:"It is for reading alone"`
	Kinds    []topology.Kind `json:"kinds,omitempty" doc:"Kinds that it is for; none: all"`
	Session  bool            `json:"session,omitempty" doc:"It was got by logging in"`
	Created  time.Time       `json:"created" doc:"When it was made"`
	Expires  time.Time       `json:"expires,omitzero" doc:"When it ends; none: not by itself"`
	LastUsed time.Time       `json:"lastUsed,omitzero" doc:"When it was shown last, to a minute; none: not yet"`
}

// NewToken is what a token is wanted for.
type NewToken struct {
	Name     string          `json:"name,omitempty" maxLength:"100" doc:"What it is for"`
	Role     string          `json:"role,omitempty" maxLength:"63" doc:"What it may do at most; none: as much as who asks"`
	Tenant   string          `json:"tenant,omitempty" maxLength:"63" doc:"Of a role of a tenant; none: that of who asks"`
	ReadOnly bool            `json:"readOnly,omitempty" doc:"It is for reading alone"`
	Kinds    []topology.Kind `json:"kinds,omitempty" maxItems:"64" doc:"Kinds that it is for, of objects or views; none: all" example:"VPort"`
	Seconds  int64           `json:"seconds,omitempty" minimum:"0" maximum:"31622400" doc:"How long it lives; 0: 30 days"`
}

// User is somebody with a password.
type User struct {
	Name     string    `json:"name" maxLength:"63" doc:"1 to 63 of a-z, 0-9, '.', '-', '_' and '@'" example:"ann"`
	Tenant   string    `json:"tenant,omitempty" maxLength:"63" doc:"Of whom he is; none: of the provider" example:"acme"`
	Role     string    `json:"role" maxLength:"63" doc:"provider-admin or provider-viewer; of a tenant: tenant-admin, tenant-editor or tenant-viewer" example:"tenant-editor"`
	Disabled bool      `json:"disabled,omitempty" doc:"He may not log in, and his tokens do not count"`
	Created  time.Time `json:"created,omitzero" readOnly:"true" doc:"When he was made"`
}

// NewUser is a user to be made.
type NewUser struct {
	User
	Password string `json:"password" maxLength:"1024" doc:"12 characters at least"`
}

// UserChange is what is to become of a user; what is left out stays.
type UserChange struct {
	Role        *string `json:"role,omitempty" maxLength:"63" doc:"Another role"`
	Disabled    *bool   `json:"disabled,omitempty" doc:"Whether he is kept out"`
	Password    *string `json:"password,omitempty" maxLength:"1024" doc:"Another password. It ends his sessions"`
	OldPassword string  `json:"oldPassword,omitempty" maxLength:"1024" doc:"The present password: needed of who changes his own"`
}

// Users are all that the caller may see.
type Users struct {
	Items []User `json:"items"`
}

// Tokens are all that the caller may see.
type Tokens struct {
	Items []APIToken `json:"items"`
}

// Ways returns how one can log in.
func (c *Client) Ways(ctx context.Context) (w Ways, err error) {
	_, err = c.Do(ctx, Request{Method: http.MethodGet, Path: "/v1/login"}, &w)
	return w, err
}

// Login begins a session.
func (c *Client) Login(ctx context.Context, user, password string) (m MadeToken, err error) {
	_, err = c.Do(ctx, Request{Method: http.MethodPost, Path: "/v1/login", Body: Login{user, password}}, &m)
	return m, err
}

// Logout ends the session that the client shows.
func (c *Client) Logout(ctx context.Context) error {
	_, err := c.Do(ctx, Request{Method: http.MethodPost, Path: "/v1/logout"}, nil)
	return err
}

// Whoami returns who the client is to the server.
func (c *Client) Whoami(ctx context.Context) (id Identity, err error) {
	_, err = c.Do(ctx, Request{Method: http.MethodGet, Path: "/v1/whoami"}, &id)
	return id, err
}

// Users returns the users that the caller may see.
func (c *Client) Users(ctx context.Context) ([]User, error) {
	var l Users
	_, err := c.Do(ctx, Request{Method: http.MethodGet, Path: "/v1/users"}, &l)
	return l.Items, err
}

// ProviderTenant stands in paths for the tenant of users of the provider.
const ProviderTenant = "-"

func userPath(tenant, name string) string {
	if tenant == "" {
		tenant = ProviderTenant
	}
	return "/v1/users/" + url.PathEscape(tenant) + "/" + url.PathEscape(name)
}

// User returns a user; tenant is empty for one of the provider's.
func (c *Client) User(ctx context.Context, tenant, name string) (u User, err error) {
	_, err = c.Do(ctx, Request{Method: http.MethodGet, Path: userPath(tenant, name)}, &u)
	return u, err
}

// CreateUser makes a user.
func (c *Client) CreateUser(ctx context.Context, n NewUser) (u User, err error) {
	_, err = c.Do(ctx, Request{Method: http.MethodPost, Path: "/v1/users", Body: n}, &u)
	return u, err
}

// ChangeUser changes a user.
func (c *Client) ChangeUser(ctx context.Context, tenant, name string, change UserChange) (u User, err error) {
	_, err = c.Do(ctx, Request{Method: http.MethodPatch, Path: userPath(tenant, name), Body: change}, &u)
	return u, err
}

// DeleteUser removes a user.
func (c *Client) DeleteUser(ctx context.Context, tenant, name string) error {
	_, err := c.Do(ctx, Request{Method: http.MethodDelete, Path: userPath(tenant, name)}, nil)
	return err
}

// Tokens returns the tokens and sessions that the caller may see.
func (c *Client) Tokens(ctx context.Context) ([]APIToken, error) {
	var l Tokens
	_, err := c.Do(ctx, Request{Method: http.MethodGet, Path: "/v1/tokens"}, &l)
	return l.Items, err
}

// CreateToken makes a token.
func (c *Client) CreateToken(ctx context.Context, n NewToken) (m MadeToken, err error) {
	_, err = c.Do(ctx, Request{Method: http.MethodPost, Path: "/v1/tokens", Body: n}, &m)
	return m, err
}

// RevokeToken ends a token or session.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	_, err := c.Do(ctx, Request{Method: http.MethodDelete, Path: "/v1/tokens/" + url.PathEscape(id)}, nil)
	return err
}

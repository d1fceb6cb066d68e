package agent

import (
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// Etcd says where the database is, and how to be let in. The password is in a file, so that it is neither in a configuration nor in a process list.
type Etcd struct {
	Endpoints    []string `json:"endpoints"` // URLs: http, https, or unix:///path
	TLS          TLS      `json:"tls"`
	Username     string   `json:"username"`
	PasswordFile string   `json:"passwordFile"`
}

func (e *Etcd) within(dir string) {
	e.TLS.within(dir)
	within(dir, &e.PasswordFile)
}

// problems checks all that can be checked without a connection.
func (e *Etcd) problems() []fieldProblem {
	var out []fieldProblem
	if len(e.Endpoints) == 0 {
		out = append(out, fieldProblem{"endpoints", "", "is missing", "list etcd's client URLs, such as https://192.0.2.1:2379"})
	}
	for i, text := range e.Endpoints {
		if problem, hint := e.endpoint(text); problem != "" {
			out = append(out, fieldProblem{fmt.Sprintf("endpoints[%d]", i), text, problem, hint})
		}
	}
	for _, p := range e.TLS.problems() {
		p.field = "tls." + p.field
		out = append(out, p)
	}
	switch {
	case e.Username != "" && e.PasswordFile == "":
		out = append(out, fieldProblem{"passwordFile", "", "is missing", "name a file that holds the password of " + e.Username})
	case e.Username == "" && e.PasswordFile != "":
		out = append(out, fieldProblem{"username", "", "is missing", "name the user whose password is in " + e.PasswordFile})
	case e.PasswordFile != "":
		if p, err := e.password(); err != nil || p == "" {
			what := "holds no password"
			if err != nil {
				what = "can't be read: " + reason(err)
			}
			out = append(out, fieldProblem{"passwordFile", e.PasswordFile, what, "name a file with the password as its one line"})
		}
	}
	return out
}

// endpoint says what is wrong with an endpoint, and what would do.
func (e *Etcd) endpoint(text string) (problem, hint string) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme == "" || u.Host == "" && u.Path == "":
		return "is no URL", "use one such as https://192.0.2.1:2379 or unix:///run/etcd.sock"
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "unix":
		return "has a scheme that etcd doesn't serve", "use https, http or unix"
	case u.Scheme != scheme(e.Endpoints[0]):
		return "is of another scheme than " + e.Endpoints[0], "use one scheme for all"
	case u.Scheme != "https" && !e.TLS.IsZero():
		return "is plain, but there is TLS", "use https"
	case u.Scheme == "unix":
		return "", ""
	case u.Port() == "":
		return "names no port", "use " + u.Scheme + "://" + u.Host + ":2379"
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil:
		return "has more than a host and a port", "use " + u.Scheme + "://" + u.Host
	}
	return "", ""
}

func scheme(endpoint string) string {
	s, _, _ := strings.Cut(endpoint, ":")
	return s
}

// password reads the file.
func (e *Etcd) password() (string, error) { return passwordIn(e.PasswordFile) }

// passwordIn reads a file with a password as its one line; a line feed at its end does not count.
func passwordIn(file string) (string, error) {
	b, err := os.ReadFile(file)
	return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"), err
}

// Client returns what state.Open needs. What is wrong is topology.Errors, whose fields are those of Etcd.
func (e *Etcd) Client() (state.ClientConfig, error) {
	c := state.ClientConfig{Endpoints: e.Endpoints, Username: e.Username}
	if wrong := e.problems(); len(wrong) > 0 {
		var list topology.Errors
		for _, p := range wrong {
			list = append(list, &topology.FieldError{Field: p.field, Value: p.value, Problem: p.problem, Hint: p.hint})
		}
		return c, list
	}
	var err error
	if e.PasswordFile != "" {
		if c.Password, err = e.password(); err != nil {
			return c, err
		}
	}
	if scheme(e.Endpoints[0]) == "https" {
		c.TLS, err = e.TLS.Client()
	}
	return c, err
}

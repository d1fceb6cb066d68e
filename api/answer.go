package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// form is what a change is answered with.
type form uint8

const (
	formResult form = iota // a client.Result
	formObject             // a client.Object
)

// answer is how a change is answered.
type answer struct {
	form form
	ref  topology.Ref            // of one object; else zero
	puts map[string]int          // of an apply: where objects are in its list, by Ref.String
	sees func(topology.Ref) bool // whether the caller does
}

// subject is what is changed, as far as it is not in the body.
func (a *answer) subject() string { return a.ref.String() }

// pointers says where an object is in the request's body.
func (a *answer) pointers() func(string) string {
	return func(object string) string {
		if i, ok := a.puts[object]; ok {
			return "/put/" + itoa(i)
		}
		return ""
	}
}

// tell answers.
func (a *answer) tell(out *state.Outcome, dryRun bool) *rawOutput {
	if a.form == formObject {
		return a.object(a.step(out), dryRun)
	}
	return result(client.Result{Revision: out.Revision, DryRun: dryRun, Steps: a.stepsOf(out)})
}

func result(r client.Result) *rawOutput {
	b, _ := json.Marshal(r) // of texts and numbers
	return raw(http.StatusOK, b)
}

// step is what became of the object.
func (a *answer) step(out *state.Outcome) *state.Step {
	return &out.Steps[slices.IndexFunc(out.Steps, func(s state.Step) bool { return s.Ref == a.ref })]
}

// object answers with an object. A dry run knows no revision of what it would change.
func (a *answer) object(st *state.Step, dryRun bool) *rawOutput {
	status := http.StatusOK
	if st.Action == state.Created && !dryRun {
		status = http.StatusCreated
	}
	return a.objectOf(status, st.Is.JSON, st.Is.Revision)
}

func (a *answer) objectOf(status int, value []byte, revision int64) *rawOutput {
	out := raw(status, client.Encode(value, revision))
	out.ETag = etag(revision)
	if status == http.StatusCreated {
		out.Location = "/v1/" + client.Plural(a.ref.Kind) + "/" + a.ref.Tenant + "/" + a.ref.Name
	}
	return out
}

// remembered is what is kept of a change that has a name, to answer the same again.
type remembered struct {
	Print    string          `json:"print"` // of the request
	Action   state.Action    `json:"action,omitempty"`
	Object   json.RawMessage `json:"object,omitempty"`   // as it was stored
	Revision int64           `json:"revision,omitempty"` // of an object that was not changed
	Steps    []client.Step   `json:"steps,omitempty"`
}

// mostRemembered bounds the steps that are kept.
const mostRemembered = 1000

// remember is what is kept of a change.
func (a *answer) remember(print string, out *state.Outcome) remembered {
	r := remembered{Print: print}
	switch {
	case a.form == formObject:
		st := a.step(out)
		r.Action, r.Object, r.Revision = st.Action, st.Is.JSON, st.Is.Revision
	case len(out.Steps) <= mostRemembered:
		r.Steps = a.stepsOf(out)
	}
	return r
}

// again answers as a change of the same name was answered.
func (a *answer) again(out *state.Outcome, print string) (*rawOutput, error) {
	var r remembered
	if err := json.Unmarshal(out.Earlier, &r); err != nil || r.Print != print {
		return nil, refuse(http.StatusUnprocessableEntity, "Idempotency-Key: was used for another change; use a new one for each")
	}
	var answered *rawOutput
	if a.form == formObject {
		status, revision := http.StatusOK, out.Revision
		if r.Action == state.Created {
			status = http.StatusCreated
		}
		if r.Revision != 0 {
			revision = r.Revision
		}
		answered = a.objectOf(status, r.Object, revision)
	} else {
		if r.Steps == nil {
			r.Steps = []client.Step{}
		}
		answered = result(client.Result{Revision: out.Revision, Steps: r.Steps})
	}
	answered.Replayed = "true"
	return answered, nil
}

// fingerprint tells one request from another.
func fingerprint(verb, subject string, body []byte) string {
	h := sha256.New()
	h.Write([]byte(verb + "\n" + subject + "\n"))
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// onceName is the name of a change in the database, of a caller and the key that he gave; empty: it has none. Showing what may less than he may he is another: he is told nothing again that he might not
// be told now.
func onceName(id access.Identity, key string) string {
	if key == "" {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %v %q\n%s", id.Subject, id.Role, id.Tenant, id.Scope.ReadOnly, id.Scope.Kinds, key))
	return hex.EncodeToString(sum[:])
}

// differences are the fields in which an object differs from what it was, leaving out what the system adds.
func differences(was, is *state.Entry) []client.FieldStep {
	var a, b map[string]json.RawMessage
	if was == nil || is == nil || json.Unmarshal(was.JSON, &a) != nil || json.Unmarshal(is.JSON, &b) != nil {
		return nil
	}
	var out []client.FieldStep
	for _, part := range []string{"metadata", "spec"} {
		compare("/"+part, a[part], b[part], &out)
	}
	return out
}

// compare adds the fields in which two values differ: down to fields of structures and items of lists of the same length.
func compare(path string, a, b json.RawMessage, out *[]client.FieldStep) {
	if bytes.Equal(a, b) {
		return
	}
	var x, y map[string]json.RawMessage
	if len(a) > 0 && len(b) > 0 && a[0] == '{' && b[0] == '{' && json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil {
		for _, name := range keysOf(x, y) {
			compare(path+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(name), x[name], y[name], out)
		}
		return
	}
	var l, m []json.RawMessage
	if len(a) > 0 && len(b) > 0 && a[0] == '[' && b[0] == '[' && json.Unmarshal(a, &l) == nil && json.Unmarshal(b, &m) == nil && len(l) == len(m) {
		for i := range l {
			compare(path+"/"+itoa(i), l[i], m[i], out)
		}
		return
	}
	*out = append(*out, client.FieldStep{Path: path, Before: a, After: b})
}

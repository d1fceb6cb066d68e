package gnmi

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	serve "github.com/weft-sdn/weft/gnmi"
	"github.com/weft-sdn/weft/softswitch/impair"
)

// wish is what a Set makes of one port.
type wish struct {
	enabled    bool
	impairment impair.Config
}

// transaction is a Set in the making: wishes by port, applied together or not at all.
type transaction struct {
	join   func(prefix, path *gpb.Path) ([]*gpb.PathElem, error)
	ports  map[string]Port
	wishes map[string]*wish
}

// Set implements gNMI: deletes, then replaces, then updates. Everything is checked before anything is
// done. What can be set is config/enabled and impairment/config of interfaces.
func (s *Server) Set(_ context.Context, req *gpb.SetRequest) (*gpb.SetResponse, error) {
	if len(req.GetUnionReplace()) > 0 || len(req.GetExtension()) > 0 {
		return nil, status.Error(codes.Unimplemented, "union_replace and extensions are not supported")
	}
	s.setting.Lock()
	defer s.setting.Unlock()
	tx := &transaction{join: s.Join, ports: map[string]Port{}, wishes: map[string]*wish{}}
	for _, p := range s.config.Switch.Ports() {
		tx.ports[p.Name] = p
		tx.wishes[p.Name] = &wish{enabled: p.Enabled, impairment: p.Impairment}
	}
	out := &gpb.SetResponse{Prefix: serve.Echo(req.GetPrefix()), Timestamp: s.Now().UnixNano()}
	note := func(p *gpb.Path, op gpb.UpdateResult_Operation) {
		out.Response = append(out.Response, &gpb.UpdateResult{Path: p, Op: op})
	}
	for _, p := range req.GetDelete() {
		if err := tx.clear(req.GetPrefix(), p); err != nil {
			return nil, err
		}
		note(p, gpb.UpdateResult_DELETE)
	}
	for _, u := range req.GetReplace() {
		if err := tx.clear(req.GetPrefix(), u.GetPath()); err != nil {
			return nil, err
		}
		if err := tx.update(req.GetPrefix(), u); err != nil {
			return nil, err
		}
		note(u.GetPath(), gpb.UpdateResult_REPLACE)
	}
	for _, u := range req.GetUpdate() {
		if err := tx.update(req.GetPrefix(), u); err != nil {
			return nil, err
		}
		note(u.GetPath(), gpb.UpdateResult_UPDATE)
	}
	return out, tx.commit(s.config.Switch)
}

// clear gives what is at or below a path its default.
func (tx *transaction) clear(prefix, p *gpb.Path) error {
	path, err := tx.join(prefix, p)
	if err != nil {
		return err
	}
	found := false
	for _, name := range slices.Sorted(maps.Keys(tx.ports)) {
		at := []*gpb.PathElem{{Name: "interfaces"}, {Name: "interface", Key: map[string]string{"name": name}}}
		for _, field := range append([]string{"config/enabled"}, impairmentFields()...) {
			full := slices.Clone(at)
			for e := range strings.SplitSeq(field, "/") {
				full = append(full, &gpb.PathElem{Name: e})
			}
			if serve.Covers(path, full) {
				found = true
				if err := tx.wishes[name].set(field, nil); err != nil {
					return err
				}
			}
		}
	}
	if !found {
		return serve.Invalidf("%s: nothing there can be set", serve.Show(path))
	}
	return nil
}

// update sets what is at or below a path to a value: a scalar, or JSON.
func (tx *transaction) update(prefix *gpb.Path, u *gpb.Update) error {
	path, err := tx.join(prefix, u.GetPath())
	if err != nil {
		return err
	}
	v, err := decode(u.GetVal())
	if err != nil {
		return serve.Invalidf("%s: %v", serve.Show(path), status.Convert(err).Message())
	}
	return tx.put(path, v)
}

// put walks down JSON until it is at a leaf.
func (tx *transaction) put(path []*gpb.PathElem, v any) error {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if name == "name" && len(path) > 0 && path[len(path)-1].GetName() == "interface" {
				continue // the key
			}
			_, plain, found := strings.Cut(name, ":")
			if !found {
				plain = name
			}
			if err := tx.put(append(slices.Clone(path), &gpb.PathElem{Name: plain}), v[name]); err != nil {
				return err
			}
		}
		return nil
	case []any:
		if len(path) == 0 {
			return serve.Invalidf("/: a list has no place here")
		}
		for _, x := range v {
			m, _ := x.(map[string]any)
			name, _ := m["name"].(string)
			last := &gpb.PathElem{Name: path[len(path)-1].GetName(), Key: map[string]string{"name": name}}
			if err := tx.put(append(slices.Clone(path[:len(path)-1]), last), x); err != nil {
				return err
			}
		}
		return nil
	}
	return tx.putLeaf(path, v)
}

func (tx *transaction) putLeaf(path []*gpb.PathElem, v any) error {
	if len(path) < 4 || path[0].GetName() != "interfaces" || path[1].GetName() != "interface" {
		return serve.Invalidf("%s: cannot be set", serve.Show(path))
	}
	name := path[1].GetKey()["name"]
	w := tx.wishes[name]
	if w == nil {
		return status.Errorf(codes.NotFound, "%s: there is no interface %q", serve.Show(path), name)
	}
	var parts []string
	for _, e := range path[2:] {
		parts = append(parts, e.GetName())
	}
	field := strings.Join(parts, "/")
	if field == "config/name" && v == name || field == "config/type" {
		return nil // as it is
	}
	if err := w.set(field, v); err != nil {
		return serve.Invalidf("%s: %s", serve.Show(path), status.Convert(err).Message())
	}
	return nil
}

// impairmentFields are the leaves of impairment/config.
func impairmentFields() []string {
	var out []string
	for _, f := range []string{"loss", "delay", "jitter", "reorder", "rate", "limit", "seed"} {
		out = append(out, "impairment/config/"+f)
	}
	return out
}

// set sets one field; nil gives it its default.
func (w *wish) set(field string, v any) (err error) {
	c := &w.impairment
	switch field {
	case "config/enabled":
		if w.enabled = true; v != nil {
			w.enabled, err = boolOf(v)
		}
	case "impairment/config/loss":
		err = put(&c.Loss, v, floatOf)
	case "impairment/config/reorder":
		err = put(&c.Reorder, v, floatOf)
	case "impairment/config/delay":
		err = put(&c.Delay, v, delayOf)
	case "impairment/config/jitter":
		err = put(&c.Jitter, v, delayOf)
	case "impairment/config/rate":
		err = put(&c.Rate, v, uintOf)
	case "impairment/config/seed":
		err = put(&c.Seed, v, uintOf)
	case "impairment/config/limit":
		err = put(&c.Limit, v, func(v any) (int, error) {
			n, err := uintOf(v)
			return int(min(n, 1<<30)), err
		})
	default:
		return serve.Invalidf("cannot be set; config/enabled and impairment/config can")
	}
	return err
}

// put converts v into a field; nil is its zero value.
func put[T any](field *T, v any, convert func(any) (T, error)) error {
	var x T
	if v != nil {
		var err error
		if x, err = convert(v); err != nil {
			return err
		}
	}
	*field = x
	return nil
}

// delayOf reads microseconds.
func delayOf(v any) (time.Duration, error) {
	n, err := uintOf(v)
	return time.Duration(min(n, 1<<40)) * time.Microsecond, err
}

// commit checks all wishes, then carries them out.
func (tx *transaction) commit(sw Switch) error {
	names := slices.Sorted(maps.Keys(tx.wishes))
	for _, name := range names {
		if err := tx.wishes[name].impairment.Check(); err != nil {
			return serve.Invalidf("impairment of interface %q: %v", name, err)
		}
	}
	for _, name := range names {
		w, p := tx.wishes[name], tx.ports[name]
		if w.enabled != p.Enabled {
			if err := sw.SetEnabled(p.Number, w.enabled); err != nil {
				return status.Error(codes.Internal, err.Error())
			}
		}
		if w.impairment != p.Impairment {
			if err := sw.SetImpairment(p.Number, w.impairment); err != nil {
				return status.Error(codes.Internal, err.Error())
			}
		}
	}
	return nil
}

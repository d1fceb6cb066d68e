package stf

import (
	"fmt"
	"slices"

	"github.com/weft-sdn/weft/softswitch/pipeline"
)

func (r *Runner) table(name string) (*pipeline.Table, error) {
	var all []string
	for t := range r.machine.Tables() {
		all = append(all, t.Name())
	}
	full, err := r.names.resolve("table", name, all)
	if err != nil {
		return nil, err
	}
	t, _ := r.machine.Table(full)
	return t, nil
}

// action resolves an action call of a table.
func (r *Runner) action(t *pipeline.Table, st *statement) (string, [][]byte, error) {
	name, err := r.names.resolve("action", st.action, t.Actions())
	if err != nil {
		return "", nil, fmt.Errorf("table %s: %w", t.Name(), err)
	}
	params, _ := t.Params(name)
	values := make([][]byte, len(params))
	for _, a := range st.params {
		i := slices.IndexFunc(params, func(p pipeline.ParamInfo) bool { return p.Name == a.name })
		if i < 0 {
			return "", nil, fmt.Errorf("action %s: no parameter %q", name, a.name)
		}
		v, err := number(a.value)
		if err != nil {
			return "", nil, fmt.Errorf("parameter %s: %w", a.name, err)
		}
		values[i] = value(v)
	}
	for i, v := range values {
		if v == nil {
			return "", nil, fmt.Errorf("action %s: parameter %s missing", name, params[i].Name)
		}
	}
	return name, values, nil
}

func (r *Runner) add(st *statement) error {
	t, err := r.table(st.args[0])
	if err != nil {
		return err
	}
	e := pipeline.Entry{}
	if e.Action, e.Params, err = r.action(t, st); err != nil {
		return err
	}
	keys := t.Keys()
	texts := make([]string, len(keys))
	for _, k := range st.keys {
		i, err := keyIndex(keys, k.name)
		if err != nil {
			return fmt.Errorf("table %s: %w", t.Name(), err)
		}
		texts[i] = k.value
	}
	for i, text := range texts {
		m, err := match(keys[i], text)
		if err != nil {
			return fmt.Errorf("table %s, key %s: %w", t.Name(), keys[i].Name, err)
		}
		e.Match = append(e.Match, m)
	}
	if t.HasPriority() { // in a script 0 is one
		e.Priority = 1
		if len(st.args) > 1 {
			p, err := integer(st.args[1], 30)
			if err != nil {
				return fmt.Errorf("priority: %w", err)
			}
			e.Priority += int32(p)
		}
	}
	if err := t.Insert(e); err != nil {
		return err
	}
	if st.id != "" {
		r.entries[st.id] = entryRef{table: t, match: e.Match, priority: e.Priority}
	}
	return nil
}

func (r *Runner) setDefault(st *statement) error {
	t, err := r.table(st.args[0])
	if err != nil {
		return err
	}
	name, params, err := r.action(t, st)
	if err != nil {
		return err
	}
	return t.SetDefault(name, params)
}

// remove deletes a named entry, or all entries of all tables.
func (r *Runner) remove(what string) error {
	if what == "all" || what == "ALL" {
		for t := range r.machine.Tables() {
			t.Clear()
		}
		return nil
	}
	e, ok := r.entries[what]
	if !ok {
		return fmt.Errorf("no entry was added under the name %q", what)
	}
	delete(r.entries, what)
	return e.table.Delete(e.match, e.priority)
}

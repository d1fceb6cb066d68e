package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/topology"
)

// listing is how objects are listed.
type listing struct {
	out    output
	labels []string // whose values have columns
	all    bool     // a column of all labels
	order  string   // the path of a field, with - before it downwards; empty: kind, tenant and name
}

func (l *listing) flags(cmd *cobra.Command) {
	l.out.flags(cmd, "table", "wide", "json", "yaml", "name")
	f := cmd.Flags()
	f.StringSliceVarP(&l.labels, "label-columns", "L", nil, "a column for each of these `labels`")
	f.BoolVar(&l.all, "show-labels", false, "a column of all labels")
	f.StringVar(&l.order, "sort-by", "", "in the order of a `field`, such as metadata.name, spec.mtu or status.id; with - before it downwards")
}

func (l *listing) isTable() bool { return l.out.form == "table" || l.out.form == "wide" }

// print prints objects. tenants: with their tenants; one: a single one was asked for.
func (l *listing) print(cmd *cobra.Command, n network, found []*topology.Object, tenants, one bool) error {
	w := cmd.OutOrStdout()
	if err := l.sort(found); err != nil {
		return err
	}
	switch l.out.form {
	case "json":
		if one {
			return printJSON(w, found[0])
		}
		return printItems(w, found)
	case "yaml":
		return printYAML(w, found)
	case "name":
		for _, o := range found {
			if _, err := fmt.Fprintln(w, refName(o.Ref())); err != nil {
				return err
			}
		}
		return nil
	}
	known := map[topology.Ref]string{}
	if slices.ContainsFunc(found, func(o *topology.Object) bool { return o.Kind == topology.KindVPort }) {
		bound, err := n.List(cmd.Context(), []topology.Kind{topology.KindBinding}, "")
		if err != nil {
			return err
		}
		known = placesOf(bound)
	}
	if err := addHealth(cmd.Context(), n, found, l.out.form == "wide", known); err != nil {
		return err
	}
	return l.tables(w, found, known, tenants)
}

// tables prints one table per kind.
func (l *listing) tables(w io.Writer, found []*topology.Object, places map[topology.Ref]string, tenants bool) error {
	wide := l.out.form == "wide"
	first := true
	for _, kind := range topology.Kinds() {
		var rows [][]string
		for _, o := range found {
			if o.Kind != kind {
				continue
			}
			row := []string{o.Metadata.Name}
			if tenants {
				row = []string{o.Tenant(), o.Metadata.Name}
			}
			row = append(row, cells(o, places, wide)...)
			for _, k := range l.labels {
				row = append(row, or(o.Metadata.Labels[k]))
			}
			if l.all && !wide {
				row = append(row, or(labels(o.Metadata.Labels)))
			}
			rows = append(rows, row)
		}
		if len(rows) == 0 {
			continue
		}
		head := []string{strings.ToUpper(string(kind))}
		if tenants {
			head = []string{"TENANT", strings.ToUpper(string(kind))}
		}
		head = append(head, columns(kind, wide)...)
		for _, k := range l.labels {
			head = append(head, strings.ToUpper(k))
		}
		if l.all && !wide {
			head = append(head, "LABELS")
		}
		if !first {
			fmt.Fprintln(w)
		}
		first = false
		if err := table(w, head, rows); err != nil {
			return err
		}
	}
	return nil
}

// sort puts objects in the order of a field; those that do not have it come last.
func (l *listing) sort(found []*topology.Object) error {
	path, down := strings.CutPrefix(l.order, "-")
	if path == "" {
		return nil
	}
	values := map[*topology.Object]any{}
	some := false
	for _, o := range found {
		b, err := json.Marshal(o)
		if err != nil {
			return err
		}
		var form any
		if err := json.Unmarshal(b, &form); err != nil {
			return err
		}
		values[o] = valueAt(form, strings.TrimPrefix(path, "."))
		some = some || values[o] != nil
	}
	if !some && len(found) > 0 {
		return usage(fmt.Errorf("--sort-by %q: is no field that any of the objects has; weft explain %s lists them", path, strings.ToLower(string(found[0].Kind))))
	}
	slices.SortStableFunc(found, func(a, b *topology.Object) int {
		x, y := values[a], values[b]
		switch {
		case x == nil || y == nil:
			return cmp.Compare(truth(x == nil), truth(y == nil))
		case down:
			return compareFields(y, x)
		}
		return compareFields(x, y)
	})
	return nil
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// valueAt is the value at a path such as spec.routes[0].dst; nil: there is none.
func valueAt(form any, path string) any {
	for _, word := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		switch f := form.(type) {
		case map[string]any:
			form = f[word]
		case []any:
			i, err := strconv.Atoi(word)
			if err != nil || i < 0 || i >= len(f) {
				return nil
			}
			form = f[i]
		default:
			return nil
		}
	}
	return form
}

// compareFields compares numbers by their values, and all else as text.
func compareFields(a, b any) int {
	x, isNumber := a.(float64)
	y, both := b.(float64)
	if isNumber && both {
		return cmp.Compare(x, y)
	}
	return cmp.Compare(valueText(a), valueText(b))
}

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weft-sdn/weft/topology"
)

// selector chooses objects by their labels: all of its terms must hold. It is a pflag.Value.
type selector []term

// term is one condition on a label.
type term struct {
	key, value string
	any        bool // of whatever value
	not        bool
}

// String, Set and Type make selector a pflag.Value.
func (s *selector) String() string {
	words := make([]string, len(*s))
	for i, t := range *s {
		switch {
		case t.any && t.not:
			words[i] = "!" + t.key
		case t.any:
			words[i] = t.key
		case t.not:
			words[i] = t.key + "!=" + t.value
		default:
			words[i] = t.key + "=" + t.value
		}
	}
	return strings.Join(words, ",")
}

// Type is what help shows for the value.
func (*selector) Type() string { return "labels" }

// Set reads KEY=VALUE, KEY!=VALUE, KEY and !KEY, with commas between.
func (s *selector) Set(text string) error {
	for _, word := range strings.Split(text, ",") {
		var t term
		key, value, equal := strings.Cut(word, "=")
		switch {
		case equal && strings.HasSuffix(key, "!"):
			t = term{key: strings.TrimSuffix(key, "!"), value: value, not: true}
		case equal:
			t = term{key: strings.TrimSuffix(key, "="), value: strings.TrimPrefix(value, "=")} // kubectl takes == too
		default:
			t = term{key: strings.TrimPrefix(word, "!"), any: true, not: strings.HasPrefix(word, "!")}
		}
		if t.key == "" {
			return fmt.Errorf("use KEY=VALUE, KEY!=VALUE, KEY or !KEY, with commas between")
		}
		*s = append(*s, t)
	}
	return nil
}

// has reports whether labels meet all terms.
func (s selector) has(labels map[string]string) bool {
	return !slices.ContainsFunc(s, func(t term) bool {
		value, there := labels[t.key]
		return (there && (t.any || value == t.value)) == t.not
	})
}

// choose keeps the objects whose labels meet all terms.
func (s selector) choose(objects []*topology.Object) []*topology.Object {
	return slices.DeleteFunc(objects, func(o *topology.Object) bool { return !s.has(o.Metadata.Labels) })
}

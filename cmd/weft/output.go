package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
)

// output is the form that a command prints in.
type output struct {
	form    string
	allowed []string
}

// flags adds -o with the forms that the command knows; the first is the default.
func (o *output) flags(cmd *cobra.Command, allowed ...string) {
	o.form, o.allowed = allowed[0], allowed
	cmd.Flags().VarP(o, "output", "o", "print as "+strings.Join(allowed, ", "))
}

// String, Set and Type make output a pflag.Value.
func (o *output) String() string { return o.form }

// Type is what help shows for the value.
func (o *output) Type() string { return "form" }

// Set refuses what the command does not know.
func (o *output) Set(form string) error {
	if !slices.Contains(o.allowed, form) {
		return fmt.Errorf("use one of %s", strings.Join(o.allowed, ", "))
	}
	o.form = form
	return nil
}

// table prints rows in columns; what is longer than its column's header makes the column wider, unless it is shown on a screen that is too narrow.
func table(w io.Writer, header []string, rows [][]string) error {
	return longTable(w, header, len(rows), func(i int) []string { return rows[i] })
}

// longTable is table for any number of rows, which are made twice instead of kept: to find out how wide columns are, and to print them.
func longTable(w io.Writer, header []string, n int, row func(i int) []string) error {
	return tableOn(screenOf(w), w, header, n, row)
}

// tableOn is longTable for what is shown on a screen later.
func tableOn(at screen, w io.Writer, header []string, n int, row func(i int) []string) error {
	width := make([]int, len(header))
	grow := func(cells []string) {
		for i, c := range cells {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	grow(header)
	for i := range n {
		grow(row(i))
	}
	gap := strings.Repeat(" ", at.fit(width))
	b := bufio.NewWriter(w)
	print := func(cells []string, c colour) error {
		var line strings.Builder
		for i, text := range cells {
			if at.width > 0 {
				text = shorten(text, width[i])
			}
			fmt.Fprintf(&line, "%-*s%s", width[i], text, gap)
		}
		text := strings.TrimRight(line.String(), " ")
		if at.width > 0 {
			text = shorten(text, at.width)
		}
		_, err := fmt.Fprintln(b, at.paint(c, text))
		return err
	}
	err := print(header, bold)
	for i := 0; i < n && err == nil; i++ {
		err = print(row(i), plain)
	}
	return errors.Join(err, b.Flush())
}

// or returns what stands in a cell that would be empty.
func or(cell string) string {
	if cell == "" {
		return "-"
	}
	return cell
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// printItems prints a list as JSON, in the form of the API's lists.
func printItems[T any](w io.Writer, all []T) error {
	return printJSON(w, struct {
		Items []T `json:"items"`
	}{append([]T{}, all...)})
}

// printLine prints a value as JSON in one line.
func printLine(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// asYAML is v as one YAML document, in the order of its JSON form.
func asYAML(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return yaml.JSONToYAML(b)
}

// printYAML prints one document per value.
func printYAML[T any](w io.Writer, all []T) error {
	for i, v := range all {
		b, err := asYAML(v)
		if err != nil {
			return err
		}
		if i > 0 {
			b = append([]byte("---\n"), b...)
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

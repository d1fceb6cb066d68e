package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/manual"
	"github.com/weft-sdn/weft/topology"
)

// explained is a field, or a kind: what it is for, and the fields that it has.
type explained struct {
	Name   string      `json:"name"`
	Type   string      `json:"type,omitempty"`
	Needed bool        `json:"needed,omitempty"`
	Doc    string      `json:"doc,omitempty"`
	Fields []explained `json:"fields,omitempty"`
}

func newExplain() *cobra.Command {
	return &cobra.Command{
		Use:   "explain [KIND[.FIELD]...]",
		Short: "Say what kinds of objects and their fields mean",
		Long: `Say what a kind of object is for, and what its fields mean: form, default, and
whether a field is needed. Without an argument all kinds are listed.

docs/objects.md is the same for all kinds.`,
		Example: `  weft explain
  weft explain vport
  weft explain router.spec.routes
  weft explain bridge.spec.unknownUnicast`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var kinds []explained
			if err := json.Unmarshal(manual.Objects, &kinds); err != nil {
				return err
			}
			if len(args) == 0 {
				return explainKinds(cmd.OutOrStdout(), kinds)
			}
			found, path, err := lookUp(kinds, strings.Split(args[0], "."))
			if err != nil {
				return err
			}
			return explainOne(cmd.OutOrStdout(), path, found)
		},
	}
}

func explainKinds(w io.Writer, kinds []explained) error {
	var rows [][]string
	for _, k := range kinds {
		doc, _, _ := strings.Cut(k.Doc, ". ")
		rows = append(rows, []string{k.Name, strings.TrimSuffix(doc, ".")})
	}
	return table(w, []string{"KIND", "WHAT"}, rows)
}

// lookUp follows a path; spec may be left out.
func lookUp(kinds []explained, words []string) (explained, string, error) {
	kind, err := parseKind(words[0])
	if err != nil {
		return explained{}, "", err
	}
	at := kinds[slices.IndexFunc(kinds, func(k explained) bool { return k.Name == string(kind) })]
	path := at.Name
	for i, word := range words[1:] {
		next := slices.IndexFunc(at.Fields, func(f explained) bool { return strings.EqualFold(f.Name, word) })
		if spec := at.field("spec"); next < 0 && i == 0 && spec != nil && spec.field(word) != nil {
			at, path = *spec, path+".spec"
			next = slices.IndexFunc(at.Fields, func(f explained) bool { return strings.EqualFold(f.Name, word) })
		}
		if next < 0 {
			return at, path, usage(fmt.Errorf("%s has no field %q; %s", path, word, at.fieldsText()))
		}
		at = at.Fields[next]
		path += "." + at.Name
	}
	return at, path, nil
}

func (e *explained) field(name string) *explained {
	for i := range e.Fields {
		if strings.EqualFold(e.Fields[i].Name, name) {
			return &e.Fields[i]
		}
	}
	return nil
}

func (e *explained) fieldsText() string {
	if len(e.Fields) == 0 {
		return "it has none"
	}
	names := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		names[i] = f.Name
	}
	return "it has " + strings.Join(names, ", ")
}

// explainOne prints a kind or field, and the fields below it.
func explainOne(w io.Writer, path string, e explained) error {
	var b strings.Builder
	head := path
	if e.Type != "" {
		head += "  (" + e.form() + ")"
	}
	b.WriteString(head + "\n")
	if e.Doc != "" {
		b.WriteString("\n")
		for _, line := range wrapText(e.Doc, helpWidth-2) {
			b.WriteString("  " + line + "\n")
		}
	}
	if len(e.Fields) > 0 {
		b.WriteString("\n")
	}
	e.below(&b, "")
	_, err := io.WriteString(w, b.String())
	return err
}

func (e *explained) form() string {
	if e.Needed {
		return e.Type + ", needed"
	}
	return e.Type
}

func (e *explained) below(b *strings.Builder, indent string) {
	for _, f := range e.Fields {
		fmt.Fprintf(b, "%s%s  (%s)\n", indent, f.Name, f.form())
		for _, line := range wrapText(f.Doc, helpWidth-len(indent)-4) {
			fmt.Fprintf(b, "%s    %s\n", indent, line)
		}
		f.below(b, indent+"  ")
	}
}

// wrapText breaks a text into lines of so many columns at most, at blanks.
func wrapText(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case len([]rune(line))+1+len([]rune(word)) <= width:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// objectsDoc is docs/objects.md.
func objectsDoc(kinds []explained) string {
	var b strings.Builder
	b.WriteString(`# Objects

A network is YAML (or JSON) documents of the form

` + "```yaml" + `
apiVersion: ` + topology.APIVersion + `
kind: VPort
metadata: {name: web, tenant: acme}
spec: {device: bridge/dmz, mac: 02:00:00:0d:01:10, addresses: [203.0.113.10/28]}
` + "```" + `

Where a field names another object, it is NAME of the same tenant, or TENANT/NAME. ` + "`weft explain KIND`" + ` prints the same as this file;
` + "`weft validate -f FILE`" + ` checks a network. [examples/reference.yaml](../examples/reference.yaml) is one to start from. This file is made from the
comments of package topology.

`)
	for i, k := range kinds {
		if meta := k.field("metadata"); i == 0 && meta != nil {
			b.WriteString("## All kinds\n\n| field | form | meaning |\n|---|---|---|\n")
			meta.rows(&b, "metadata.")
		}
	}
	for _, k := range kinds {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", k.Name, k.Doc)
		if spec := k.field("spec"); spec != nil && len(spec.Fields) > 0 {
			b.WriteString("\n| field | form | meaning |\n|---|---|---|\n")
			spec.rows(&b, "spec.")
		}
	}
	return b.String()
}

func (e *explained) rows(b *strings.Builder, prefix string) {
	for _, f := range e.Fields {
		fmt.Fprintf(b, "| `%s%s` | %s | %s |\n", prefix, f.Name, f.form(), strings.ReplaceAll(or(f.Doc), "|", `\|`))
		below := prefix + f.Name + "."
		if strings.HasPrefix(f.Type, "list") {
			below = prefix + f.Name + "[]."
		}
		f.rows(b, below)
	}
}

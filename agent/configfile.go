package agent

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/weft-sdn/weft/topology"
)

// LoadConfig has decode read a configuration file. Names of files in it are relative to its directory.
func LoadConfig[C any](file string, decode func(file, dir string, data []byte) (*C, error)) (*C, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return decode(file, filepath.Dir(file), data)
}

// DecodeConfig reads the text of a configuration file into a value, and has check say what is wrong with what it says. All that is wrong comes at once, as topology.Errors in the order of lines: what could not be
// read, and of the rest what is wrong.
func DecodeConfig(file string, data []byte, into any, check func(*topology.Source) topology.Errors) error {
	source, err := topology.DecodeDocument(file, data, into)
	var form topology.Errors
	if err != nil && (!errors.As(err, &form) || source == nil) {
		return err
	}
	all := slices.Clone(form)
	for _, e := range check(source) {
		if !slices.ContainsFunc(form, func(f *topology.FieldError) bool { return f.Covers(e) }) {
			all = append(all, e)
		}
	}
	if len(all) == 0 {
		return nil
	}
	slices.SortStableFunc(all, func(a, b *topology.FieldError) int { return cmp.Compare(a.Line, b.Line) })
	return all
}

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/topology"
)

// errNoFile tells what -f wants.
var errNoFile = usage(errors.New("--file: is missing; name the network's files, such as -f examples/reference.yaml, or - for standard input"))

// networkFlags adds the flag that names a network's files.
func networkFlags(cmd *cobra.Command, files *[]string) {
	cmd.Flags().StringArrayVarP(files, "file", "f", nil, "read objects from `FILE` (YAML or JSON), a directory of such files, or - for standard input; more may follow")
}

// loadNetwork decodes and validates all files as one network. Errors of all files are reported together (topology.Errors).
func loadNetwork(stdin io.Reader, files []string) (*topology.Set, error) {
	objects, err := readObjects(stdin, files)
	if err != nil {
		return nil, err
	}
	return new(topology.Set).Apply(objects, nil)
}

// readObjects decodes all files, in order. Errors of all files are reported together (topology.Errors).
func readObjects(stdin io.Reader, files []string) ([]*topology.Object, error) {
	if len(files) == 0 {
		return nil, errNoFile
	}
	var objects []*topology.Object
	var wrong topology.Errors
	for _, name := range files {
		inside, err := filesOf(name)
		if err != nil {
			return nil, fmt.Errorf("--file %q: %w", name, err)
		}
		for _, file := range inside {
			data, err := readFile(stdin, file)
			if err != nil {
				return nil, fmt.Errorf("--file %q: %w", file, err)
			}
			decoded, err := topology.Decode(file, data)
			var list topology.Errors
			switch {
			case errors.As(err, &list):
				wrong = append(wrong, list...)
			case err != nil:
				return nil, fmt.Errorf("--file %q: %w", file, err)
			}
			objects = append(objects, decoded...)
		}
	}
	if len(wrong) > 0 {
		return nil, append(wrong, topology.Check(objects)...) // those of the other files
	}
	if len(objects) == 0 {
		return nil, fmt.Errorf("--file %s: holds no object", strings.Join(files, ", "))
	}
	return objects, nil
}

// filesOf returns the files that a name stands for: itself, or what is in a directory (not below it), in order of name.
func filesOf(name string) ([]string, error) {
	if name == "-" {
		return []string{name}, nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, bare(err)
	}
	if !info.IsDir() {
		return []string{name}, nil
	}
	entries, err := os.ReadDir(name)
	if err != nil {
		return nil, bare(err)
	}
	var files []string
	for _, e := range entries {
		if !e.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(e.Name())) {
			files = append(files, filepath.Join(name, e.Name()))
		}
	}
	if len(files) == 0 {
		return nil, errors.New("holds no file whose name ends with .yaml, .yml or .json")
	}
	return files, nil
}

func readFile(stdin io.Reader, file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(stdin)
	}
	data, err := os.ReadFile(file)
	return data, bare(err)
}

// bare is an error without the name of the file, which the caller says.
func bare(err error) error {
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/topology"
)

// errNoFile tells what -f wants.
var errNoFile = errors.New("--file: is missing; name the network's files, such as -f examples/reference.yaml, or - for standard input")

// networkFlags adds the flag that names a network's files.
func networkFlags(cmd *cobra.Command, files *[]string) {
	cmd.Flags().StringArrayVarP(files, "file", "f", nil, "read objects from `FILE` (YAML or JSON, - for standard input); more may follow")
}

// loadNetwork decodes and validates all files as one network. Errors of all files are reported together (topology.Errors).
func loadNetwork(stdin io.Reader, files []string) (*topology.Set, error) {
	if len(files) == 0 {
		return nil, errNoFile
	}
	var objects []*topology.Object
	var wrong topology.Errors
	for _, file := range files {
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
	if len(wrong) > 0 {
		return nil, wrong
	}
	return new(topology.Set).Apply(objects, nil)
}

func readFile(stdin io.Reader, file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(stdin)
	}
	data, err := os.ReadFile(file)
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		return nil, pathErr.Err // the caller names the file
	}
	return data, err
}

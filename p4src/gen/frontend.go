package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/weft-sdn/weft/p4src"
)

var errNoHeaders = errors.New("p4c-bm2-ss has not the headers of that architecture: name their folder in P4C_INCLUDE")

// frontEnd writes the p4info that the front end of p4c-bm2-ss makes of a program for another architecture: tables, keys, actions and parameters, but neither
// counters nor meters, which are a backend's. The compiler's own backend then refuses the program; whether the front end did is told by its errors.
// What was made of the same sources stays, be it a backend's or not; what a backend made of others goes.
func frontEnd(arch, dir string) error {
	if sources, err := p4src.HashSources(os.DirFS("."), arch); err != nil {
		return err
	} else if text, err := os.ReadFile(filepath.Join(dir, "RECORD")); err == nil && strings.Contains(string(text), "sources "+sources+"\n") {
		return nil
	}
	compiler, version, err := find("p4c-bm2-ss")
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "weft-"+arch)
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	made := filepath.Join(scratch, "p4info.txtpb")
	args := []string{"-D__TARGET_TOFINO__=1", "--Wdisable", "--p4runtime-files", made, "-o", filepath.Join(scratch, "none.json"), arch + "/weft.p4"}
	if include := os.Getenv("P4C_INCLUDE"); include != "" {
		args = append([]string{"-I", include}, args...)
	}
	out, refused := exec.Command(compiler, args...).CombinedOutput()
	text, err := os.ReadFile(made)
	switch {
	case errors.Is(err, os.ErrNotExist) && (strings.Contains(string(out), arch+".p4: No such file") || strings.Contains(string(out), "does not support")):
		return errNoHeaders
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%s %s/weft.p4: %v\n%s", compiler, arch, refused, out)
	case err != nil:
		return err
	}
	for _, stale := range []string{"resources.txt", "weft.spec", "out_port.txt"} {
		if err := os.Remove(filepath.Join(dir, stale)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	info := filepath.Join(dir, "weft.p4info.txtpb")
	if err := os.WriteFile(info, bytes.Replace(text, []byte(`arch: "v1model"`), []byte(`arch: "`+arch+`"`), 1), 0o644); err != nil {
		return err
	}
	return record(filepath.Join(dir, "RECORD"), arch, version+p4src.FrontEndOnly, [2]string{"info", info})
}

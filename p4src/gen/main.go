// Command gen compiles the P4 programs with the p4c backends that are on PATH and records what they made (`make p4`).
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"

	"github.com/weft-sdn/weft/p4src"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "make p4:", err)
		os.Exit(1)
	}
}

// run compiles for each architecture. Where a backend is not on PATH the front end of p4c-bm2-ss, which all backends share, says at least whether the program
// is one, and what entries look like; where that has not the headers of the architecture, the artefacts stay as they are, which is said: that sources and
// artefacts have drifted apart is found by the tests of p4src.
func run() error {
	if err := os.Chdir("p4src"); err != nil {
		return fmt.Errorf("run it from the root of the project: %w", err)
	}
	for _, dir := range []string{p4src.TNADir, p4src.PNADir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := compileV1Model(); err != nil {
		return err
	}
	for _, other := range []struct {
		arch, dir string
		compile   func() error
	}{{"tna", p4src.TNADir, compileTNA}, {"pna", p4src.PNADir, compilePNA}} {
		err := other.compile()
		if errors.Is(err, exec.ErrNotFound) {
			fmt.Fprintf(os.Stderr, "make p4: NOT compiled for %s: %v\n", other.arch, err)
			if err = frontEnd(other.arch, other.dir); err == nil {
				fmt.Fprintf(os.Stderr, "make p4: %s: what is there, by the front end at least, is of these sources\n", other.dir)
			}
		}
		if errors.Is(err, errNoHeaders) {
			fmt.Fprintf(os.Stderr, "make p4: %s stays as it is: %v\n", other.dir, err)
		} else if err != nil {
			return err
		}
	}
	return nil
}

func compileV1Model() error {
	compiler, version, err := find("p4c-bm2-ss")
	if err != nil {
		return fmt.Errorf("%w: install p4c, or leave the committed artefacts as they are", err)
	}
	if err := start(compiler, "--Wdisable=unused", "--p4runtime-files", p4src.InfoFile, "-o", p4src.ProgramFile, "v1model/weft.p4"); err != nil {
		return err
	}
	return record(p4src.RecordFile, "v1model", version, [2]string{"program", p4src.ProgramFile}, [2]string{"info", p4src.InfoFile})
}

// emulate compiles the program for TNA as the softswitch runs it, and returns the files, each behind its word.
func emulate() ([][2]string, error) {
	program, info := filepath.Join(p4src.TNADir, "emulation.json"), filepath.Join(p4src.TNADir, "emulation.p4info.txtpb")
	compiler, _, err := find("p4c-bm2-ss")
	if err != nil {
		return nil, err
	}
	return [][2]string{{"emulation", program}, {"emulation_info", info}}, start(compiler, "--Wdisable", "--p4runtime-files", info, "-o", program, "tna/emulation.p4")
}

// find returns the path of a compiler on PATH, and "name version".
func find(name string) (path, version string, err error) {
	if path, err = exec.LookPath(name); err != nil {
		return "", "", err
	}
	out, err := exec.Command(path, "--version").CombinedOutput()
	if err != nil {
		return "", "", fmt.Errorf("%s --version: %w", path, err)
	}
	number := regexp.MustCompile(`\d+(\.\d+){1,3}`).FindString(string(out))
	if number == "" {
		return "", "", fmt.Errorf("%s --version: no version in %q", path, out)
	}
	return path, name + " " + number, nil
}

// start runs a compiler. P4C_INCLUDE names a folder of P4 headers ahead of its own.
func start(compiler string, args ...string) error {
	if dir := os.Getenv("P4C_INCLUDE"); dir != "" {
		args = append([]string{"-I", dir}, args...)
	}
	cmd := exec.Command(compiler, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", compiler, err)
	}
	return nil
}

// record writes what was made, each file under its word.
func record(file, arch, version string, made ...[2]string) error {
	var artefacts []p4src.Artefact
	if arch == "tna" {
		emulation, err := emulate()
		if err != nil {
			return err
		}
		made = append(made, emulation...)
	}
	for _, m := range made {
		data, err := os.ReadFile(m[1])
		if err != nil {
			return err
		}
		artefacts = append(artefacts, p4src.Artefact{Word: m[0], Data: data})
	}
	text, err := p4src.NewRecord(os.DirFS("."), arch, version, artefacts...)
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(text), 0o644)
}

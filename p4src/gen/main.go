// Command gen compiles p4src/v1model/weft.p4 with p4c-bm2-ss from PATH and records what it made (`make p4`).
package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"

	"github.com/weft-sdn/weft/p4src"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "make p4:", err)
		os.Exit(1)
	}
}

func run() error {
	if err := os.Chdir("p4src"); err != nil {
		return fmt.Errorf("run it from the root of the project: %w", err)
	}
	compiler, err := exec.LookPath("p4c-bm2-ss")
	if err != nil {
		return fmt.Errorf("%w: install p4c, or leave the committed artefacts as they are", err)
	}
	out, err := exec.Command(compiler, "--version").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s --version: %w", compiler, err)
	}
	version := regexp.MustCompile(`\d+\.\d+\.\d+(\.\d+)?`).FindString(string(out))
	if version == "" {
		return fmt.Errorf("%s --version: no version in %q", compiler, out)
	}
	args := []string{"--Wdisable=unused", "--p4runtime-files", p4src.InfoFile, "-o", p4src.ProgramFile}
	if dir := os.Getenv("P4C_INCLUDE"); dir != "" {
		args = append(args, "-I", dir)
	}
	cmd := exec.Command(compiler, append(args, "v1model/weft.p4")...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("p4c-bm2-ss: %w", err)
	}
	program, err := os.ReadFile(p4src.ProgramFile)
	if err != nil {
		return err
	}
	info, err := os.ReadFile(p4src.InfoFile)
	if err != nil {
		return err
	}
	record, err := p4src.NewRecord(os.DirFS("."), "p4c-bm2-ss "+version, program, info)
	if err != nil {
		return err
	}
	return os.WriteFile(p4src.RecordFile, []byte(record), 0o644)
}

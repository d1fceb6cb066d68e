package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/weft-sdn/weft/p4src"
)

// sizesOfTNA are the sets of table sizes for which the program is compiled, by the macro that chooses them in shared/sizes.p4, and their folders below TNADir.
var sizesOfTNA = []struct{ name, macro, dir string }{{"border", "", "."}, {"rack", "-DWEFT_RACK_SIZES", "rack"}, {"test", "-DWEFT_TEST_SIZES", "test"}}

// compileTNA compiles for Tofino 1 and assembles what the compiler made: only the assembler refuses a program of more stages than the device has.
func compileTNA() error {
	compiler, version, err := find("p4c-barefoot")
	if err != nil {
		return err
	}
	assembler, err := exec.LookPath("bfas")
	if err != nil {
		return err
	}
	var made [][2]string
	for _, s := range sizesOfTNA {
		dir := filepath.Join(p4src.TNADir, s.dir)
		info, out := filepath.Join(dir, "weft.p4info.txtpb"), filepath.Join(dir, "resources.txt")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := assembleTNA(compiler, assembler, s.macro, info, out); err != nil {
			return fmt.Errorf("sizes of %s: %w", s.name, err)
		}
		word := ""
		if s.macro != "" {
			word = s.name + "_"
		}
		made = append(made, [2]string{word + "info", info}, [2]string{word + "resources", out})
	}
	return record(filepath.Join(p4src.TNADir, "RECORD"), "tna", version, made...)
}

// assembleTNA compiles and assembles with the sizes that a macro chooses, and writes the p4info and the report of what the program takes.
func assembleTNA(compiler, assembler, macro, info, out string) error {
	scratch, err := os.MkdirTemp("", "weft-tna")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	args := []string{"--target", "tofino", "--arch", "tna", "-D__TARGET_TOFINO__=1", "--Wdisable=unused", "-g", "--alt-phv-alloc", "--p4runtime-force-std-externs", "--p4runtime-files", info, "-o", scratch}
	if macro != "" {
		args = append(args, macro)
	}
	if err := start(compiler, append(args, "tna/weft.p4")...); err != nil {
		return err
	}
	pipe := filepath.Join(scratch, "pipe")
	if err := start(assembler, "-o", pipe, filepath.Join(pipe, "weft.bfa")); err != nil {
		return err
	}
	text, err := report(filepath.Join(pipe, "logs"))
	if err != nil {
		return err
	}
	return os.WriteFile(out, []byte(text), 0o644)
}

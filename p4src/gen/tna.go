package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/weft-sdn/weft/p4src"
)

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
	scratch, err := os.MkdirTemp("", "weft-tna")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	info, report := filepath.Join(p4src.TNADir, "weft.p4info.txtpb"), filepath.Join(p4src.TNADir, "resources.txt")
	if err := start(compiler, "--target", "tofino", "--arch", "tna", "-D__TARGET_TOFINO__=1", "--Wdisable=unused", "-g", "--p4runtime-force-std-externs",
		"--p4runtime-files", info, "-o", scratch, "tna/weft.p4"); err != nil {
		return err
	}
	pipe := filepath.Join(scratch, "pipe")
	if err := start(assembler, "-o", pipe, filepath.Join(pipe, "weft.bfa")); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(pipe, "logs", "mau.resources.log"))
	if err != nil {
		return fmt.Errorf("resource report: %w", err)
	}
	if err := os.WriteFile(report, text, 0o644); err != nil {
		return err
	}
	return record(filepath.Join(p4src.TNADir, "RECORD"), "tna", version, [2]string{"info", info}, [2]string{"resources", report})
}

package main

import (
	"os"
	"path/filepath"

	"github.com/weft-sdn/weft/p4src"
)

// compilePNA compiles for the software switch of DPDK.
func compilePNA() error {
	compiler, version, err := find("p4c-dpdk")
	if err != nil {
		return err
	}
	info, spec := filepath.Join(p4src.PNADir, "weft.p4info.txtpb"), filepath.Join(p4src.PNADir, "weft.spec")
	if err := start(compiler, "--arch", "pna", "--Wdisable", "--p4runtime-files", info, "-o", spec, "pna/weft.p4"); err != nil {
		return err
	}
	// Beside the program it works in the compiler leaves a file of entries for each table of constants.
	entries := filepath.Join(p4src.PNADir, "out_port.txt")
	if err := os.Rename("out_port.txtpb", entries); err != nil {
		return err
	}
	return record(filepath.Join(p4src.PNADir, "RECORD"), "pna", version, [2]string{"info", info}, [2]string{"spec", spec}, [2]string{"entries", entries})
}

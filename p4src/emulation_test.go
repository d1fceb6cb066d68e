package p4src_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/weft-sdn/weft/p4src"
)

// TestTNAOnV1Model runs the tests of this package that send packets with the program for TNA, as far as v1model can play it (tna/emulation.p4): one test
// binary, another program. Not run: what docs/hardware.md says that Tofino does otherwise.
func TestTNAOnV1Model(t *testing.T) {
	if os.Getenv(programEnv) != "" {
		t.Skip("this is that run")
	}
	file, err := filepath.Abs(filepath.Join(p4src.TNADir, "emulation.json"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.skip", "^(TestGenevePeerOptions|TestTNA.*|TestArch.*|TestArtefacts.*)$")
	cmd.Env = append(os.Environ(), programEnv+"="+file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

package p4src

import (
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"fmt"
	"os"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	"google.golang.org/protobuf/encoding/prototext"
)

// Pipeline is weft's pipeline, compiled for a kind of target.
type Pipeline struct {
	Info   *p4configv1.P4Info // as the compiler made it
	Device []byte             // what the target loads. It is nobody's to change: a megabyte that all edges of a process share
	// Cookie identifies this pipeline at a target (P4Runtime section 7.1, ForwardingPipelineConfig.cookie): a target that reports it needs no push. Never 0.
	Cookie uint64
}

//go:embed build/weft.json
var program []byte

//go:embed build/weft.p4info.txtpb
var info []byte

//go:embed build/tna/emulation.json
var emulation []byte

//go:embed build/tna/emulation.p4info.txtpb
var emulationInfo []byte

// V1Model is the pipeline that bmv2 and the softswitch load.
func V1Model() (Pipeline, error) { return newPipeline(InfoFile, info, program) }

// Info returns the p4info of V1Model, the caller's own.
func Info() (*p4configv1.P4Info, error) {
	p, err := V1Model()
	return p.Info, err
}

// Emulation is the program for Tofino as bmv2 and the softswitch can load it: its tables and controls between v1model's adapters (tna/emulation.p4).
func Emulation() (Pipeline, error) {
	return newPipeline(TNADir+"/emulation.p4info.txtpb", emulationInfo, emulation)
}

// LoadPipeline reads a pipeline that a compiler made for a target of its own kind: its p4info as text, and the bytes that the target takes as the device config. An
// error says where the p4info is not that of weft's pipeline; only the sizes of its tables are its own.
func LoadPipeline(infoFile, deviceFile string) (Pipeline, error) {
	text, err := os.ReadFile(infoFile)
	if err != nil {
		return Pipeline{}, err
	}
	device, err := os.ReadFile(deviceFile)
	if err != nil {
		return Pipeline{}, err
	}
	if len(device) == 0 {
		return Pipeline{}, fmt.Errorf("%s: is empty", deviceFile)
	}
	p, err := newPipeline(infoFile, text, device)
	if err != nil {
		return Pipeline{}, err
	}
	built, err := V1Model()
	if err != nil {
		return Pipeline{}, err
	}
	if err := sameContract(built.Info, p.Info); err != nil {
		return Pipeline{}, fmt.Errorf("%s: not the p4info of this weft's pipeline: %w", infoFile, err)
	}
	return p, nil
}

func newPipeline(name string, text, device []byte) (Pipeline, error) {
	m := new(p4configv1.P4Info)
	if err := prototext.Unmarshal(text, m); err != nil {
		return Pipeline{}, fmt.Errorf("%s: %w", name, err)
	}
	h := sha256.New()
	h.Write(device)
	h.Write(text)
	return Pipeline{Info: m, Device: device, Cookie: binary.BigEndian.Uint64(h.Sum(nil)) | 1}, nil
}

package softswitch

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	"google.golang.org/grpc/codes"
)

// SDN port numbers that P4Runtime reserves (spec, "Translation of Port Numbers").
const sdnPortCPU = 0xfffffffd

// maxNames bounds how many strings of one translated type are remembered.
const maxNames = 1 << 20

// translation maps the values of one type annotated @p4runtime_translation between the
// controller's form and the program's bit<width>.
//
// Numbers stay what they are, except that of the CPU port. Strings that are port names
// (of types that have "port" in their name or URI) are the ports' numbers; decimal
// numbers are what they say; others get numbers from the largest down, for good.
type translation struct {
	name  string // of the type
	text  bool   // the controller's form is a string
	ports bool
	width int // bits in the program; 0: not known yet
	sdn   int // bits of the controller's form, if it is a number

	server *Server
	mu     sync.RWMutex
	number map[string]uint64
	names  map[uint64]string
	next   uint64
}

// translationOf finds the translation of a named type; nil if it has none.
func (s *schema) translationOf(t *configv1.P4NamedType) *translation {
	if t.GetName() == "" {
		return nil
	}
	if tr, ok := s.translations[t.GetName()]; ok {
		return tr
	}
	spec := s.info.GetTypeInfo().GetNewTypes()[t.GetName()].GetTranslatedType()
	var tr *translation
	if spec != nil {
		about := strings.ToLower(t.GetName() + " " + spec.GetUri())
		tr = &translation{name: t.GetName(), text: spec.GetSdnString() != nil, sdn: int(spec.GetSdnBitwidth()),
			ports: strings.Contains(about, "port"), number: map[string]uint64{}, names: map[uint64]string{}}
	}
	s.translations[t.GetName()] = tr
	if tr != nil && tr.ports {
		s.portType = tr
	}
	return tr
}

// setWidth notes the program's width of the type; every use must agree.
func (tr *translation) setWidth(width int) error {
	if tr.width != 0 && tr.width != width {
		return invalidf("translated type %s has %d and %d bits in the program", tr.name, tr.width, width)
	}
	if width > 64 && tr.text {
		return faultf(codes.Unimplemented, "translated type %s: strings for %d bits", tr.name, width)
	}
	tr.width = width
	tr.next = 1<<min(width, 63) - 1
	return nil
}

// toCore is the program's value for the controller's.
func (tr *translation) toCore(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, invalidf("value is empty")
	}
	if !tr.text {
		v, ok := uint64Of(b)
		switch {
		case tr.ports && ok && v == sdnPortCPU && tr.server.options.CPUPort != 0:
			b = coreValue(uint64(tr.server.options.CPUPort)) // if the program's ports go so far
		case tr.ports && ok && v == 0:
			return nil, invalidf("SDN port 0 is none")
		}
		return b, checkWidth(b, tr.width)
	}
	n, err := tr.numberOf(string(b))
	if err != nil {
		return nil, err
	}
	return coreValue(n), nil
}

// coreValue is n as a byte string.
func coreValue(n uint64) []byte {
	return canonical([]byte{byte(n >> 56), byte(n >> 48), byte(n >> 40), byte(n >> 32), byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// numberOf finds the number of a string, or gives it one.
func (tr *translation) numberOf(text string) (uint64, error) {
	tr.mu.RLock()
	n, ok := tr.number[text]
	tr.mu.RUnlock()
	if ok {
		return n, nil
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if n, ok := tr.number[text]; ok {
		return n, nil
	}
	if len(tr.number) >= maxNames {
		return 0, faultf(codes.ResourceExhausted, "translated type %s: more than %d names", tr.name, maxNames)
	}
	n, err := tr.chooseLocked(text)
	if err != nil {
		return 0, err
	}
	tr.number[text], tr.names[n] = n, text
	return n, nil
}

// chooseLocked chooses a number for a new string.
func (tr *translation) chooseLocked(text string) (uint64, error) {
	n, known := uint64(0), false
	if tr.ports {
		if port, ok := tr.server.portNamed(text); ok {
			n, known = uint64(port), true
		}
	}
	if v, err := strconv.ParseUint(text, 10, 64); !known && err == nil && strconv.FormatUint(v, 10) == text {
		n, known = v, true
	}
	if known {
		if tr.width < 64 && n >= 1<<tr.width {
			return 0, invalidf("%q does not fit %d bits", text, tr.width)
		}
		if other, taken := tr.names[n]; taken {
			return 0, faultf(codes.ResourceExhausted, "translated type %s: %q has the number of %q", tr.name, text, other)
		}
		return n, nil
	}
	if tr.ports {
		return 0, invalidf("no port is named %q", text)
	}
	for {
		if tr.next == 0 {
			return 0, faultf(codes.ResourceExhausted, "translated type %s: all %d-bit values are in use", tr.name, tr.width)
		}
		n = tr.next
		tr.next--
		if _, taken := tr.names[n]; !taken {
			return n, nil
		}
	}
}

// toSDN is the controller's value for the program's.
func (tr *translation) toSDN(b []byte) []byte {
	n, ok := uint64Of(b)
	if !tr.text {
		if tr.ports && ok && n == uint64(tr.server.options.CPUPort) && n != 0 && tr.sdn >= 32 {
			return coreValue(sdnPortCPU)
		}
		return canonical(b)
	}
	tr.mu.RLock()
	text, known := tr.names[n]
	tr.mu.RUnlock()
	switch {
	case known:
		return []byte(text)
	case tr.ports:
		if name := tr.server.portName(uint16(n)); n <= 0xffff && name != "" {
			return []byte(name)
		}
	}
	return strconv.AppendUint(nil, n, 10)
}

// portNamed finds a port by its name; "CPU" is the CPU port.
func (s *Server) portNamed(name string) (uint16, bool) {
	if name == "CPU" && s.options.CPUPort != 0 {
		return s.options.CPUPort, true
	}
	if name == "" {
		return 0, false
	}
	for _, a := range s.ports {
		if a != nil && a.port.Name() == name {
			return a.number, s.portName(a.number) == name
		}
	}
	return 0, false
}

// portName is the name of a port, if no other port has it too; "" if there is none.
func (s *Server) portName(number uint16) string {
	if s.options.CPUPort != 0 && number == s.options.CPUPort {
		return "CPU"
	}
	if int(number) >= len(s.ports) || s.ports[number] == nil {
		return ""
	}
	name := s.ports[number].port.Name()
	same := func(a *attachment) bool { return a != nil && a.number != number && a.port.Name() == name }
	if slices.ContainsFunc(s.ports, same) {
		return ""
	}
	return name
}

// portOf is the port that bytes name, in the controller's form.
func (t *target) portOf(b []byte) (uint16, error) {
	if tr := t.schema.portType; tr != nil {
		core, err := tr.toCore(b)
		if err != nil {
			return 0, err
		}
		b = core
	}
	return portOf(b)
}

// widths are what translations need of a bmv2 program: the widths of parameters and of
// header fields.
type widths struct {
	Actions []struct {
		Name string `json:"name"`
		Data []struct {
			Width int `json:"bitwidth"`
		} `json:"runtime_data"`
	} `json:"actions"`
	Headers []struct {
		Name   string `json:"name"`
		Fields [][]any
	} `json:"header_types"`
}

// bindTranslations finds the program's width of each translated type, and of controller
// headers with fields of such types.
func (t *target) bindTranslations(program []byte) error {
	if len(t.schema.translations) == 0 {
		return nil
	}
	for _, tr := range t.schema.translations {
		if tr != nil {
			tr.server = t.server
		}
	}
	var w widths
	if err := json.Unmarshal(program, &w); err != nil {
		return invalidf("p4_device_config: %v", err)
	}
	for _, a := range w.Actions {
		for _, x := range t.schema.actions {
			if x.name != a.Name {
				continue
			}
			for i := range x.params {
				if tr := x.params[i].tr; tr != nil && i < len(a.Data) {
					if err := tr.setWidth(a.Data[i].Width); err != nil {
						return err
					}
				}
			}
		}
	}
	for _, h := range []*headerSchema{t.schema.packetIn, t.schema.packetOut} {
		if err := h.bind(&w); err != nil {
			return err
		}
	}
	for name, tr := range t.schema.translations {
		if tr != nil && tr.width == 0 {
			return invalidf("translated type %s: the program does not tell its width", name)
		}
	}
	return nil
}

// bind lays out a controller header with translated fields as the program's header of the
// same fields.
func (h *headerSchema) bind(w *widths) error {
	if h == nil || !slices.ContainsFunc(h.fields, func(f headerField) bool { return f.tr != nil }) {
		return nil
	}
	for _, x := range w.Headers {
		if !h.is(x.Fields) {
			continue
		}
		bits := 0
		for i := range h.fields {
			f := &h.fields[i]
			width, _ := x.Fields[i][1].(float64)
			f.offset, f.width = bits, int(width)
			bits += f.width
			if f.tr != nil {
				if err := f.tr.setWidth(f.width); err != nil {
					return err
				}
			}
		}
		h.size = bits / 8
		return nil
	}
	return invalidf("controller header: the program has no header of its fields")
}

// is compares names and widths with those of a header of the program.
func (h *headerSchema) is(fields [][]any) bool {
	if len(fields) != len(h.fields) {
		return false
	}
	bits := 0.0
	for i, f := range fields {
		if len(f) < 2 {
			return false
		}
		width, ok := f[1].(float64)
		if !ok || fmt.Sprint(f[0]) != h.fields[i].name || h.fields[i].tr == nil && width != float64(h.fields[i].width) {
			return false
		}
		bits += width
	}
	return int(bits)%8 == 0
}

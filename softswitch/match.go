package softswitch

import (
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"

	"github.com/weft-sdn/weft/softswitch/pipeline"
)

// decodeMatch converts a match to the program's order, checking all that the
// specification asks of it ("Match Format"). Fields that are absent don't care. The
// result lives in the scratch memory.
func (t *target) decodeMatch(fields []fieldSchema, match []*p4v1.FieldMatch) ([]pipeline.FieldMatch, error) {
	out := t.scratch.match[:0]
	for range fields {
		out = append(out, pipeline.FieldMatch{Any: true})
	}
	t.scratch.match = out
	for n, m := range match {
		i, ok := fieldIndex(fields, m.GetFieldId(), n)
		if !ok {
			return nil, unknownID("match field", m.GetFieldId())
		}
		if !out[i].Any {
			return nil, invalidf("match field %s is there twice", fields[i].name)
		}
		if err := decodeField(&out[i], &fields[i], m); err != nil {
			return nil, invalidf("match field %s: %v", fields[i].name, err)
		}
	}
	for i := range out {
		if out[i].Any && fields[i].kind == pipeline.Exact {
			return nil, invalidf("match field %s is missing", fields[i].name)
		}
	}
	return out, nil
}

func decodeField(out *pipeline.FieldMatch, f *fieldSchema, m *p4v1.FieldMatch) error {
	*out = pipeline.FieldMatch{}
	if f.tr != nil {
		return decodeTranslated(out, f, m)
	}
	switch x := m.GetFieldMatchType().(type) {
	case *p4v1.FieldMatch_Exact_:
		if f.kind != pipeline.Exact {
			return wrongKind(f)
		}
		out.Value = x.Exact.GetValue()
		return checkWidth(out.Value, f.width)
	case *p4v1.FieldMatch_Optional_:
		if f.kind != pipeline.Optional {
			return wrongKind(f)
		}
		out.Value, out.Mask = x.Optional.GetValue(), f.mask
		return checkWidth(out.Value, f.width)
	case *p4v1.FieldMatch_Lpm:
		if f.kind != pipeline.LPM {
			return wrongKind(f)
		}
		return decodeLPM(out, f, x.Lpm)
	case *p4v1.FieldMatch_Ternary_:
		if f.kind != pipeline.Ternary {
			return wrongKind(f)
		}
		return decodeTernary(out, f, x.Ternary)
	case *p4v1.FieldMatch_Range_:
		if f.kind != pipeline.Range {
			return wrongKind(f)
		}
		return decodeRange(out, f, x.Range)
	}
	return faultf(codes.InvalidArgument, "match type is missing or not known")
}

// decodeTranslated decodes a match of a field of a translated type. One that is not of a
// single value has no meaning in the controller's form (P4Runtime spec, "Translation of
// Match Fields").
func decodeTranslated(out *pipeline.FieldMatch, f *fieldSchema, m *p4v1.FieldMatch) error {
	var value, high []byte
	single, kind := true, pipeline.Exact
	switch x := m.GetFieldMatchType().(type) {
	case *p4v1.FieldMatch_Exact_:
		value = x.Exact.GetValue()
	case *p4v1.FieldMatch_Optional_:
		value, kind = x.Optional.GetValue(), pipeline.Optional
	case *p4v1.FieldMatch_Lpm:
		value, kind = x.Lpm.GetValue(), pipeline.LPM
		single = !f.tr.text && int(x.Lpm.GetPrefixLen()) == f.width
	case *p4v1.FieldMatch_Ternary_:
		value, kind = x.Ternary.GetValue(), pipeline.Ternary
		single = !f.tr.text && allOnes(x.Ternary.GetMask(), f.width)
	case *p4v1.FieldMatch_Range_:
		value, high, kind = x.Range.GetLow(), x.Range.GetHigh(), pipeline.Range
		single = compare(value, high) == 0
	default:
		return faultf(codes.InvalidArgument, "match type is missing or not known")
	}
	if kind != f.kind {
		return wrongKind(f)
	}
	if !single {
		return faultf(codes.InvalidArgument, "a translated field is matched by single values only")
	}
	if !f.tr.text {
		if err := checkWidth(value, f.width); err != nil {
			return err
		}
	}
	core, err := f.tr.toCore(value)
	if err != nil {
		return err
	}
	out.Value = core
	switch kind {
	case pipeline.LPM:
		out.PrefixLen = f.tr.width
	case pipeline.Ternary:
		out.Mask = ones(f.tr.width)
	case pipeline.Optional:
		out.Mask = f.mask
	case pipeline.Range:
		out.High = core
	}
	return nil
}

func wrongKind(f *fieldSchema) error {
	return faultf(codes.InvalidArgument, "match type is not the field's, %s", kindName(f.kind))
}

func kindName(k pipeline.MatchKind) string {
	switch k {
	case pipeline.LPM:
		return "lpm"
	case pipeline.Ternary:
		return "ternary"
	case pipeline.Range:
		return "range"
	case pipeline.Optional:
		return "optional"
	}
	return "exact"
}

func decodeLPM(out *pipeline.FieldMatch, f *fieldSchema, m *p4v1.FieldMatch_LPM) error {
	out.Value, out.PrefixLen = m.GetValue(), int(m.GetPrefixLen())
	if err := checkWidth(out.Value, f.width); err != nil {
		return err
	}
	if out.PrefixLen <= 0 || out.PrefixLen > f.width {
		return invalidf("prefix length %d is not in 1…%d; to match anything, leave the field out", out.PrefixLen, f.width)
	}
	if trailingZeros(out.Value, f.width) < f.width-out.PrefixLen {
		return invalidf("value %x has bits set beyond prefix length %d", out.Value, out.PrefixLen)
	}
	return nil
}

func decodeTernary(out *pipeline.FieldMatch, f *fieldSchema, m *p4v1.FieldMatch_Ternary) error {
	out.Value, out.Mask = m.GetValue(), m.GetMask()
	if err := checkWidth(out.Value, f.width); err != nil {
		return err
	}
	if err := checkWidth(out.Mask, f.width); err != nil {
		return invalidf("mask: %v", err)
	}
	if bitLen(out.Mask) == 0 {
		return invalidf("mask is zero; to match anything, leave the field out")
	}
	if !covers(out.Mask, out.Value) {
		return invalidf("value %x has bits set outside mask %x", out.Value, out.Mask)
	}
	return nil
}

func decodeRange(out *pipeline.FieldMatch, f *fieldSchema, m *p4v1.FieldMatch_Range) error {
	out.Value, out.High = m.GetLow(), m.GetHigh()
	if err := checkWidth(out.Value, f.width); err != nil {
		return invalidf("low: %v", err)
	}
	if err := checkWidth(out.High, f.width); err != nil {
		return invalidf("high: %v", err)
	}
	if compare(out.Value, out.High) > 0 {
		return invalidf("low %x is above high %x", out.Value, out.High)
	}
	if bitLen(out.Value) == 0 && allOnes(out.High, f.width) {
		return invalidf("range holds every value; to match anything, leave the field out")
	}
	return nil
}

// encodeMatch is the canonical P4Runtime form of a match.
func (a *entryArena) encodeMatch(fields []fieldSchema, match []pipeline.FieldMatch) []*p4v1.FieldMatch {
	out := a.match
	for i := range fields {
		f, m := &fields[i], &match[i]
		if m.Any {
			continue
		}
		if f.tr != nil {
			out = append(out, f.encodeTranslated(m))
			continue
		}
		var x *p4v1.FieldMatch
		switch f.kind {
		case pipeline.LPM:
			x = &p4v1.FieldMatch{FieldId: f.id, FieldMatchType: &p4v1.FieldMatch_Lpm{Lpm: &p4v1.FieldMatch_LPM{Value: canonical(m.Value), PrefixLen: int32(m.PrefixLen)}}}
		case pipeline.Ternary:
			x = a.ternaryField(f.id, canonical(m.Value), canonical(m.Mask))
		case pipeline.Range:
			x = &p4v1.FieldMatch{FieldId: f.id, FieldMatchType: &p4v1.FieldMatch_Range_{Range: &p4v1.FieldMatch_Range{Low: canonical(m.Value), High: canonical(m.High)}}}
		case pipeline.Optional:
			x = &p4v1.FieldMatch{FieldId: f.id, FieldMatchType: &p4v1.FieldMatch_Optional_{Optional: &p4v1.FieldMatch_Optional{Value: canonical(m.Value)}}}
		default:
			x = a.exactField(f.id, canonical(m.Value))
		}
		out = append(out, x)
	}
	a.match = out
	return out
}

// encodeTranslated is the inverse of decodeTranslated.
func (f *fieldSchema) encodeTranslated(m *pipeline.FieldMatch) *p4v1.FieldMatch {
	x, v := &p4v1.FieldMatch{FieldId: f.id}, f.tr.toSDN(m.Value)
	switch f.kind {
	case pipeline.LPM:
		x.FieldMatchType = &p4v1.FieldMatch_Lpm{Lpm: &p4v1.FieldMatch_LPM{Value: v, PrefixLen: int32(f.width)}}
	case pipeline.Ternary:
		x.FieldMatchType = &p4v1.FieldMatch_Ternary_{Ternary: &p4v1.FieldMatch_Ternary{Value: v, Mask: ones(f.width)}}
	case pipeline.Range:
		x.FieldMatchType = &p4v1.FieldMatch_Range_{Range: &p4v1.FieldMatch_Range{Low: v, High: v}}
	case pipeline.Optional:
		x.FieldMatchType = &p4v1.FieldMatch_Optional_{Optional: &p4v1.FieldMatch_Optional{Value: v}}
	default:
		x.FieldMatchType = &p4v1.FieldMatch_Exact_{Exact: &p4v1.FieldMatch_Exact{Value: v}}
	}
	return x
}

// sameMatch compares a decoded match with one as the pipeline reads it back.
func sameMatch(fields []fieldSchema, a, b []pipeline.FieldMatch) bool {
	for i := range fields {
		switch x, y := &a[i], &b[i]; {
		case x.Any || y.Any:
			if x.Any != y.Any {
				return false
			}
		case compare(x.Value, y.Value) != 0,
			fields[i].kind == pipeline.LPM && x.PrefixLen != y.PrefixLen,
			fields[i].kind == pipeline.Ternary && compare(x.Mask, y.Mask) != 0,
			fields[i].kind == pipeline.Range && compare(x.High, y.High) != 0:
			return false
		}
	}
	return true
}

// decodeAction finds an action among refs and converts its parameters; they live in the
// scratch memory.
func (t *target) decodeAction(refs []actionRef, a *p4v1.Action) (actionRef, [][]byte, error) {
	if a.GetActionId() == 0 {
		return actionRef{}, nil, unknownID("action", 0)
	}
	ref, ok := findAction(refs, a.GetActionId(), "")
	if !ok {
		return actionRef{}, nil, invalidf("no action of id %d can be used here", a.GetActionId())
	}
	params := t.scratch.params[:0]
	for range ref.params {
		params = append(params, nil)
	}
	t.scratch.params = params
	for n, p := range a.GetParams() {
		i := n
		if i >= len(ref.params) || ref.params[i].id != p.GetParamId() {
			i = ref.paramIndex(p.GetParamId())
		}
		if i < 0 {
			return ref, nil, invalidf("action %s: no parameter has id %d", ref.name, p.GetParamId())
		}
		if params[i] != nil {
			return ref, nil, invalidf("action %s: parameter %d is there twice", ref.name, p.GetParamId())
		}
		value, err := ref.params[i].decode(p.GetValue())
		if err != nil {
			return ref, nil, invalidf("action %s: parameter %d: %v", ref.name, p.GetParamId(), err)
		}
		params[i] = value
	}
	for i := range params {
		if params[i] == nil {
			return ref, nil, invalidf("action %s: parameter %d is missing", ref.name, ref.params[i].id)
		}
	}
	return ref, params, nil
}

// decode checks a parameter's value and translates it.
func (p *paramSchema) decode(b []byte) ([]byte, error) {
	if p.tr == nil {
		return b, checkWidth(b, p.width)
	}
	if !p.tr.text {
		if err := checkWidth(b, p.width); err != nil {
			return nil, err
		}
	}
	return p.tr.toCore(b)
}

// encode is the inverse of decode.
func (p *paramSchema) encode(b []byte) []byte {
	if p.tr == nil {
		return canonical(b)
	}
	return p.tr.toSDN(b)
}

func (a *actionSchema) paramIndex(id uint32) int {
	for i := range a.params {
		if a.params[i].id == id {
			return i
		}
	}
	return -1
}

// encodeAction is the P4Runtime form of an action; nil if refs has none of that name.
func (x *entryArena) encodeAction(refs []actionRef, name string, params [][]byte) *p4v1.Action {
	ref, ok := findAction(refs, 0, name)
	if !ok {
		return nil
	}
	begin := len(x.list)
	for i := range min(len(params), len(ref.params)) {
		x.list = append(x.list, x.param(ref.params[i].id, ref.params[i].encode(params[i])))
	}
	return x.action(ref.id, x.list[begin:])
}

package softswitch

import (
	"fmt"

	configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	"google.golang.org/grpc/codes"

	"github.com/weft-sdn/weft/softswitch/pipeline"
)

// schema is a P4Info as lookup tables, made once per pipeline configuration.
type schema struct {
	info      *configv1.P4Info
	tables    map[uint32]*tableSchema
	order     []*tableSchema // as in the P4Info
	actions   map[uint32]*actionSchema
	profiles  map[uint32]*profileSchema
	counters  map[uint32]*arraySchema
	meters    map[uint32]*meterSchema
	registers map[uint32]*registerSchema
	valueSets map[uint32]*valueSetSchema
	digests   map[string]*digestSchema // by name
	digestIDs map[uint32]*digestSchema
	packetIn  *headerSchema // nil: none
	packetOut *headerSchema

	translations map[string]*translation // by name of type; nil: a type without
	portType     *translation            // that of ports, if they are translated
}

type tableSchema struct {
	id           uint32
	name         string
	size         int64
	fields       []fieldSchema
	actions      []actionRef
	needPriority bool // a ternary, range or optional field
	isConst      bool
	initial      bool // the program has entries
	constDefault bool
	idleTimeout  bool
	counter      bool         // direct
	meter        *meterSchema // direct; nil: none
	profile      *profileSchema
}

type fieldSchema struct {
	id    uint32
	name  string
	kind  pipeline.MatchKind
	width int    // bits
	mask  []byte // all ones, if the program has an optional field as a ternary one
	tr    *translation
}

// actionRef is an action as one table may use it.
type actionRef struct {
	*actionSchema
	scope configv1.ActionRef_Scope
}

type actionSchema struct {
	id     uint32
	name   string
	params []paramSchema // in the program's order
}

type paramSchema struct {
	id    uint32
	width int // bits
	tr    *translation
}

type profileSchema struct {
	id           uint32
	name         string
	size         int64
	selector     bool
	maxGroupSize int32
	sumOfMembers bool // size semantics; else sum of weights
	maxWeight    int32
	noWeights    bool
	actions      []actionRef
}

type arraySchema struct {
	id   uint32
	name string
	size int64
}

type meterSchema struct {
	arraySchema
	kind configv1.MeterSpec_Type
}

type registerSchema struct {
	arraySchema
	width int // bits; 0: not a plain bit string
}

type valueSetSchema struct {
	id     uint32
	name   string
	size   int32
	fields []fieldSchema
}

// newSchema checks a P4Info and builds its tables.
func newSchema(info *configv1.P4Info) (*schema, error) {
	if info == nil {
		return nil, invalidf("p4info is missing")
	}
	s := &schema{
		info: info, tables: map[uint32]*tableSchema{}, actions: map[uint32]*actionSchema{},
		profiles: map[uint32]*profileSchema{}, counters: map[uint32]*arraySchema{},
		meters: map[uint32]*meterSchema{}, registers: map[uint32]*registerSchema{},
		valueSets: map[uint32]*valueSetSchema{},
		digests:   map[string]*digestSchema{}, digestIDs: map[uint32]*digestSchema{},
		translations: map[string]*translation{},
	}
	for _, step := range []func() error{
		s.checkIDs, s.addActions, s.addProfiles, s.addArrays, s.addTables, s.addValueSets, s.addDigests, s.addHeaders,
	} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("p4info: %w", err)
		}
	}
	return s, nil
}

// checkIDs refuses zero and duplicate object ids.
func (s *schema) checkIDs() error {
	seen := map[uint32]string{}
	check := func(p *configv1.Preamble) error {
		if p.GetId() == 0 {
			return invalidf("%s has no id", p.GetName())
		}
		if other, ok := seen[p.GetId()]; ok {
			return invalidf("%s and %s have the same id %d", other, p.GetName(), p.GetId())
		}
		seen[p.GetId()] = p.GetName()
		return nil
	}
	for _, list := range [][]*configv1.Preamble{
		preambles(s.info.GetTables()), preambles(s.info.GetActions()), preambles(s.info.GetActionProfiles()),
		preambles(s.info.GetCounters()), preambles(s.info.GetDirectCounters()), preambles(s.info.GetMeters()),
		preambles(s.info.GetDirectMeters()), preambles(s.info.GetRegisters()), preambles(s.info.GetValueSets()),
		preambles(s.info.GetDigests()), preambles(s.info.GetControllerPacketMetadata()),
	} {
		for _, p := range list {
			if err := check(p); err != nil {
				return err
			}
		}
	}
	return nil
}

func preambles[T interface{ GetPreamble() *configv1.Preamble }](list []T) []*configv1.Preamble {
	out := make([]*configv1.Preamble, len(list))
	for i, object := range list {
		out[i] = object.GetPreamble()
	}
	return out
}

func (s *schema) addActions() error {
	for _, a := range s.info.GetActions() {
		action := &actionSchema{id: a.GetPreamble().GetId(), name: a.GetPreamble().GetName()}
		for _, p := range a.GetParams() {
			tr := s.translationOf(p.GetTypeName())
			if p.GetId() == 0 || p.GetBitwidth() <= 0 && (tr == nil || !tr.text) {
				return invalidf("action %s: parameter %s: id %d, %d bits: not supported",
					action.name, p.GetName(), p.GetId(), p.GetBitwidth())
			}
			action.params = append(action.params, paramSchema{id: p.GetId(), width: int(p.GetBitwidth()), tr: tr})
		}
		s.actions[action.id] = action
	}
	return nil
}

func (s *schema) addProfiles() error {
	for _, p := range s.info.GetActionProfiles() {
		profile := &profileSchema{
			id: p.GetPreamble().GetId(), name: p.GetPreamble().GetName(), size: p.GetSize(),
			selector: p.GetWithSelector(), maxGroupSize: p.GetMaxGroupSize(),
			noWeights: p.GetWeightsDisallowed(),
		}
		if m := p.GetSumOfMembers(); m != nil {
			profile.sumOfMembers, profile.maxWeight = true, m.GetMaxMemberWeight()
		}
		s.profiles[profile.id] = profile
	}
	return nil
}

func (s *schema) addArrays() error {
	array := func(p *configv1.Preamble, size int64) arraySchema {
		return arraySchema{id: p.GetId(), name: p.GetName(), size: size}
	}
	for _, c := range s.info.GetCounters() {
		a := array(c.GetPreamble(), c.GetSize())
		s.counters[a.id] = &a
	}
	for _, m := range s.info.GetMeters() {
		a := array(m.GetPreamble(), m.GetSize())
		s.meters[a.id] = &meterSchema{arraySchema: a, kind: m.GetSpec().GetType()}
	}
	for _, r := range s.info.GetRegisters() {
		a := array(r.GetPreamble(), int64(r.GetSize()))
		width := r.GetTypeSpec().GetBitstring().GetBit().GetBitwidth()
		s.registers[a.id] = &registerSchema{arraySchema: a, width: int(width)}
	}
	return nil
}

func (s *schema) addTables() error {
	counters := map[uint32]bool{}
	for _, c := range s.info.GetDirectCounters() {
		counters[c.GetPreamble().GetId()] = true
	}
	meters := map[uint32]*meterSchema{}
	for _, m := range s.info.GetDirectMeters() {
		p := m.GetPreamble()
		meters[p.GetId()] = &meterSchema{arraySchema: arraySchema{id: p.GetId(), name: p.GetName()}, kind: m.GetSpec().GetType()}
	}
	for _, t := range s.info.GetTables() {
		table := &tableSchema{
			id: t.GetPreamble().GetId(), name: t.GetPreamble().GetName(), size: t.GetSize(),
			isConst: t.GetIsConstTable(), initial: t.GetHasInitialEntries(), constDefault: t.GetConstDefaultActionId() != 0,
			idleTimeout: t.GetIdleTimeoutBehavior() == configv1.Table_NOTIFY_CONTROL,
		}
		var err error
		if table.fields, err = s.fieldsOf(t.GetMatchFields()); err != nil {
			return fmt.Errorf("table %s: %w", table.name, err)
		}
		for _, f := range table.fields {
			table.needPriority = table.needPriority || f.kind == pipeline.Ternary || f.kind == pipeline.Range || f.kind == pipeline.Optional
		}
		for _, id := range t.GetDirectResourceIds() {
			table.counter = table.counter || counters[id]
			if m := meters[id]; m != nil {
				table.meter = m
			}
		}
		if err := s.addTableActions(table, t); err != nil {
			return fmt.Errorf("table %s: %w", table.name, err)
		}
		s.tables[table.id] = table
		s.order = append(s.order, table)
	}
	return nil
}

func (s *schema) addTableActions(table *tableSchema, t *configv1.Table) error {
	for _, ref := range t.GetActionRefs() {
		action := s.actions[ref.GetId()]
		if action == nil {
			return invalidf("no action has id %d", ref.GetId())
		}
		table.actions = append(table.actions, actionRef{actionSchema: action, scope: ref.GetScope()})
	}
	if id := t.GetImplementationId(); id != 0 {
		if table.profile = s.profiles[id]; table.profile == nil {
			return invalidf("no action profile has id %d", id)
		}
		if table.profile.actions == nil {
			table.profile.actions = table.actions
		}
	}
	return nil
}

func (s *schema) fieldsOf(list []*configv1.MatchField) ([]fieldSchema, error) {
	var fields []fieldSchema
	for _, f := range list {
		kind, ok := map[configv1.MatchField_MatchType]pipeline.MatchKind{
			configv1.MatchField_EXACT: pipeline.Exact, configv1.MatchField_LPM: pipeline.LPM,
			configv1.MatchField_TERNARY: pipeline.Ternary, configv1.MatchField_RANGE: pipeline.Range,
			configv1.MatchField_OPTIONAL: pipeline.Optional,
		}[f.GetMatchType()]
		tr := s.translationOf(f.GetTypeName())
		if !ok || f.GetId() == 0 || f.GetBitwidth() <= 0 && (tr == nil || !tr.text) {
			return nil, invalidf("match field %s: id %d, %d bits, %v: not supported",
				f.GetName(), f.GetId(), f.GetBitwidth(), f.GetMatchType())
		}
		fields = append(fields, fieldSchema{id: f.GetId(), name: f.GetName(), kind: kind, width: int(f.GetBitwidth()), tr: tr})
	}
	return fields, nil
}

func (s *schema) addValueSets() error {
	for _, v := range s.info.GetValueSets() {
		fields, err := s.fieldsOf(v.GetMatch())
		if err != nil {
			return fmt.Errorf("value set %s: %w", v.GetPreamble().GetName(), err)
		}
		set := &valueSetSchema{id: v.GetPreamble().GetId(), name: v.GetPreamble().GetName(), size: v.GetSize(), fields: fields}
		s.valueSets[set.id] = set
	}
	return nil
}

// fieldIndex finds a match field; hint is its likely position.
func fieldIndex(fields []fieldSchema, id uint32, hint int) (int, bool) {
	if hint < len(fields) && fields[hint].id == id {
		return hint, true
	}
	for i := range fields {
		if fields[i].id == id {
			return i, true
		}
	}
	return 0, false
}

// findAction finds an action among refs by id; by name if id is zero.
func findAction(refs []actionRef, id uint32, name string) (actionRef, bool) {
	for _, ref := range refs {
		if ref.id == id || id == 0 && ref.name == name {
			return ref, true
		}
	}
	return actionRef{}, false
}

// unknownID is the fault of a request that names an object wrongly, or not at all.
func unknownID(kind string, id uint32) error {
	if id == 0 {
		return invalidf("%s id is missing", kind)
	}
	return faultf(codes.InvalidArgument, "no %s has id %d", kind, id)
}

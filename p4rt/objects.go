package p4rt

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	p4config "github.com/p4lang/p4runtime/go/p4/config/v1"
)

// Object is what objects of a p4info that are not tables or actions have in common.
type Object struct {
	ID    uint32
	Name  string
	Alias string
}

func (o *Object) String() string { return o.Alias }

func (o *Object) object() *Object { return o }

func objectOf(p *p4config.Preamble) Object {
	o := Object{ID: p.GetId(), Name: p.GetName(), Alias: p.GetAlias()}
	if o.Alias == "" {
		o.Alias = o.Name
	}
	return o
}

// registry finds objects of one kind.
type registry[T interface {
	comparable
	object() *Object
}] struct {
	kind   string
	absent error
	byID   map[uint32]T
	names  map[string]T
	all    []T // in the order of the p4info
}

func (r *registry[T]) add(v T) error {
	if r.byID == nil {
		r.byID, r.names = map[uint32]T{}, map[string]T{}
	}
	o := v.object()
	if _, dup := r.byID[o.ID]; dup {
		return fmt.Errorf("%s %s: %w: id %d", r.kind, o.Name, ErrAmbiguous, o.ID)
	}
	r.byID[o.ID] = v
	r.all = append(r.all, v)
	return addName(r.names, r.kind, o.Name, o.Alias, v)
}

func (r *registry[T]) find(name string) (T, error) {
	if v, ok := r.names[name]; ok {
		return v, nil
	}
	var none T
	return none, fmt.Errorf("%w %q (has %s)", r.absent, name, strings.Join(slices.Sorted(maps.Keys(r.names)), ", "))
}

// CounterArray is a compiled indirect counter.
type CounterArray struct {
	Object
	Size int64 // cells
}

// MeterArray is a compiled indirect meter.
type MeterArray struct {
	Object
	Size int64 // cells
}

// RegisterArray is a compiled register.
type RegisterArray struct {
	Object
	Size int64 // cells
	Cell Field // what a cell holds; Width 0: not a bit string, read and written as P4Data only
}

// ValueSet is a compiled parser value set.
type ValueSet struct {
	Object
	Size int32 // members
	Keys []Field
}

// Digest is a compiled digest: a message from packets to the controller.
type Digest struct {
	Object
	Fields []Field // of the struct that is sent; one without a name if it is a single value
}

// ActionProfile is a compiled action profile or selector.
type ActionProfile struct {
	Object
	Size         int64 // members (or weights: SumOfMembers) that the target promises; 0 unknown
	Selector     bool  // has groups
	MaxGroupSize int32 // 0: no limit known
	SumOfMembers bool  // sizes count members; else weights
	MaxWeight    int32 // of a member, with SumOfMembers; 0: no limit known
	NoWeights    bool  // members have weight 0

	actions map[uint32]*Action
	byName  map[string]*Action
}

// Action returns an action that members may have, by full name or alias.
func (p *ActionProfile) Action(name string) (*Action, error) {
	if a := p.byName[name]; a != nil {
		return a, a.err
	}
	return nil, fmt.Errorf("action profile %s: %w %q (has %s)", p.Alias, ErrNoSuchAction, name,
		strings.Join(slices.Sorted(maps.Keys(p.byName)), ", "))
}

func (c *compiler) compileProfiles() error {
	c.schema.profiles.kind, c.schema.profiles.absent = "action profile", ErrNoSuchProfile
	for _, m := range c.info.GetActionProfiles() {
		p := &ActionProfile{Object: objectOf(m.GetPreamble()), Size: m.GetSize(), Selector: m.GetWithSelector(),
			MaxGroupSize: m.GetMaxGroupSize(), NoWeights: m.GetWeightsDisallowed()}
		if sm := m.GetSumOfMembers(); sm != nil {
			p.SumOfMembers, p.MaxWeight = true, sm.GetMaxMemberWeight()
		}
		if err := c.schema.profiles.add(p); err != nil {
			return err
		}
	}
	return nil
}

func (c *compiler) compileArrays() error {
	s := c.schema
	s.counters.kind, s.counters.absent = "counter", ErrNoSuchCounter
	s.meters.kind, s.meters.absent = "meter", ErrNoSuchMeter
	s.registers.kind, s.registers.absent = "register", ErrNoSuchRegister
	for _, m := range c.info.GetCounters() {
		if err := s.counters.add(&CounterArray{objectOf(m.GetPreamble()), m.GetSize()}); err != nil {
			return err
		}
	}
	for _, m := range c.info.GetMeters() {
		if err := s.meters.add(&MeterArray{objectOf(m.GetPreamble()), m.GetSize()}); err != nil {
			return err
		}
	}
	for _, m := range c.info.GetRegisters() {
		r := &RegisterArray{Object: objectOf(m.GetPreamble()), Size: int64(m.GetSize())}
		r.Cell = c.bits(r.Alias, m.GetTypeSpec())
		if err := s.registers.add(r); err != nil {
			return err
		}
	}
	return c.compileLearning()
}

// compileLearning compiles value sets and digests.
func (c *compiler) compileLearning() error {
	s := c.schema
	s.valueSets.kind, s.valueSets.absent = "value set", ErrNoSuchValueSet
	s.digests.kind, s.digests.absent = "digest", ErrNoSuchDigest
	for _, m := range c.info.GetValueSets() {
		v := &ValueSet{Object: objectOf(m.GetPreamble()), Size: m.GetSize()}
		for _, q := range m.GetMatch() {
			f, err := c.match(v.Name, q)
			if err != nil {
				return fmt.Errorf("value set %s: %w", v.Name, err)
			}
			v.Keys = append(v.Keys, f)
		}
		if err := s.valueSets.add(v); err != nil {
			return err
		}
	}
	for _, m := range c.info.GetDigests() {
		d := &Digest{Object: objectOf(m.GetPreamble())}
		d.Fields = c.members(d.Alias, m.GetTypeSpec())
		if err := s.digests.add(d); err != nil {
			return err
		}
	}
	return nil
}

// bits compiles a type that is a plain bit string; Width 0 if it is another.
func (c *compiler) bits(name string, t *p4config.P4DataTypeSpec) Field {
	f := Field{Name: name, Width: int(t.GetBitstring().GetBit().GetBitwidth())}
	if named := t.GetNewType().GetName(); named != "" {
		n := c.info.GetTypeInfo().GetNewTypes()[named]
		f.Width = int(n.GetOriginalType().GetBitstring().GetBit().GetBitwidth())
		if tr := n.GetTranslatedType(); tr != nil {
			f.Translation, f.Width = tr.GetUri(), int(tr.GetSdnBitwidth())
			if tr.GetSdnString() != nil {
				f.names, f.Width = c.schema.names, MaxWidth
			}
		}
	}
	if f.Width > MaxWidth {
		f.Width = 0
	}
	return f
}

// members are the fields of a type, in order.
func (c *compiler) members(name string, t *p4config.P4DataTypeSpec) []Field {
	info := c.info.GetTypeInfo()
	var out []Field
	switch {
	case t.GetStruct() != nil:
		for _, m := range info.GetStructs()[t.GetStruct().GetName()].GetMembers() {
			out = append(out, c.bits(m.GetName(), m.GetTypeSpec()))
		}
	case t.GetHeader() != nil:
		for _, m := range info.GetHeaders()[t.GetHeader().GetName()].GetMembers() {
			out = append(out, Field{Name: m.GetName(), Width: int(m.GetTypeSpec().GetBit().GetBitwidth())})
		}
	case t.GetTuple() != nil:
		for i, m := range t.GetTuple().GetMembers() {
			out = append(out, c.bits(fmt.Sprint(i), m))
		}
	default:
		out = append(out, c.bits("", t))
	}
	return out
}

// Meter returns an indirect meter by full name or alias.
func (s *Schema) Meter(name string) (*MeterArray, error) { return s.meters.find(name) }

// Register returns a register by full name or alias.
func (s *Schema) Register(name string) (*RegisterArray, error) { return s.registers.find(name) }

// ActionProfile returns an action profile or selector by full name or alias.
func (s *Schema) ActionProfile(name string) (*ActionProfile, error) { return s.profiles.find(name) }

// ValueSet returns a parser value set by full name or alias.
func (s *Schema) ValueSet(name string) (*ValueSet, error) { return s.valueSets.find(name) }

// Digest returns a digest by full name or alias.
func (s *Schema) Digest(name string) (*Digest, error) { return s.digests.find(name) }

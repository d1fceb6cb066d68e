package softswitch

import (
	"fmt"
	"iter"

	configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"

	"github.com/weft-sdn/weft/softswitch/pipeline"
)

// target is one pipeline configuration with its forwarding state. All of it but the
// machine's packet side is guarded by Server.mu.
type target struct {
	server  *Server
	config  *p4v1.ForwardingPipelineConfig // as the client set it
	schema  *schema
	machine *pipeline.Machine

	tables    map[uint32]*boundTable
	profiles  map[uint32]*boundProfile
	multicast map[uint32]*p4v1.MulticastGroupEntry // as they read back
	clones    map[uint32]*p4v1.CloneSessionEntry
	digests   *digestStreams

	scratch scratch // of the writer
}

// boundTable is a P4Info table with the pipeline's table behind it.
type boundTable struct {
	*tableSchema
	core *pipeline.Table
	// What the pipeline does not keep of the default entry.
	defaultMetadata []byte
	defaultCookie   uint64
}

// boundProfile is a P4Info action profile with the pipeline's behind it.
type boundProfile struct {
	*profileSchema
	core   *pipeline.Profile
	groups map[uint32]*p4v1.ActionProfileGroup // as they read back
	// members is how many members clients have made.
	members int
	// One-shot groups by their hidden group id.
	oneShots map[uint32]*oneShot
	nextID   uint32 // of hidden groups and members
}

// scratch is memory that conversions of writes reuse.
type scratch struct {
	match  []pipeline.FieldMatch
	params [][]byte
}

// newTarget checks a configuration and makes a target that is ready to run it.
func (s *Server) newTarget(config *p4v1.ForwardingPipelineConfig) (*target, error) {
	if config == nil {
		return nil, invalidf("config is missing")
	}
	schema, err := newSchema(config.GetP4Info())
	if err != nil {
		return nil, err
	}
	program, err := pipeline.Load(config.GetP4DeviceConfig())
	if err != nil {
		return nil, invalidf("p4_device_config: %v", err)
	}
	t := &target{
		server: s, config: config, schema: schema,
		tables: map[uint32]*boundTable{}, profiles: map[uint32]*boundProfile{},
		multicast: map[uint32]*p4v1.MulticastGroupEntry{}, clones: map[uint32]*p4v1.CloneSessionEntry{},
		digests: &digestStreams{byID: map[uint32]*digestStream{}},
	}
	t.machine = s.newMachine(program, t)
	if err := t.bind(); err != nil {
		return nil, err
	}
	return t, nil
}

func (s *Server) newMachine(program *pipeline.Program, t *target) *pipeline.Machine {
	return pipeline.New(program, pipeline.Options{
		CPUPort: s.options.CPUPort, DropPort: s.options.DropPort,
		Emit:           func(number uint16, frame []byte) { s.emit(t, number, frame) },
		Digest:         func(name string, fields [][]byte) { s.digest(t, name, fields) },
		PortlessCopies: s.options.Quirks.PortlessCopies,
		Now:            s.options.Now,
		Log:            func(text string) { s.log.Debug("program", "msg", text) },
	})
}

// bind finds each object of the P4Info in the program and compares them.
func (t *target) bind() error {
	for _, table := range t.schema.order {
		core, ok := t.machine.Table(table.name)
		if !ok {
			return invalidf("the program has no table %s", table.name)
		}
		if err := sameKeys(table.fields, core.Keys()); err != nil {
			return invalidf("table %s: %v", table.name, err)
		}
		core.SetConst(table.isConst)
		t.tables[table.id] = &boundTable{tableSchema: table, core: core}
	}
	if err := t.bindTranslations(t.config.GetP4DeviceConfig()); err != nil {
		return err
	}
	for _, p := range t.schema.profiles {
		core, ok := t.machine.Profile(p.name)
		if !ok {
			return invalidf("the program has no action profile %s", p.name)
		}
		t.profiles[p.id] = &boundProfile{profileSchema: p, core: core,
			groups: map[uint32]*p4v1.ActionProfileGroup{}, oneShots: map[uint32]*oneShot{}, nextID: firstHiddenID}
	}
	for _, c := range t.schema.counters {
		if _, ok := t.machine.Counter(c.name); !ok {
			return invalidf("the program has no counter %s", c.name)
		}
	}
	for _, m := range t.schema.meters {
		if _, ok := t.machine.Meter(m.name); !ok {
			return invalidf("the program has no meter %s", m.name)
		}
	}
	for _, r := range t.schema.registers {
		if _, ok := t.machine.Register(r.name); !ok {
			return invalidf("the program has no register %s", r.name)
		}
	}
	return nil
}

// sameKeys compares a table's key in the P4Info with the program's, and notes how the
// program has its optional fields.
func sameKeys(fields []fieldSchema, keys []pipeline.KeyInfo) error {
	if len(fields) != len(keys) {
		return fmt.Errorf("%d key fields in the p4info, %d in the program", len(fields), len(keys))
	}
	for i := range fields {
		f, k := &fields[i], keys[i]
		switch {
		case k.Kind == pipeline.Valid:
			k.Kind = pipeline.Exact
		case f.kind == pipeline.Optional && k.Kind == pipeline.Ternary:
			k.Kind, f.mask = pipeline.Optional, ones(f.width) // as p4c compiles it
		}
		if f.tr != nil {
			if err := f.tr.setWidth(k.Width); err != nil {
				return err
			}
			f.width = max(f.width, 1)
			k.Width = f.width
			if f.mask != nil {
				f.mask = ones(f.tr.width)
			}
		}
		if f.width != k.Width || f.kind != k.Kind {
			return fmt.Errorf("key field %s: %s bit<%d> in the p4info, %s bit<%d> in the program",
				f.name, kindName(f.kind), f.width, kindName(k.Kind), k.Width)
		}
	}
	return nil
}

// table finds a table that a request names.
func (t *target) table(id uint32) (*boundTable, error) {
	if b := t.tables[id]; b != nil {
		return b, nil
	}
	return nil, unknownID("table", id)
}

// allTables are the tables in the P4Info's order.
func (t *target) allTables() iter.Seq[*boundTable] {
	return func(yield func(*boundTable) bool) {
		for _, table := range t.schema.order {
			if !yield(t.tables[table.id]) {
				return
			}
		}
	}
}

// sameP4Info tells whether two configurations have equal P4Infos.
func sameP4Info(a, b *configv1.P4Info) bool { return proto.Equal(a, b) }

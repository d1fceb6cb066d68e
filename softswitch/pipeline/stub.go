package pipeline

import "iter"

type (
	Program  struct{}
	Machine  struct{}
	Table    struct{}
	Counter  struct{}
	Meter    struct{}
	Register struct{}
	Profile  struct{}
	ValueSet struct{}
)

func Load(bmv2JSON []byte) (*Program, error)                                      { panic("not yet") }
func New(p *Program, o Options) *Machine                                          { panic("not yet") }
func (m *Machine) Process(port uint16, frame []byte)                              { panic("not yet") }
func (m *Machine) Reset()                                                         { panic("not yet") }
func (v *ValueSet) Set(members [][]FieldMatch) error                              { panic("not yet") }
func (v *ValueSet) Members() [][]FieldMatch                                       { panic("not yet") }
func (m *Machine) Table(name string) (*Table, bool)                               { panic("not yet") }
func (m *Machine) Tables() iter.Seq[*Table]                                       { panic("not yet") }
func (m *Machine) Counter(name string) (*Counter, bool)                           { panic("not yet") }
func (m *Machine) Meter(name string) (*Meter, bool)                               { panic("not yet") }
func (m *Machine) Register(name string) (*Register, bool)                         { panic("not yet") }
func (m *Machine) Profile(name string) (*Profile, bool)                           { panic("not yet") }
func (m *Machine) ValueSet(name string) (*ValueSet, bool)                         { panic("not yet") }
func (m *Machine) SetMulticast(group uint32, r []Replica)                         { panic("not yet") }
func (m *Machine) DeleteMulticast(group uint32) bool                              { panic("not yet") }
func (m *Machine) Multicast(group uint32) ([]Replica, bool)                       { panic("not yet") }
func (m *Machine) SetClone(session uint32, s CloneSession)                        { panic("not yet") }
func (m *Machine) DeleteClone(session uint32) bool                                { panic("not yet") }
func (m *Machine) Clone(session uint32) (CloneSession, bool)                      { panic("not yet") }
func (m *Machine) Idle(yield func(*Table, EntryState) bool)                       { panic("not yet") }
func (m *Machine) Stats() Stats                                                   { panic("not yet") }
func (t *Table) Name() string                                                     { panic("not yet") }
func (t *Table) Size() int                                                        { panic("not yet") }
func (t *Table) Len() int                                                         { panic("not yet") }
func (t *Table) Keys() []KeyInfo                                                  { panic("not yet") }
func (t *Table) Actions() []string                                                { panic("not yet") }
func (t *Table) HasPriority() bool                                                { panic("not yet") }
func (t *Table) HasCounter() bool                                                 { panic("not yet") }
func (t *Table) HasMeter() bool                                                   { panic("not yet") }
func (t *Table) HasTimeout() bool                                                 { panic("not yet") }
func (t *Table) IsConst() bool                                                    { panic("not yet") }
func (t *Table) Profile() string                                                  { panic("not yet") }
func (t *Table) Insert(Entry) error                                               { panic("not yet") }
func (t *Table) Modify(Entry) error                                               { panic("not yet") }
func (t *Table) Delete(match []FieldMatch, priority int32) error                  { panic("not yet") }
func (t *Table) Read(match []FieldMatch, priority int32) (EntryState, bool)       { panic("not yet") }
func (t *Table) All() iter.Seq[EntryState]                                        { panic("not yet") }
func (t *Table) Clear()                                                           { panic("not yet") }
func (t *Table) SetDefault(action string, params [][]byte) error                  { panic("not yet") }
func (t *Table) ResetDefault() error                                              { panic("not yet") }
func (t *Table) Default() EntryState                                              { panic("not yet") }
func (t *Table) SetCounter(match []FieldMatch, priority int32, c Count) error     { panic("not yet") }
func (t *Table) SetMeter(match []FieldMatch, priority int32, c MeterConfig) error { panic("not yet") }
func (t *Table) SetDefaultCounter(Count) error                                    { panic("not yet") }
func (t *Table) SetDefaultMeter(MeterConfig) error                                { panic("not yet") }
func (p *Profile) Name() string                                                   { panic("not yet") }
func (p *Profile) Size() int                                                      { panic("not yet") }
func (p *Profile) IsSelector() bool                                               { panic("not yet") }
func (p *Profile) InsertMember(Member) error                                      { panic("not yet") }
func (p *Profile) ModifyMember(Member) error                                      { panic("not yet") }
func (p *Profile) DeleteMember(id uint32) error                                   { panic("not yet") }
func (p *Profile) Member(id uint32) (Member, bool)                                { panic("not yet") }
func (p *Profile) Members() iter.Seq[Member]                                      { panic("not yet") }
func (p *Profile) InsertGroup(Group) error                                        { panic("not yet") }
func (p *Profile) ModifyGroup(Group) error                                        { panic("not yet") }
func (p *Profile) DeleteGroup(id uint32) error                                    { panic("not yet") }
func (p *Profile) Group(id uint32) (Group, bool)                                  { panic("not yet") }
func (p *Profile) Groups() iter.Seq[Group]                                        { panic("not yet") }
func (x *Counter) Name() string                                                   { panic("not yet") }
func (x *Counter) Len() int                                                       { panic("not yet") }
func (x *Counter) Read(index int) (Count, error)                                  { panic("not yet") }
func (x *Counter) Write(index int, v Count) error                                 { panic("not yet") }
func (x *Meter) Name() string                                                     { panic("not yet") }
func (x *Meter) Len() int                                                         { panic("not yet") }
func (x *Meter) Read(index int) (MeterConfig, error)                              { panic("not yet") }
func (x *Meter) Write(index int, v MeterConfig) error                             { panic("not yet") }
func (x *Register) Name() string                                                  { panic("not yet") }
func (x *Register) Len() int                                                      { panic("not yet") }
func (x *Register) Read(index int) ([]byte, error)                                { panic("not yet") }
func (x *Register) Write(index int, v []byte) error                               { panic("not yet") }

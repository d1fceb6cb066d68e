package p4rt

import (
	"errors"
	"reflect"
	"testing"

	"google.golang.org/grpc/codes"
)

// TestProfilesRefuse: what a target can't do never reaches it, and the error says whose fault it is.
func TestProfilesRefuse(t *testing.T) {
	s := miniSchema(t)
	wild, err := s.Table("flow_wild")
	if err != nil {
		t.Fatal(err)
	}
	entry := wild.NewEntry()
	entry.Priority = 1 << 24
	sel := &ActionProfile{Object: Object{ID: 1, Alias: "sel"}, Selector: true}
	backups := map[Replica][]Replica{{Port: 1}: {{Port: 2}}}
	for _, tc := range []struct {
		field  string
		update Update
		want   error
	}{
		{"MulticastMax", Update{Insert, &MulticastGroup{ID: 1 << 17}}, ErrOverflow},
		{"CloneMax", Update{Insert, &CloneSession{ID: 1016}}, ErrOverflow},
		{"PriorityMax", Update{Insert, entry}, ErrOverflow},
		{"OneCloneReplica", Update{Insert, &CloneSession{ID: 1, Replicas: []Replica{{Port: 1}, {Port: 2}}}}, ErrUnsupported},
		{"NoBackups", Update{Insert, &MulticastGroup{ID: 1, Replicas: []Replica{{Port: 1}}, Backups: backups}}, ErrUnsupported},
		{"NoBackups", Update{Insert, &CloneSession{ID: 1, Replicas: []Replica{{Port: 1}}, Backups: backups}}, ErrUnsupported},
		{"NoReplication", Update{Insert, &MulticastGroup{ID: 1}}, ErrUnsupported},
		{"NoReplication", Update{Insert, &CloneSession{ID: 1, Replicas: []Replica{{Port: 1}}}}, ErrUnsupported},
		{"NoOneShot", Update{Insert, &Entry{Table: wild, OneShot: []Weighted{{}}}}, ErrUnsupported},
		{"NoWatch", Update{Insert, &ActionGroup{Profile: sel, Members: []GroupMember{{ID: 1, Watch: WatchPort(1)}}}}, ErrUnsupported},
		{"NoWatch", Update{Insert, &Entry{Table: wild, OneShot: []Weighted{{Watch: WatchPort(0)}}}}, ErrUnsupported},
		{"NoWeights", Update{Insert, &ActionGroup{Profile: sel, Members: []GroupMember{{ID: 1, Weight: 2}}}}, ErrUnsupported},
		{"NoEmptyGroups", Update{Insert, &ActionGroup{Profile: sel}}, ErrUnsupported},
		{"NoMembers", Update{Insert, &ActionGroup{Profile: sel}}, ErrUnsupported},
		{"NoMembers", Update{Insert, &ActionMember{Profile: sel}}, ErrUnsupported},
		{"NoDirectMeters", Update{Insert, &Entry{Table: wild, Meter: &MeterConfig{}}}, ErrUnsupported},
		{"NoDirectMeters", Update{Modify, &DirectMeter{Entry: entry}}, ErrUnsupported},
		{"NoRegisters", Update{Modify, &RegisterCell{Array: &RegisterArray{}}}, ErrUnsupported},
		{"NoValueSets", Update{Modify, &ValueSetMembers{Set: &ValueSet{}}}, ErrUnsupported},
	} {
		t.Run(tc.field, func(t *testing.T) {
			strict, other := Strict(), Strict()
			f := reflect.ValueOf(&other).Elem().FieldByName(tc.field)
			switch tc.field {
			case "MulticastMax":
				other.MulticastMax = 1 << 16
			case "CloneMax":
				other.CloneMax = 1015
			case "PriorityMax":
				other.PriorityMax = 1<<24 - 1
			default:
				f.SetBool(true)
			}
			if err := strict.admits(tc.update); err != nil {
				t.Errorf("strict: %v", err)
			}
			if err := other.admits(tc.update); !errors.Is(err, tc.want) {
				t.Errorf("with %s: %v, want %v", tc.field, err, tc.want)
			}
		})
	}
}

func TestProfileOutcomes(t *testing.T) {
	bmv2, strict := BMv2(), Strict()
	for _, tc := range []struct {
		p    *Profile
		op   Op
		code codes.Code
		want Outcome
	}{
		{&strict, Insert, codes.OK, Applied}, {&strict, Insert, codes.ResourceExhausted, Full}, {&strict, Insert, codes.Unknown, Refused},
		{&bmv2, Insert, codes.Unknown, Full}, {&bmv2, Modify, codes.Unknown, Refused}, {&bmv2, Insert, codes.ResourceExhausted, Full},
		{&strict, Insert, codes.AlreadyExists, Duplicate}, {&strict, Delete, codes.NotFound, NotFound}, {&strict, Modify, codes.OutOfRange, Invalid},
		{&strict, Modify, codes.Aborted, NotSent}, {&strict, Insert, codes.PermissionDenied, Refused},
	} {
		if got := tc.p.outcome(tc.op, tc.code); got != tc.want {
			t.Errorf("%s: %s gets %s: %s, want %s", tc.p.Name, tc.op, tc.code, got, tc.want)
		}
	}
}

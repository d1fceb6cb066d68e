package p4rt_test

import (
	"context"
	"fmt"
	"log"
	"os"

	p4config "github.com/p4lang/p4runtime/go/p4/config/v1"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/p4rt/p4rttest"
)

// The text of this function is in README.md.
func Example() {
	target := p4rttest.NewServer() // a real one: p4rt.Dialer("192.0.2.1:9559", credentials)
	defer target.Close()
	text, err := os.ReadFile("testdata/mini.p4info.txtpb")
	if err != nil {
		log.Fatal(err)
	}
	info := &p4config.P4Info{}
	if err := prototext.Unmarshal(text, info); err != nil {
		log.Fatal(err)
	}
	schema, err := p4rt.NewSchema(info)
	if err != nil {
		log.Fatal(err)
	}
	route, _ := schema.Table("route")
	forward, _ := route.Action("forward")
	entry := route.NewEntry()
	entry.Set(0, p4rt.U64(5))                                   // vrf
	entry.SetPrefix(1, p4rt.Value{Hi: 0x20010db8_00000000}, 32) // dst 2001:db8::/32
	entry.Do(forward, p4rt.U64(42), p4rt.U64(7))

	session, err := p4rt.NewSession(p4rt.Config{
		Dial: target.Dial, DeviceID: 1, Schema: schema,
		OnPrimary: func(ctx context.Context, t *p4rt.Term) error { // after every (re)connect
			want := func(yield func(p4rt.Entity) bool) { yield(entry) }
			report, err := t.Reconcile(ctx, p4rt.Stage{Tables: []*p4rt.Table{route}, Want: want})
			fmt.Printf("pushed %v, inserted %d\n", t.Pushed, report.Inserted)
			return err
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- session.Run(ctx) }()
	<-session.Ready()
	updates := []p4rt.Update{{Op: p4rt.Insert, Entity: entry}} // it is there already
	results, err := session.Write(ctx, updates)
	fmt.Println(err, results[0].Outcome)
	fmt.Println(p4rt.Failures(updates, results))
	stop()
	<-ended
	// Output:
	// pushed true, inserted 1
	// <nil> duplicate
	// insert route vrf=0x5 dst=0x20010db8000000000000000000000000/32 -> forward(dest=0x2a, rewrite=0x7): duplicate (already exists: exists)
}

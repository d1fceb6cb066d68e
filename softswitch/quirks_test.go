package softswitch

import (
	"context"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestBMv2Ways(t *testing.T) {
	l := newQuirkyLab(t, BMv2())
	c := l.primary()
	b := l.connect("some role") // ignored
	b.arbitrate(0)
	b.want(backup)
	if err := c.tryPush(reconcile, l.probe()); status.Code(err) != codes.Unimplemented {
		t.Errorf("RECONCILE_AND_COMMIT: %v", err)
	}
	if err := c.tryWrite(p4v1.WriteRequest_ROLLBACK_ON_ERROR); status.Code(err) != codes.Unimplemented {
		t.Errorf("ROLLBACK_ON_ERROR: %v", err)
	}
	for i := range 64 {
		c.write(insert(l.entry("smac", direct(l.action("allow")), exact(1, byte(i)))))
	}
	err := c.tryWrite(p4v1.WriteRequest_CONTINUE_ON_ERROR, insert(l.entry("smac", direct(l.action("allow")), exact(1, 64))))
	if got := codesOf(err); len(got) != 1 || got[0] != codes.Unknown {
		t.Errorf("full table: %v, want Unknown", got)
	}
	blob := make([]byte, 1000)
	for i := range 200 {
		e := l.macEntry(byte(i), 1)
		e.Metadata = blob
		c.write(insert(e))
	}
	if _, pages, err := l.tryRead(entity(&p4v1.TableEntry{})); err != nil || pages != 1 {
		t.Errorf("read in %d messages, %v, want 1", pages, err)
	}
	err = c.tryWrite(p4v1.WriteRequest_CONTINUE_ON_ERROR, insert(&p4v1.MulticastGroupEntry{MulticastGroupId: 1 << 15}))
	if got := codesOf(err); len(got) != 1 || got[0] != codes.InvalidArgument {
		t.Errorf("multicast group 32768: %v", got)
	}
	c.send(packetOut(frame(1, 1)))
	c.arbitrate(1)
	c.want(ok) // and no stream error before it
	b.want(backup)
	c.cancel()
	b.want(ok)
	if _, err := l.client.Write(context.Background(), &p4v1.WriteRequest{DeviceId: labDevice}); err != nil {
		t.Errorf("Write by nobody: %v", err)
	}
}

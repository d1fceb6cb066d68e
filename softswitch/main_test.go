package softswitch

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	bePeer()
	goleak.VerifyTestMain(m)
}

package state

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// connOp is what an edge does with connections: it creates one, deletes one that it knows, or looks for what has a key.
type connOp struct {
	kind    string
	session int    // of those that an edge may begin: its first key
	port    uint16 // that its translation takes: with it, its other key
	reply   bool   // find: by the other key
	birth   uint8  // create: its own; delete: of the one that is meant
}

// connResult is what comes of it.
type connResult struct {
	done bool // created or deleted; found
	is   heldConn
}

// heldConn is a connection in the model: which of an address' ports it has.
type heldConn struct {
	session int
	port    uint16
	birth   uint8
}

// Bounds of the model.
const (
	modelSessions = 3
	modelPorts    = 2
)

// heldConns are all connections of the model, by session; the zero port is none.
type heldConns [modelSessions]heldConn

func (h *heldConns) at(port uint16) (heldConn, bool) {
	for _, c := range h {
		if c.port == port {
			return c, true
		}
	}
	return heldConn{}, false
}

// connModel says what a single table of connections in one place would do: no key is ever two connections'.
func connModel() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return heldConns{} },
		Step: func(state, input, output any) (bool, any) {
			held, op, out := state.(heldConns), input.(connOp), output.(connResult)
			now := held[op.session]
			_, taken := held.at(op.port)
			switch op.kind {
			case "create":
				if free := now.port == 0 && !taken; free != out.done {
					return false, held
				}
				if out.done {
					held[op.session] = heldConn{op.session, op.port, op.birth}
				}
			case "delete":
				if is := now.port == op.port && now.birth == op.birth; is != out.done {
					return false, held
				}
				if out.done {
					held[op.session] = heldConn{}
				}
			case "find":
				if op.reply {
					now, _ = held.at(op.port)
				}
				if out.done != (now.port != 0) || out.done && out.is != now {
					return false, held
				}
			}
			return true, held
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
	}
}

// TestConnsAreLinearizable (N2, C1): connections that several edges create, delete and look for at once, under first keys and translated keys that they want to have, are as if one after the other had
// done it: no two ever have a key, and who looks never sees half of one.
func TestConnsAreLinearizable(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		t.Run(map[bool]string{false: "v4", true: "v6"}[v6], func(t *testing.T) { connsAreLinearizable(t, v6) })
	}
}

func connsAreLinearizable(t *testing.T, v6 bool) {
	const edges, each = 5, 50
	first := embeddedStore(t)
	stores := []*Store{first, second(t, first), second(t, first)}
	var mu sync.Mutex
	var history []porcupine.Operation
	var done sync.WaitGroup
	begin := time.Now()
	created := 0
	for edge := range edges {
		done.Go(func() {
			r := rand.New(rand.NewPCG(7, uint64(edge)))
			s := stores[edge%len(stores)]
			own := map[int]StoredConn{} // by session, those that it created and did not delete
			for i := range each {
				op := connOp{session: r.IntN(modelSessions), port: uint16(1 + r.IntN(modelPorts)), birth: uint8(edge*each + i)}
				c := testConn(uint16(4000+op.session), v6)
				c.Steps()[0].Port, c.Birth = 50000+op.port, op.birth
				mine, has := own[op.session]
				switch n := r.IntN(4); {
				case n == 0:
					op.kind, op.reply = "find", r.IntN(2) == 0
				case has: // what is kept for long keeps others from creating any
					op.kind, op.port, op.birth = "delete", mine.Steps()[0].Port-50000, mine.Birth
				default:
					op.kind = "create"
				}
				var out connResult
				var err error
				called := time.Since(begin)
				switch op.kind {
				case "create":
					var rev int64
					if rev, out.done, err = s.CreateConn(t.Context(), c, nil, nil, nil); out.done {
						own[op.session] = StoredConn{c, rev}
					}
				case "delete":
					_, out.done, err = s.DeleteConn(t.Context(), mine)
					delete(own, op.session)
				case "find":
					k := c.Forward
					if op.reply {
						k = c.Return()
					}
					var is StoredConn
					is, out.done, err = s.FindConn(t.Context(), k)
					if out.done {
						out.is = heldConn{int(is.Forward.SrcPort - 4000), is.Steps()[0].Port - 50000, is.Birth}
					}
				}
				returned := time.Since(begin)
				if err != nil {
					t.Errorf("%+v: %v", op, err)
					return
				}
				mu.Lock()
				history = append(history, porcupine.Operation{ClientId: edge, Input: op, Call: int64(called), Output: out, Return: int64(returned)})
				if op.kind == "create" && out.done {
					created++
				}
				mu.Unlock()
			}
		})
	}
	done.Wait()
	if created < edges*each/50 {
		t.Errorf("%d connections were created: too few to tell", created)
	}
	if result := porcupine.CheckOperationsTimeout(connModel(), history, 20*time.Second); result != porcupine.Ok {
		t.Errorf("not linearizable: %v, of %d operations", result, len(history))
	}
}

package agent

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	p4 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/softswitch/cli"
	"github.com/weft-sdn/weft/state"
)

// TestTrouble: why a target is not programmed, with the field that does something about it.
func TestTrouble(t *testing.T) {
	e := Edge{ID: "nic1", Target: Target{Address: "192.0.2.1:9559", DeviceID: 7, ElectionID: "1"}}
	alone := &state.View{}
	shared := &state.View{Edges: state.EdgeMapOf(map[string]state.Edge{"nic1": {EdgeInfo: state.EdgeInfo{ID: "nic1", Status: "http://192.0.2.9:9570"}}})}
	backup := func(vacant bool) error {
		return fmt.Errorf("x: %w", &p4rt.NotPrimaryError{Bid: p4rt.ElectionID{Low: 1}, Highest: p4rt.ElectionID{High: 3, Low: 2}, Vacant: vacant})
	}
	for _, tc := range []struct {
		err  error
		view *state.View
		want string
	}{
		{backup(true), shared, "not primary: nobody is, but the target at 192.0.2.1:9559 has seen election id 3.2; set target.electionID to it or above, or restart the target"},
		{backup(false), alone, "not primary: another controller of the target at 192.0.2.1:9559 is, with election id 3.2; stop that one, or take over with a higher target.electionID"},
		{backup(false), shared, "not primary: edge nic1 is run by another agent (http://192.0.2.9:9570), with election id 3.2; stop that one, or take over with a higher target.electionID"},
		{fmt.Errorf("x: %w", p4rt.ErrElectionIDRefused), shared, "edge nic1 is run by another agent (http://192.0.2.9:9570), with the same election id 1; stop that one, or take over with a higher target.electionID"},
		{errors.New("boom"), alone, "the target at 192.0.2.1:9559: boom"},
	} {
		if got := e.trouble(tc.err, tc.view); got != tc.want {
			t.Errorf("%v:\n%s\nwant\n%s", tc.err, got, tc.want)
		}
	}
}

// readyIs waits until /readyz of an agent says a text.
func readyIs(t *testing.T, client *Client, want string) {
	t.Helper()
	until(t, func() string {
		resp, err := client.http.Get(client.base + pathReady)
		if err != nil {
			return err.Error() // it has just been started
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err == nil && strings.Contains(string(body), want) {
			return ""
		}
		return fmt.Sprintf("ready says %q, want %q", body, want)
	})
}

// TestNoTarget: a target that is another device, no P4Runtime server, or not there is named with the field that is wrong.
func TestNoTarget(t *testing.T) {
	dir := shortDir(t)
	endpoint, _ := startDatabase(t, state.EmbeddedConfig{})
	startSwitch(t, dir, "unix:"+dir+"/sw", cli.TLS{})
	for _, tc := range []struct {
		target Target
		want   string
	}{
		{Target{Address: "unix:" + dir + "/sw", DeviceID: 7}, "no target: target.deviceID 7: the target at unix:" + dir + "/sw has no such device (no device has id 7)"},
		{Target{Address: "unix:" + strings.TrimPrefix(endpoint, "unix://"), DeviceID: 1}, "what answers there is no P4Runtime server (unknown service p4.v1.P4Runtime)"},
		{Target{Address: "unix:" + dir + "/nowhere", DeviceID: 1}, "no such file or directory"},
	} {
		c := oneEdge(t, dir, fmt.Sprintf(`{endpoints: [%q]}`, endpoint), "{}")
		c.Edges[0].Target.Address, c.Edges[0].Target.DeviceID = tc.target.Address, tc.target.DeviceID
		client, stop := startAgent(t, c)
		readyIs(t, client, tc.want)
		stop()
	}
}

// TestNotPrimary: after a controller with a higher election id has gone nobody is primary (P4Runtime Specification 5.3), and the agent says so; it
// does not wait in silence.
func TestNotPrimary(t *testing.T) {
	dir := shortDir(t)
	endpoint, _ := startDatabase(t, state.EmbeddedConfig{})
	startSwitch(t, dir, "unix:"+dir+"/sw", cli.TLS{})
	other := controller(t, dir, 2)
	c := oneEdge(t, dir, fmt.Sprintf(`{endpoints: [%q]}`, endpoint), "{}")
	client, _ := startAgent(t, c)
	readyIs(t, client, "edge nic1: no target: not primary: another controller of the target at unix:"+dir+"/sw is, with election id 2;")
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	readyIs(t, client, "no target: not primary: nobody is, but the target at unix:"+dir+"/sw has seen election id 2; set target.electionID to it or above, or restart the target")
	c.Listen, c.Edges[0].Target.ElectionID = "unix:"+dir+"/status2", "2"
	next, _ := startAgent(t, c)
	untilState(t, next, "nic1", Serving)
}

// controller connects to the switch of dir with an election id, and has become primary.
func controller(t *testing.T, dir string, id uint64) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("unix:"+dir+"/sw", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	stream, err := p4.NewP4RuntimeClient(conn).StreamChannel(t.Context(), grpc.WaitForReady(true))
	if err == nil {
		err = stream.Send(&p4.StreamMessageRequest{Update: &p4.StreamMessageRequest_Arbitration{Arbitration: &p4.MasterArbitrationUpdate{
			DeviceId: 1, ElectionId: &p4.Uint128{Low: id},
		}}})
	}
	if err != nil {
		t.Fatal(err)
	}
	if m, err := stream.Recv(); err != nil || m.GetArbitration().GetStatus().GetCode() != 0 {
		t.Fatalf("arbitration: %v, %v", m, err)
	}
	return conn
}

// TestTwoAgents: the second agent of an edge that has the same election id says that there is another one, and serves when that one has gone.
func TestTwoAgents(t *testing.T) {
	dir := shortDir(t)
	endpoint, _ := startDatabase(t, state.EmbeddedConfig{})
	startSwitch(t, dir, "unix:"+dir+"/sw", cli.TLS{})
	c := oneEdge(t, dir, fmt.Sprintf(`{endpoints: [%q]}`, endpoint), "{}")
	first, stop := startAgent(t, c)
	untilState(t, first, "nic1", Serving)
	again := *c
	again.Listen = "unix:" + dir + "/status2"
	second, _ := startAgent(t, &again)
	readyIs(t, second, "edge nic1: no target: edge nic1 is run by another agent (unix:"+dir+"/status), with the same election id 1; stop that one, or take over with a higher target.electionID")
	if status, body := read(t, first, pathReady); status != http.StatusOK {
		t.Errorf("the first says %q", body)
	}
	stop()
	untilState(t, second, "nic1", Serving)
}

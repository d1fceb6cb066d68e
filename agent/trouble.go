package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/status"

	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/state"
)

// onTarget is told that the target was lost or refuses this agent, and why; nil: it is programmed. What is not new is not logged again.
// It returns the reason in words.
func (r *runner) onTarget(err error, v *state.View) string {
	why := ""
	if err != nil {
		why = r.cfg.trouble(err, v)
	}
	r.mu.Lock()
	before, standby := r.target, r.standby
	r.target = why
	r.mu.Unlock()
	switch {
	case why == "" && standby:
		r.log.Info("the target is reached", "target", r.cfg.Target.Address)
	case why == "":
		r.note(state.EventNormal, "TargetProgrammed", "the target at "+r.cfg.Target.Address+" holds what the network asks for")
		r.log.Info("the target is programmed", "target", r.cfg.Target.Address)
	case errors.Is(err, context.Canceled): // the agent ends
	case why == before:
		r.log.Debug("still no target", "err", why)
	default:
		r.note(state.EventWarning, "TargetLost", why)
		r.log.Warn("no target", "err", why)
	}
	return why
}

// note records that something happened to the edge.
func (r *runner) note(kind state.EventType, reason, message string) {
	r.record(state.Note{Type: kind, Reason: reason, Object: state.EdgeObject(r.cfg.ID), Message: message, Source: r.cfg.ID})
}

// onLive is told that the database has the edge (nil), or why not. Why not, the registration logs.
func (r *runner) onLive(lost error) {
	r.mu.Lock()
	r.live, r.lost = lost == nil, lost
	r.mu.Unlock()
	if lost == nil {
		r.log.Info("the edge is live")
		r.note(state.EventNormal, "EdgeLive", "the edge is live: others send to it")
	} else {
		r.note(state.EventWarning, "EdgeLost", "the edge is not live: "+lost.Error())
	}
}

// onRole is told that the agent acts for the edge (true), or stands by.
func (r *runner) onRole(acts bool) {
	r.mu.Lock()
	r.standby = !acts
	if acts {
		r.terms++
	}
	r.mu.Unlock()
	if acts {
		r.note(state.EventNormal, "AgentActs", "agent "+r.name+" acts for the edge")
	} else {
		r.note(state.EventNormal, "AgentStandsBy", "agent "+r.name+" stands by")
	}
}

// trouble says why a target is not programmed, and which field of the configuration would do something about it.
func (e *Edge) trouble(err error, v *state.View) string {
	at := e.Target.Address
	var backup *p4rt.NotPrimaryError
	other, live := v.Edges.Get(e.ID)
	switch {
	case errors.As(err, &backup) && e.HA:
		return fmt.Sprintf("not primary yet, with election id %s: the target at %s has seen %s", backup.Bid, at, backup.Highest)
	case errors.As(err, &backup) && backup.Vacant:
		return fmt.Sprintf("not primary: nobody is, but the target at %s has seen election id %s; set target.electionID to it or above, or restart the target", at, backup.Highest)
	case errors.As(err, &backup) && live:
		return fmt.Sprintf("not primary: edge %s is run by another agent%s, with election id %s; stop that one, or take over with a higher target.electionID",
			e.ID, statusAt(other), backup.Highest)
	case errors.As(err, &backup):
		return fmt.Sprintf("not primary: another controller of the target at %s is, with election id %s; stop that one, or take over with a higher target.electionID", at, backup.Highest)
	case errors.Is(err, p4rt.ErrElectionIDRefused) && live:
		return fmt.Sprintf("edge %s is run by another agent%s, with the same election id %s; stop that one, or take over with a higher target.electionID",
			e.ID, statusAt(other), e.Target.ElectionID)
	case errors.Is(err, p4rt.ErrElectionIDRefused):
		return fmt.Sprintf("target.electionID %s is refused by the target at %s: most often another controller that is connected has it (%s)", e.Target.ElectionID, at, said(err))
	case errors.Is(err, p4rt.ErrNoSuchDevice):
		return fmt.Sprintf("target.deviceID %d: the target at %s has no such device (%s)", e.Target.DeviceID, at, said(err))
	case errors.Is(err, p4rt.ErrNoP4Runtime):
		return fmt.Sprintf("target.address %s: what answers there is no P4Runtime server (%s)", at, said(err))
	}
	return fmt.Sprintf("the target at %s: %s", at, said(err))
}

// said is what a server, or the dialler, said: an error without gRPC's wrapping.
func said(err error) string {
	var wrapped interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &wrapped) {
		return err.Error()
	}
	text := wrapped.GRPCStatus().Message()
	if _, dial, found := strings.Cut(text, "Error while dialing: "); found {
		return strings.TrimSuffix(dial, `"`)
	}
	return text
}

func statusAt(e state.Edge) string {
	if e.Status == "" {
		return ""
	}
	return " (" + e.Status + ")"
}

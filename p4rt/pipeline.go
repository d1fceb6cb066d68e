package p4rt

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	p4config "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// pipelineCookie is the same for the same pipeline, in every process.
func pipelineCookie(info *p4config.P4Info, device []byte) (uint64, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(info)
	if err != nil {
		return 0, fmt.Errorf("p4info: %w", err)
	}
	h := sha256.New()
	h.Write(b)
	h.Write(device)
	return binary.BigEndian.Uint64(h.Sum(nil)) | 1, nil // never 0
}

// hasPipeline asks whether the target runs this session's pipeline.
func (l *link) hasPipeline(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, l.s.cfg.CallTimeout)
	defer cancel()
	r, err := p4.NewP4RuntimeClient(l.conn).GetForwardingPipelineConfig(ctx, &p4.GetForwardingPipelineConfigRequest{
		DeviceId:     l.s.cfg.DeviceID,
		ResponseType: p4.GetForwardingPipelineConfigRequest_COOKIE_ONLY,
	}, l.opts...)
	switch status.Code(err) {
	case codes.OK:
	case codes.FailedPrecondition, codes.NotFound:
		return false, nil // none yet (Spec 7.3)
	default:
		return false, fmt.Errorf("read pipeline cookie: %w", err)
	}
	if r.GetConfig() == nil {
		return false, nil
	}
	if c := r.GetConfig().GetCookie(); c != nil {
		return c.GetCookie() == l.s.cfg.Cookie, nil
	}
	return l.hasInfo(ctx)
}

// hasInfo compares p4infos, for targets that don't keep the cookie. It can't tell two device
// configs of one p4info apart.
func (l *link) hasInfo(ctx context.Context) (bool, error) {
	r, err := p4.NewP4RuntimeClient(l.conn).GetForwardingPipelineConfig(ctx, &p4.GetForwardingPipelineConfigRequest{
		DeviceId:     l.s.cfg.DeviceID,
		ResponseType: p4.GetForwardingPipelineConfigRequest_P4INFO_AND_COOKIE,
	}, l.opts...)
	if err != nil {
		return false, fmt.Errorf("read p4info: %w", err)
	}
	return proto.Equal(r.GetConfig().GetP4Info(), l.s.cfg.Schema.info), nil
}

// pushPipeline replaces the target's pipeline. That clears its forwarding state (Spec 7.2).
func (l *link) pushPipeline(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.s.cfg.PipelineTimeout)
	defer cancel()
	id := l.electionID()
	_, err := p4.NewP4RuntimeClient(l.conn).SetForwardingPipelineConfig(ctx, &p4.SetForwardingPipelineConfigRequest{
		DeviceId:   l.s.cfg.DeviceID,
		Role:       l.s.cfg.Role,
		ElectionId: &p4.Uint128{High: id.High, Low: id.Low},
		Action:     p4.SetForwardingPipelineConfigRequest_VERIFY_AND_COMMIT,
		Config: &p4.ForwardingPipelineConfig{
			P4Info:         l.s.cfg.Schema.info,
			P4DeviceConfig: l.s.cfg.DeviceConfig,
			Cookie:         &p4.ForwardingPipelineConfig_Cookie{Cookie: l.s.cfg.Cookie},
		},
	}, l.opts...)
	if err != nil {
		return fmt.Errorf("push pipeline: %w", err)
	}
	l.s.stats.pushes.Add(1)
	return nil
}

// probe finds out about a dead peer, and about a target that lost the pipeline it was ready with.
func (l *link) probe() {
	tick := time.NewTicker(l.s.cfg.ProbeInterval)
	defer tick.Stop()
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-tick.C:
		}
		before, _ := l.s.readyTerm()
		ctx, cancel := context.WithTimeout(l.ctx, l.s.cfg.ProbeTimeout)
		ok, err := l.hasPipeline(ctx)
		cancel()
		after, _ := l.s.readyTerm()
		if err == nil && !ok && before != nil && before == after {
			err = errors.New("the target has lost its pipeline")
		}
		if err != nil {
			l.fail(fmt.Errorf("probe: %w", err))
			return
		}
	}
}

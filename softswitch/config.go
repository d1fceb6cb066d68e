package softswitch

import (
	"bytes"
	"context"
	"fmt"

	configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/weft-sdn/weft/softswitch/pipeline"
)

func (s *Server) unknownDevice(id uint64) error {
	return faultf(codes.NotFound, "no device has id %d; this is %d", id, s.options.DeviceID)
}

// SetForwardingPipelineConfig implements P4Runtime. p4_device_config is bmv2 JSON.
//
//	VERIFY                 make a target, throw it away
//	VERIFY_AND_SAVE        make a target; from now on reads and writes go to it, packets don't
//	COMMIT                 let packets go to the saved target
//	VERIFY_AND_COMMIT      make an empty target, let packets go to it
//	RECONCILE_AND_COMMIT   make a target with the present forwarding state, let packets go to it
func (s *Server) SetForwardingPipelineConfig(_ context.Context, req *p4v1.SetForwardingPipelineConfigRequest) (*p4v1.SetForwardingPipelineConfigResponse, error) {
	r, sc, err := s.arbiter.begin(req.GetDeviceId(), req.GetRole(), req.GetElectionId())
	if err != nil {
		return nil, err
	}
	defer s.arbiter.end(r)
	if sc != nil {
		return nil, faultf(codes.PermissionDenied, "role %q may not set the pipeline", req.GetRole())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	action := req.GetAction()
	if s.options.Quirks.FixedPipeline && s.differs(req.GetConfig()) {
		return nil, faultf(codes.Unimplemented, "another P4Info cannot be set")
	}
	switch action {
	case p4v1.SetForwardingPipelineConfigRequest_COMMIT:
		if req.GetConfig() != nil {
			return nil, invalidf("COMMIT goes without a config")
		}
		if s.saved == nil {
			return nil, faultf(codes.NotFound, "no config is saved")
		}
		s.commitLocked(s.saved)
	case p4v1.SetForwardingPipelineConfigRequest_RECONCILE_AND_COMMIT:
		if s.options.Quirks.NoReconcile {
			return nil, faultf(codes.Unimplemented, "%v is not supported", action)
		}
		if err := s.reconcileLocked(req.GetConfig()); err != nil {
			return nil, err
		}
	case p4v1.SetForwardingPipelineConfigRequest_VERIFY,
		p4v1.SetForwardingPipelineConfigRequest_VERIFY_AND_SAVE,
		p4v1.SetForwardingPipelineConfigRequest_VERIFY_AND_COMMIT:
		t, err := s.newTarget(req.GetConfig())
		if err != nil {
			return nil, err
		}
		switch action {
		case p4v1.SetForwardingPipelineConfigRequest_VERIFY_AND_SAVE:
			s.saved = t
		case p4v1.SetForwardingPipelineConfigRequest_VERIFY_AND_COMMIT:
			s.commitLocked(t)
		}
	default:
		return nil, invalidf("action %v is not known", action)
	}
	s.log.Info("forwarding pipeline config", "action", action.String(), "cookie", req.GetConfig().GetCookie().GetCookie())
	return &p4v1.SetForwardingPipelineConfigResponse{}, nil
}

// differs tells whether a config that is set has another P4Info.
func (s *Server) differs(config *p4v1.ForwardingPipelineConfig) bool {
	t := s.present()
	return t != nil && t.config != nil && config != nil && !sameP4Info(t.config.GetP4Info(), config.GetP4Info())
}

// commitLocked lets packets go through t. Those on their way finish in the old pipeline.
func (s *Server) commitLocked(t *target) {
	s.running.Store(t)
	s.saved = nil
	t.portsChanged()
}

// reconcileLocked changes the pipeline and keeps the forwarding state.
func (s *Server) reconcileLocked(config *p4v1.ForwardingPipelineConfig) error {
	present := s.present()
	if present == nil || present.schema == nil {
		t, err := s.newTarget(config)
		if err != nil {
			return err
		}
		s.commitLocked(t)
		return nil
	}
	if config == nil {
		return invalidf("config is missing")
	}
	if sameP4Info(present.config.GetP4Info(), config.GetP4Info()) &&
		bytes.Equal(present.config.GetP4DeviceConfig(), config.GetP4DeviceConfig()) {
		present.config = config // a new cookie, perhaps
		s.commitLocked(present)
		return nil
	}
	t, err := s.newTarget(config)
	if err != nil {
		return err
	}
	if err := t.adopt(present); err != nil {
		return invalidf("the forwarding state cannot be kept: %v", err)
	}
	s.commitLocked(t)
	return nil
}

// present is the target of reads and writes; nil if no config is set.
func (s *Server) present() *target {
	if s.saved != nil {
		return s.saved
	}
	return s.running.Load()
}

// programmed is the target of reads and writes, if it can be addressed.
func (s *Server) programmed() (*target, error) {
	t := s.present()
	if t == nil || t.schema == nil {
		return nil, faultf(codes.FailedPrecondition, "no forwarding pipeline is set")
	}
	return t, nil
}

// GetForwardingPipelineConfig implements P4Runtime.
func (s *Server) GetForwardingPipelineConfig(_ context.Context, req *p4v1.GetForwardingPipelineConfigRequest) (*p4v1.GetForwardingPipelineConfigResponse, error) {
	if req.GetDeviceId() != s.options.DeviceID {
		return nil, s.unknownDevice(req.GetDeviceId())
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := s.present()
	if t == nil || t.config == nil {
		return &p4v1.GetForwardingPipelineConfigResponse{}, nil
	}
	config := &p4v1.ForwardingPipelineConfig{Cookie: t.config.GetCookie()}
	kind := req.GetResponseType()
	switch kind {
	case p4v1.GetForwardingPipelineConfigRequest_ALL, p4v1.GetForwardingPipelineConfigRequest_COOKIE_ONLY,
		p4v1.GetForwardingPipelineConfigRequest_P4INFO_AND_COOKIE, p4v1.GetForwardingPipelineConfigRequest_DEVICE_CONFIG_AND_COOKIE:
	default:
		return nil, invalidf("response type %v is not known", kind)
	}
	if kind == p4v1.GetForwardingPipelineConfigRequest_ALL || kind == p4v1.GetForwardingPipelineConfigRequest_P4INFO_AND_COOKIE {
		config.P4Info = t.config.GetP4Info()
	}
	if kind == p4v1.GetForwardingPipelineConfigRequest_ALL || kind == p4v1.GetForwardingPipelineConfigRequest_DEVICE_CONFIG_AND_COOKIE {
		config.P4DeviceConfig = t.config.GetP4DeviceConfig()
	}
	return &p4v1.GetForwardingPipelineConfigResponse{Config: config}, nil
}

// LoadProgram runs a bmv2 JSON program at once, before any controller has come. Without
// its P4Info the program can't be addressed: P4Runtime answers as if no pipeline were
// set, until one is.
func (s *Server) LoadProgram(bmv2JSON []byte) error {
	program, err := pipeline.Load(bmv2JSON)
	if err != nil {
		return err
	}
	t := &target{server: s}
	t.machine = s.newMachine(program, t)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running.Store(t)
	return nil
}

// LoadConfig sets the pipeline as VERIFY_AND_COMMIT would, without a controller.
func (s *Server) LoadConfig(config *p4v1.ForwardingPipelineConfig) error {
	t, err := s.newTarget(proto.CloneOf(config))
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commitLocked(t)
	return nil
}

// LoadText is LoadConfig for a P4Info in text format and a bmv2 JSON program.
func (s *Server) LoadText(p4info, bmv2JSON []byte) error {
	info := &configv1.P4Info{}
	if err := prototext.Unmarshal(p4info, info); err != nil {
		return fmt.Errorf("p4info: %w", err)
	}
	return s.LoadConfig(&p4v1.ForwardingPipelineConfig{P4Info: info, P4DeviceConfig: bmv2JSON})
}

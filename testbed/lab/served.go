package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/prototext"

	service "github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/engine"
	"github.com/weft-sdn/weft/p4src"
	"github.com/weft-sdn/weft/testbed/scenario"
	"github.com/weft-sdn/weft/vpn"
)

// servedAgent is an agent as the agent service runs it from a configuration file: in a process of its own, or in this one. It is asked by its status API.
type servedAgent struct {
	edge   string
	file   string // configuration
	logger *slog.Logger
	child  *child // nil: in this process
	client *service.Client

	mu    sync.Mutex
	again chan struct{} // closed when a process that was killed is to be there again; nil: none was killed
}

func newServedAgent(e *edge, dir string, endpoints []string) (*servedAgent, error) {
	name := e.plan.name
	status := "unix:" + filepath.Join(dir, name+".status")
	var uplinks []service.Uplink
	for _, link := range e.links() {
		uplinks = append(uplinks, service.Uplink{Port: link.Port, MAC: link.MAC, Addresses: link.Addrs, Gateways: link.Gateway, MTU: link.MTU})
	}
	cfg := service.Config{
		Etcd: service.Etcd{Endpoints: endpoints}, Listen: status, Log: service.Log{Level: "info", Format: "text"},
		Edges: []service.Edge{{
			ID: name, Tunnel: e.plan.tunnel.String(), VTEPs: e.plan.vteps, Multicast: e.plan.multicast, Interfaces: e.plan.interfaces,
			Target:  service.Target{Address: e.target.address(), DeviceID: uint64(e.plan.n), Profile: e.target.profile().Name, ElectionID: "1"},
			Uplinks: uplinks, VPN: e.vpnService(dir), Connections: service.Connections{AwayAfter: uint32(awayAfter / time.Second)},
		}},
	}
	if address, _ := e.target.gnmi(); e.plan.telemetry && address != "" {
		cfg.Edges[0].GNMI = service.GNMI{Address: address, Interval: uint32(sampleInterval / time.Second)}
	}
	if e.cfg.Target == Stratum {
		p := &cfg.Edges[0].Target.Pipeline
		p.P4Info, p.DeviceConfig = filepath.Join(dir, name+".p4info.txtpb"), filepath.Join(dir, name+".device")
		if err := writePipeline(p, &e.program.Pipeline); err != nil {
			return nil, fmt.Errorf("edge %s: pipeline: %w", name, err)
		}
	}
	file := filepath.Join(dir, name+".yaml")
	text, err := json.Marshal(cfg) // which is YAML, too
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("edge %s: configuration of the agent: %w", name, err)
	}
	a := &servedAgent{edge: name, file: file, logger: e.logger}
	if e.cfg.Processes {
		a.child = newChild(dir, name+".agent", e.cfg.Executable, "agent", "--config", file)
		if e.kernel != nil {
			a.child.in = e.kernel.enter
		}
	}
	if a.client, err = service.NewClient(status, service.TLS{}); err != nil {
		return nil, fmt.Errorf("edge %s: %w", name, err)
	}
	return a, nil
}

// writePipeline writes a pipeline as an agent reads it.
func writePipeline(files *service.Pipeline, p *p4src.Pipeline) error {
	text, err := prototext.Marshal(p.Info)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(files.P4Info, text, 0o600), os.WriteFile(files.DeviceConfig, p.Device, 0o600))
}

func (a *servedAgent) run(ctx context.Context) error {
	if a.child != nil {
		return a.runChild(ctx)
	}
	cfg, err := service.Load(a.file)
	if err != nil {
		return err
	}
	return service.Run(ctx, cfg, a.logger)
}

// runChild runs the process, anew each time that it was killed and is started again.
func (a *servedAgent) runChild(ctx context.Context) error {
	for {
		err := a.child.run(ctx)
		a.mu.Lock()
		again := a.again
		a.mu.Unlock()
		if again == nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-again:
		case <-ctx.Done():
			return nil
		}
	}
}

// KillAgent ends the process of an edge's agent by SIGKILL. Its target goes on. StartAgent starts another one.
func (l *Lab) KillAgent(edge string) error {
	e, err := l.edge(edge)
	if err != nil {
		return err
	}
	a, ok := e.agent.(*servedAgent)
	if !ok || a.child == nil {
		return fmt.Errorf("%w: the agent of edge %s has no process of its own", scenario.ErrLab, edge)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.again != nil || !a.child.kill() {
		return fmt.Errorf("%w: the agent of edge %s does not run now", scenario.ErrLab, edge)
	}
	a.again = make(chan struct{})
	return nil
}

// goOn starts an agent that was killed; it does nothing to one that was not.
func (a *servedAgent) goOn() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.again != nil {
		close(a.again)
		a.again = nil
	}
}

// VPNs tells how the VPNs are that an edge may have.
func (l *Lab) VPNs(ctx context.Context, edge string) ([]vpn.Status, error) {
	e, err := l.edge(edge)
	if err != nil {
		return nil, err
	}
	a, ok := e.agent.(*servedAgent)
	if !ok {
		speaking, err := l.Speaker(edge)
		if err != nil {
			return nil, err
		}
		return speaking.VPNs(), nil
	}
	list, err := a.client.VPNs(ctx, edge)
	all := make([]vpn.Status, len(list.VPNs))
	for i := range list.VPNs {
		all[i] = list.VPNs[i].Status
	}
	return all, err
}

func (a *servedAgent) stats(ctx context.Context) (engine.Stats, error) {
	list, err := a.client.Stats(ctx)
	for _, one := range list.Edges {
		if one.Edge == a.edge {
			return one.Stats, err
		}
	}
	if err == nil {
		err = errors.New("the edge does not run yet")
	}
	return engine.Stats{}, fmt.Errorf("edge %s: the agent's status: %w", a.edge, err)
}

func (a *servedAgent) drops(ctx context.Context) ([]Drop, error) {
	list, err := a.client.Drops(ctx, a.edge)
	drops := make([]Drop, len(list.Drops))
	for i, d := range list.Drops {
		drops[i] = Drop{"(" + d.From + ")", d.Reason, d.Packets}
		if d.VPort != nil {
			drops[i].VPort = d.VPort.Name
		}
	}
	if err != nil {
		return nil, fmt.Errorf("edge %s: the agent's status: %w", a.edge, err)
	}
	return drops, nil
}

func (a *servedAgent) flows(ctx context.Context) ([]scenario.Flow, error) {
	list, err := a.client.Flows(ctx, a.edge)
	for _, e := range list.Errors {
		err = errors.Join(err, errors.New(e.Error))
	}
	if err != nil {
		return nil, fmt.Errorf("edge %s: the agent's status: %w", a.edge, err)
	}
	flows := make([]scenario.Flow, len(list.Flows))
	for i, f := range list.Flows {
		action := f.Action
		if f.To != nil {
			action += " to " + f.To.Name
		}
		if f.Rewrite != "" {
			action += " " + f.Rewrite
		}
		flows[i] = scenario.Flow{Match: fmt.Sprintf("vport=%d %s", f.VPort.ID, f.Match), Action: action, Packets: f.Packets, Bytes: f.Bytes}
	}
	return flows, nil
}

package telemetry

import (
	"fmt"
	"maps"
	"slices"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// fastSample is how often statuses are sampled where the target does not tell changes: a link that goes down is to be left within a second.
const fastSample = 250 * time.Millisecond

// Mode is how changes of a status come.
type Mode string

// Modes, the best first. Each is tried if the target refuses those before it.
const (
	OnChange        Mode = "on change"         // and sampled, in case that the target does not tell all
	OnChangeOnly    Mode = "on change only"    // the target does not take both for one path
	SampledFast     Mode = "sampled fast"      // several times a second
	SampledSlow     Mode = "sampled"           // with the counters
	SampledTogether Mode = "sampled, together" // all of an interface's state, by one path
)

var modes = []Mode{OnChange, OnChangeOnly, SampledFast, SampledSlow, SampledTogether}

// sampled reports whether statuses come again though they have not changed.
func (m Mode) sampled() bool { return m != OnChangeOnly }

// encodings that are understood, the best first.
var encodings = []gpb.Encoding{gpb.Encoding_PROTO, gpb.Encoding_JSON_IETF, gpb.Encoding_JSON}

// understood returns the encodings that a target and the collector have in common.
func understood(offered []gpb.Encoding) ([]gpb.Encoding, error) {
	var common []gpb.Encoding
	for _, e := range encodings {
		if slices.Contains(offered, e) {
			common = append(common, e)
		}
	}
	if len(common) == 0 {
		return nil, fmt.Errorf("the target offers the encodings %v; one of %v is needed", offered, encodings)
	}
	return common, nil
}

// attempt is one way to subscribe.
type attempt struct {
	encoding   gpb.Encoding
	mode       Mode
	negotiated bool // the speed that a link's ends agreed on, too: not all targets know that leaf
}

// attempts are all ways to subscribe, in the order in which they are tried.
func attempts(list []gpb.Encoding) (all []attempt) {
	for _, e := range list {
		all = append(all, attempt{e, modes[0], true})
		for _, m := range modes {
			all = append(all, attempt{encoding: e, mode: m})
		}
	}
	return all
}

// refused reports whether an error says that the target does not take a subscription, and may take another.
func refused(err error) bool {
	switch status.Code(err) {
	case codes.InvalidArgument, codes.Unimplemented, codes.NotFound, codes.OutOfRange, codes.FailedPrecondition, codes.Unknown, codes.Internal:
		return true
	}
	return false
}

// path makes a path of names below an interface.
func path(iface string, names ...string) *gpb.Path {
	p := &gpb.Path{Elem: []*gpb.PathElem{{Name: "interfaces"}, {Name: "interface", Key: map[string]string{"name": iface}}}}
	for _, n := range names {
		p.Elem = append(p.Elem, &gpb.PathElem{Name: n})
	}
	return p
}

// request makes the subscription to some interfaces, each by its name.
func (a attempt) request(target string, ports map[string]uint16, interval time.Duration) *gpb.SubscribeRequest {
	list := &gpb.SubscriptionList{Mode: gpb.SubscriptionList_STREAM, Encoding: a.encoding}
	if target != "" {
		list.Prefix = &gpb.Path{Target: target}
	}
	add := func(mode gpb.SubscriptionMode, every time.Duration, p *gpb.Path) {
		s := &gpb.Subscription{Path: p, Mode: mode}
		if mode == gpb.SubscriptionMode_SAMPLE {
			s.SampleInterval = uint64(every)
		}
		list.Subscription = append(list.Subscription, s)
	}
	const sample, change = gpb.SubscriptionMode_SAMPLE, gpb.SubscriptionMode_ON_CHANGE
	for _, name := range slices.Sorted(maps.Keys(ports)) {
		if a.mode == SampledTogether {
			add(sample, interval, path(name, "state"))
			continue
		}
		for _, leaf := range []string{"oper-status", "admin-status"} {
			p := path(name, "state", leaf)
			switch a.mode {
			case OnChange:
				add(change, 0, p)
				add(sample, interval, p)
			case OnChangeOnly:
				add(change, 0, p)
			case SampledFast:
				add(sample, min(fastSample, interval), p)
			default:
				add(sample, interval, p)
			}
		}
		add(sample, interval, path(name, "state", "last-change"))
		add(sample, interval, path(name, "state", "counters"))
		add(sample, interval, path(name, "ethernet", "state", "port-speed"))
		if a.negotiated {
			add(sample, interval, path(name, "ethernet", "state", "negotiated-port-speed"))
		}
	}
	return &gpb.SubscribeRequest{Request: &gpb.SubscribeRequest_Subscribe{Subscribe: list}}
}

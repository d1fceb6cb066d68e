package gnmi

import (
	"errors"
	"io"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Bounds where a server's Config has none.
const (
	minSample = 10 * time.Millisecond // interval of samples and heartbeats
	maxPaths  = 16_384                // in a request
	maxWork   = 4 << 20               // comparisons of paths with leaves at each look
	maxAnswer = 1 << 20               // leaves of the answer to a Get
)

// defaultSample is the interval of samples if the client leaves it to the target.
const defaultSample = 10 * time.Second

// subscription is one path of a SubscriptionList.
type subscription struct {
	path      []*gpb.PathElem
	mode      gpb.SubscriptionMode
	sample    time.Duration // SAMPLE; counters of TARGET_DEFINED
	heartbeat time.Duration // 0: none
	redundant bool          // samples that are as before are left out
}

// Subscribe implements gNMI.
//
//	ONCE     all leaves, sync_response, end
//	POLL     all leaves, sync_response, at each Poll
//	STREAM   all leaves (unless updates_only), sync_response, then as each subscription says
//
// A path that does not exist yields nothing, now or later. With updates_only ONCE and POLL have nothing but the sync_response (section 3.5.2.3).
func (s *Server) Subscribe(stream gpb.GNMI_SubscribeServer) error {
	req, err := stream.Recv()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	list := req.GetSubscribe()
	if list == nil {
		return Invalidf("the first message must be a SubscriptionList")
	}
	all, err := s.config.Tree.Leaves(stream.Context())
	if err != nil {
		return err
	}
	subs, err := s.check(list, all)
	if err != nil {
		return err
	}
	f := &feed{s: s, stream: stream, list: list, subs: subs, work: workOf(subs), sent: map[string]Leaf{}}
	switch list.GetMode() {
	case gpb.SubscriptionList_ONCE:
		return f.everything(all)
	case gpb.SubscriptionList_POLL:
		return f.poll()
	}
	return f.run()
}

// check refuses lists that make no sense.
func (s *Server) check(list *gpb.SubscriptionList, all []Leaf) ([]subscription, error) {
	if err := checkEncoding(list.GetEncoding()); err != nil {
		return nil, err
	}
	switch list.GetMode() {
	case gpb.SubscriptionList_ONCE, gpb.SubscriptionList_POLL, gpb.SubscriptionList_STREAM:
	default:
		return nil, Invalidf("mode %v is not known", list.GetMode())
	}
	if len(list.GetSubscription()) == 0 {
		return nil, Invalidf("there is no subscription in the list")
	}
	if n := len(list.GetSubscription()); n > s.config.Most {
		return nil, Invalidf("there are %d subscriptions in the list; use %d at most", n, s.config.Most)
	}
	var out []subscription
	for _, x := range list.GetSubscription() {
		path, err := s.Join(list.GetPrefix(), x.GetPath())
		if err != nil {
			return nil, err
		}
		sub := subscription{path: path, mode: x.GetMode(), redundant: x.GetSuppressRedundant(),
			sample: time.Duration(x.GetSampleInterval()), heartbeat: time.Duration(x.GetHeartbeatInterval())}
		if sub.sample == 0 {
			sub.sample = defaultSample
		}
		if list.GetMode() == gpb.SubscriptionList_STREAM {
			if err := s.checkStream(&sub, all); err != nil {
				return nil, err
			}
		}
		out = append(out, sub)
	}
	return out, affordable(workOf(out), len(all))
}

// workOf is what a look at each leaf for some subscriptions takes, in comparisons.
func workOf(subs []subscription) (n int) {
	for i := range subs {
		n += compares(subs[i].path)
	}
	return n
}

// affordable refuses what would take too long at each look.
func affordable(work, leaves int) error {
	if work*leaves > maxWork {
		return status.Errorf(codes.ResourceExhausted, "paths that take %d comparisons for each of %d leaves are too many; use fewer, and %q rather than %q", work, leaves, anyName, anyDepth)
	}
	return nil
}

func (s *Server) checkStream(sub *subscription, all []Leaf) error {
	switch {
	case sub.mode != gpb.SubscriptionMode_TARGET_DEFINED && sub.mode != gpb.SubscriptionMode_ON_CHANGE && sub.mode != gpb.SubscriptionMode_SAMPLE:
		return Invalidf("%s: mode %v is not known", Show(sub.path), sub.mode)
	case sub.sample < s.config.Least || sub.heartbeat != 0 && sub.heartbeat < s.config.Least:
		return Invalidf("%s: an interval is below %v", Show(sub.path), s.config.Least)
	}
	if sub.mode != gpb.SubscriptionMode_ON_CHANGE {
		return nil
	}
	leaves := below(sub.path, all)
	counters := 0
	for _, l := range leaves {
		if l.Kind == CounterLeaf {
			counters++
		}
	}
	if counters > 0 && counters == len(leaves) {
		return Invalidf("%s: counters change with every frame and are not told on change; SAMPLE them", Show(sub.path))
	}
	return nil
}

// feed serves one Subscribe call.
type feed struct {
	s      *Server
	stream gpb.GNMI_SubscribeServer
	list   *gpb.SubscriptionList
	subs   []subscription
	work   int             // workOf
	sent   map[string]Leaf // STREAM: those sent last, by path
}

// everything sends all leaves and the sync_response.
func (f *feed) everything(all []Leaf) error {
	if !f.list.GetUpdatesOnly() {
		for i := range f.subs {
			if err := f.send(below(f.subs[i].path, all)); err != nil {
				return err
			}
		}
	}
	return f.stream.Send(&gpb.SubscribeResponse{Response: &gpb.SubscribeResponse_SyncResponse{SyncResponse: true}})
}

// look returns what there is now for the caller.
func (f *feed) look() ([]Leaf, error) {
	all, err := f.s.config.Tree.Leaves(f.stream.Context())
	if err == nil {
		err = affordable(f.work, len(all)) // there may be more by now
	}
	return all, err
}

// send sends leaves as one notification.
func (f *feed) send(leaves []Leaf) error {
	if len(leaves) == 0 {
		return nil
	}
	list, err := updates(leaves, f.list.GetEncoding())
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	n := &gpb.Notification{Timestamp: f.s.config.Now().UnixNano(), Prefix: Echo(f.list.GetPrefix()), Update: list}
	return f.stream.Send(&gpb.SubscribeResponse{Response: &gpb.SubscribeResponse_Update{Update: n}})
}

// poll answers Polls until the client ends.
func (f *feed) poll() error {
	for {
		req, err := f.stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case req.GetPoll() == nil:
			return Invalidf("after the SubscriptionList, POLL takes Poll messages only")
		}
		all, err := f.look()
		if err != nil {
			return err
		}
		if err := f.everything(all); err != nil {
			return err
		}
	}
}

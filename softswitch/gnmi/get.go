package gnmi

import (
	"context"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Get implements gNMI: one notification per path. A path with wildcards, and every path in PROTO
// encoding, is answered leaf by leaf; others by one value, JSON if it is not a leaf.
func (s *Server) Get(_ context.Context, req *gpb.GetRequest) (*gpb.GetResponse, error) {
	if err := checkEncoding(req.GetEncoding()); err != nil {
		return nil, err
	}
	now := s.config.Now().UnixNano()
	out := &gpb.GetResponse{}
	paths := req.GetPath()
	if len(paths) == 0 {
		paths = []*gpb.Path{{}}
	}
	for _, p := range paths {
		path, err := join(req.GetPrefix(), p)
		if err != nil {
			return nil, err
		}
		leaves, err := s.selected(path)
		if err != nil {
			return nil, status.Error(codes.NotFound, err.Error())
		}
		updates, err := answer(path, ofType(leaves, req.GetType()), req.GetEncoding())
		if err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
		out.Notification = append(out.Notification, &gpb.Notification{Timestamp: now, Prefix: echo(req.GetPrefix()), Update: updates})
	}
	return out, nil
}

// echo is the prefix of answers: full paths, the client's target.
func echo(prefix *gpb.Path) *gpb.Path {
	if prefix.GetTarget() == "" && prefix.GetOrigin() == "" {
		return nil
	}
	return &gpb.Path{Target: prefix.GetTarget(), Origin: prefix.GetOrigin()}
}

// ofType keeps leaves of a data type.
func ofType(leaves []leaf, t gpb.GetRequest_DataType) []leaf {
	var out []leaf
	for _, l := range leaves {
		config := l.kind == configLeaf
		if t == gpb.GetRequest_ALL || t == gpb.GetRequest_CONFIG && config ||
			(t == gpb.GetRequest_STATE || t == gpb.GetRequest_OPERATIONAL) && !config {
			out = append(out, l)
		}
	}
	return out
}

func answer(path []*gpb.PathElem, leaves []leaf, e gpb.Encoding) ([]*gpb.Update, error) {
	alone := len(leaves) == 1 && len(leaves[0].path) == len(path)
	if e == gpb.Encoding_PROTO || wild(path) || alone {
		return updates(leaves, e)
	}
	if len(leaves) == 0 {
		return nil, nil
	}
	v, err := encode(any(nest(leaves, len(path))), e)
	return []*gpb.Update{{Path: &gpb.Path{Elem: path}, Val: v}}, err
}

// updates are leaves one by one.
func updates(leaves []leaf, e gpb.Encoding) ([]*gpb.Update, error) {
	out := make([]*gpb.Update, 0, len(leaves))
	for _, l := range leaves {
		v, err := encode(l.value, e)
		if err != nil {
			return nil, err
		}
		out = append(out, &gpb.Update{Path: &gpb.Path{Elem: l.path}, Val: v})
	}
	return out, nil
}

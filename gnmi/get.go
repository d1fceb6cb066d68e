package gnmi

import (
	"context"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Get implements gNMI: one notification per path. A path with wildcards, and every path in PROTO
// encoding, is answered leaf by leaf; others by one value, JSON if it is not a leaf.
func (s *Server) Get(ctx context.Context, req *gpb.GetRequest) (*gpb.GetResponse, error) {
	if err := checkEncoding(req.GetEncoding()); err != nil {
		return nil, err
	}
	if n := len(req.GetPath()); n > s.config.Most {
		return nil, Invalidf("there are %d paths; use %d at most", n, s.config.Most)
	}
	now := s.config.Now().UnixNano()
	out := &gpb.GetResponse{}
	paths := req.GetPath()
	if len(paths) == 0 {
		paths = []*gpb.Path{{}}
	}
	all, err := s.config.Tree.Leaves(ctx)
	if err != nil {
		return nil, err
	}
	asked, work := make([][]*gpb.PathElem, len(paths)), 0
	for i, p := range paths {
		if asked[i], err = s.Join(req.GetPrefix(), p); err != nil {
			return nil, err
		}
		work += compares(asked[i])
	}
	if err := affordable(work, len(all)); err != nil {
		return nil, err
	}
	told := 0
	for _, path := range asked {
		leaves := below(path, all)
		if told += len(leaves); told > maxAnswer {
			return nil, status.Errorf(codes.ResourceExhausted, "the answer has more than %d leaves; ask for its parts", maxAnswer)
		}
		if err := ctx.Err(); err != nil {
			return nil, status.FromContextError(err).Err()
		}
		if len(leaves) == 0 && !wild(path) {
			return nil, status.Errorf(codes.NotFound, "%s does not exist", Show(path))
		}
		updates, err := answer(path, ofType(leaves, req.GetType()), req.GetEncoding())
		if err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
		out.Notification = append(out.Notification, &gpb.Notification{Timestamp: now, Prefix: Echo(req.GetPrefix()), Update: updates})
	}
	return out, nil
}

// Echo is the prefix of answers: full paths, the client's target.
func Echo(prefix *gpb.Path) *gpb.Path {
	if prefix.GetTarget() == "" && prefix.GetOrigin() == "" {
		return nil
	}
	return &gpb.Path{Target: prefix.GetTarget(), Origin: prefix.GetOrigin()}
}

// ofType keeps leaves of a data type.
func ofType(leaves []Leaf, t gpb.GetRequest_DataType) []Leaf {
	var out []Leaf
	for _, l := range leaves {
		config := l.Kind == ConfigLeaf
		if t == gpb.GetRequest_ALL || t == gpb.GetRequest_CONFIG && config ||
			(t == gpb.GetRequest_STATE || t == gpb.GetRequest_OPERATIONAL) && !config {
			out = append(out, l)
		}
	}
	return out
}

func answer(path []*gpb.PathElem, leaves []Leaf, e gpb.Encoding) ([]*gpb.Update, error) {
	alone := len(leaves) == 1 && len(leaves[0].Path) == len(path)
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
func updates(leaves []Leaf, e gpb.Encoding) ([]*gpb.Update, error) {
	out := make([]*gpb.Update, 0, len(leaves))
	for _, l := range leaves {
		v, err := encode(l.Value, e)
		if err != nil {
			return nil, err
		}
		out = append(out, &gpb.Update{Path: &gpb.Path{Elem: l.Path}, Val: v})
	}
	return out, nil
}

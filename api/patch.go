package api

import (
	"context"
	"encoding/json"
	"mime"
	"net/http"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// patchOne changes fields of an object as it is stored.
func (s *Server) patchOne(ctx context.Context, r topology.Ref, in *patchInput) (*rawOutput, error) {
	media, _, _ := mime.ParseMediaType(in.ContentType)
	var patch any
	if err := strict(in.RawBody, &patch); err != nil {
		return nil, notJSON(err, "")
	}
	switch client.PatchType(media) {
	case client.MergePatch, "application/json":
		if _, ok := patch.(map[string]any); !ok {
			return nil, refuse(http.StatusUnprocessableEntity, "a merge patch is a JSON object with the fields that change (RFC 7396)")
		}
	default:
		p := refuse(http.StatusUnsupportedMediaType, "Content-Type %q: is no patch; use %s", in.ContentType, client.MergePatch)
		p.headers = http.Header{"Accept-Patch": {string(client.MergePatch)}}
		return nil, p
	}
	c := changing{ChangeInput: in.ChangeInput, verb: "patch", body: in.RawBody, ifMatch: in.IfMatch}
	return s.change(ctx, c, func(cat *state.Catalogue) ([]*topology.Object, []topology.Ref, error) {
		e := cat.Get(r)
		if e == nil {
			if err := s.mayDelete(ctx, r, nil); err != nil { // as if it were to be there
				return nil, nil, err
			}
			return nil, nil, notThere(r)
		}
		var was any
		if err := json.Unmarshal(e.JSON, &was); err != nil {
			return nil, nil, err
		}
		text, err := json.Marshal(merge(was, patch))
		if err != nil {
			return nil, nil, err
		}
		o, revision, err := decodeObject(text, r)
		if err != nil {
			return nil, nil, err
		}
		if err := s.mayPut(ctx, o, e); err != nil {
			return nil, nil, err
		}
		c.revision = revision
		return []*topology.Object{o}, nil, c.meets(r, e)
	}, s.objectAnswer(r))
}

// merge applies a merge patch (RFC 7396, section 2).
func merge(target, patch any) any {
	fields, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	was, ok := target.(map[string]any)
	if !ok {
		was = map[string]any{}
	}
	for name, value := range fields {
		if value == nil {
			delete(was, name)
		} else {
			was[name] = merge(was[name], value)
		}
	}
	return was
}

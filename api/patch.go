package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// patchOne changes fields of an object as it is stored.
func (s *Server) patchOne(ctx context.Context, r topology.Ref, in *patchInput) (*rawOutput, error) {
	change, err := parsePatch(client.PatchType(mediaOf(in.ContentType)), in.RawBody)
	if err != nil {
		return nil, err
	}
	c := changing{ChangeInput: in.ChangeInput, verb: "patch", put: []topology.Ref{r}, body: in.RawBody, ifMatch: in.IfMatch}
	return s.change(ctx, c, func(cat *state.Catalogue) ([]*topology.Object, []topology.Ref, error) {
		e := cat.Get(r)
		if err := s.may(ctx, access.Update, r, e); err != nil { // before the patch is tried: whether it fits tells what is stored
			return nil, nil, err
		}
		text, err := change(e.JSON)
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

const (
	mostOperations = 1000    // of a patch
	mostCopied     = 1 << 20 // bytes that a patch copies within an object
)

// parsePatch reads a patch, as what it makes of an object. What is not said to be a list of operations is a merge patch.
func parsePatch(media client.PatchType, body []byte) (func(object []byte) ([]byte, error), error) {
	if media == client.JSONPatch {
		return parseOperations(body)
	}
	var patch map[string]any
	if err := strict(body, &patch); err != nil {
		return nil, notJSON(err, "")
	}
	return func(object []byte) ([]byte, error) {
		var was any
		if err := json.Unmarshal(object, &was); err != nil {
			return nil, err
		}
		return json.Marshal(merge(was, patch))
	}, nil
}

// parseOperations reads a patch of operations (RFC 6902).
func parseOperations(body []byte) (func(object []byte) ([]byte, error), error) {
	if err := checkJSON(body); err != nil {
		return nil, notJSON(err, "")
	}
	patch, err := jsonpatch.DecodePatch(body)
	if err != nil {
		return nil, notJSON(err, "")
	}
	if len(patch) > mostOperations {
		return nil, refuse(http.StatusRequestEntityTooLarge, "the patch has %d operations; %d are the most", len(patch), mostOperations)
	}
	options := jsonpatch.NewApplyOptions()
	options.AccumulatedCopySizeLimit = mostCopied
	return func(object []byte) ([]byte, error) {
		out, err := patch.ApplyWithOptions(object, options)
		switch {
		case errors.Is(err, jsonpatch.ErrTestFailed):
			return nil, refuse(http.StatusConflict, "the patch does not fit the object: %v", err)
		case err != nil:
			return nil, refuse(http.StatusUnprocessableEntity, "the patch can't be applied: %v", err)
		}
		return out, nil
	}, nil
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

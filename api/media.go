package api

import (
	"mime"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

const (
	mediaJSON = "application/json"
	mediaYAML = "application/yaml"
)

// taken lets requests through whose body is of a type that the description has of their operation; without a Content-Type it is JSON. Another one would be read as what it does not say
// that it is.
func taken(ctx huma.Context, next func(huma.Context)) {
	op, is := ctx.Operation(), ctx.Header("Content-Type")
	if op == nil || op.RequestBody == nil || is == "" {
		next(ctx)
		return
	}
	if op.RequestBody.Content[mediaOf(is)] != nil {
		next(ctx)
		return
	}
	all := strings.Join(sortedKeys(op.RequestBody.Content), ", ")
	p := refuse(http.StatusUnsupportedMediaType, "Content-Type %q: is not taken here; use %s", is, all)
	p.headers = http.Header{"Accept": {all}} // RFC 9110 section 12.5.1
	if op.Method == http.MethodPatch {
		p.headers["Accept-Patch"] = []string{all}
	}
	r, w := humago.Unwrap(ctx)
	p.write(w, r)
}

// mediaOf is a Content-Type without its parameters.
func mediaOf(contentType string) string {
	media, _, _ := mime.ParseMediaType(contentType)
	return media
}

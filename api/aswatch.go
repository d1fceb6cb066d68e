package api

import (
	"net/http"
	"strings"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/topology"
)

// asWatch has a list with watch=true be the stream of what changes in it, behind revision: GET /v1/vports/acme?watch=true&revision=42 is GET /v1/watch?kind=VPort&tenant=acme&since=42.
func asWatch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if r.Method != http.MethodGet || !q.Has("watch") {
			next.ServeHTTP(w, r)
			return
		}
		list, tenant, one := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/"), "/")
		path := watchPath
		switch kind := kindOfPlural(list); {
		case kind != "" && !q.Has("kind") && !(one && (q.Has("tenant") || tenant == "" || strings.Contains(tenant, "/"))):
			q.Set("kind", string(kind))
			if one {
				q.Set("tenant", tenant)
			}
		case list == "objects" && !one:
		case list == "events" && !one:
			path = eventWatchPath
		default: // nothing to watch
			next.ServeHTTP(w, r)
			return
		}
		switch q.Get("watch") {
		case "true", "1", "":
		case "false", "0":
			path = r.URL.Path
			q = r.URL.Query()
		default:
			next.ServeHTTP(w, r) // no such parameter of lists
			return
		}
		q.Del("watch")
		if path != r.URL.Path && q.Has("revision") {
			q.Set("since", q.Get("revision"))
			q.Del("revision")
		}
		to := r.Clone(r.Context())
		to.URL.Path, to.URL.RawPath, to.URL.RawQuery = path, "", q.Encode()
		next.ServeHTTP(w, to)
	})
}

// kindOfPlural is the kind of the objects of a list; "": none.
func kindOfPlural(list string) topology.Kind {
	for _, k := range topology.Kinds() {
		if client.Plural(k) == list {
			return k
		}
	}
	return ""
}

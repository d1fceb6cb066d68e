// Package api is weft's management API: REST and JSON over HTTP, with a description in OpenAPI 3.1 (docs/api.md). Servers keep no state of their own: any number of them may serve one
// database.
//
// A request goes through these files:
//
//	server.go (routes) → gate.go (who asks, how often, how much) → objects.go, change.go, apply.go, watch.go, views.go → problem.go, if it is refused
package api

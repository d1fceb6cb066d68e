// Package bfd detects within milliseconds that the way to a neighbour is lost (RFC 5880): sessions over UDP to a neighbour on the link (RFC 5881) or several hops away (RFC 5883).
// Asynchronous mode, without echo and without authentication.
package bfd

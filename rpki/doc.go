// Package rpki validates the origins of routes (RFC 6811) by what caches tell over the RPKI-to-router protocol (RFC 6810, RFC 8210).
package rpki

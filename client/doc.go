// Package client speaks to weft's API (docs/api.md): objects, changes, what the network does. The API's server uses the same types.
package client

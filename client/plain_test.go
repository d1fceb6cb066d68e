package client_test

import (
	"testing"

	"github.com/weft-sdn/weft/client"
)

// TestPlain: nothing secret goes to another machine in the clear.
func TestPlain(t *testing.T) {
	for server, ok := range map[string]bool{
		"https://api.example.net": true, "http://127.0.0.1:9580": true, "http://[::1]:9580": true, "http://localhost": true, "http://api.example.net": false, "http://192.0.2.1:9580": false, "http://localhost.example.net": false,
	} {
		c, err := client.New(client.Config{Server: server})
		if (err == nil) != ok {
			t.Errorf("%s: %v", server, err)
		}
		if c != nil {
			c.Close()
		}
	}
}

package main

import "testing"

// TestSelector: which labels meet a selector.
func TestSelector(t *testing.T) {
	labels := map[string]string{"tier": "front", "zone": ""}
	for text, want := range map[string]bool{
		"tier=front": true, "tier==front": true, "tier=back": false, "tier!=back": true, "tier!=front": false, "tier": true, "!tier": false, "owner": false, "!owner": true,
		"owner!=x": true, "zone=": true, "tier=front,!owner": true, "tier=front,owner": false,
	} {
		var s selector
		if err := s.Set(text); err != nil || s.has(labels) != want {
			t.Errorf("%s: %v, %v; want %v", text, s.has(labels), err, want)
		}
	}
	var s selector
	if err := s.Set("=x"); err == nil {
		t.Error("a term without a key is taken")
	}
}

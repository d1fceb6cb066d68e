package state

import "testing"

func TestVersionsThatAreTooOld(t *testing.T) {
	for version, old := range map[string]bool{
		"": false, "unknown": false, "2.3.8": true, "3.3.27": true, "3.4.23": true, "3.4.24": true, "3.4.25": false, "3.4.34": false,
		"3.5.0": true, "3.5.7": true, "3.5.8": false, "3.5.8-rc.0": false, "3.5.21": false, "3.6.0": false, "3.7.3": false, "4.0.0": false,
	} {
		if got := tellsTooSoon(version); got != old {
			t.Errorf("%q: too old %v, want %v", version, got, old)
		}
	}
}

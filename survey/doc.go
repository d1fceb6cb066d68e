// Package survey finds out what a P4Runtime target can do, and where it deviates from the specification: by looking, or by trying.
package survey

// Package randnet draws random virtual networks, packets that find their way in them, and changes of them: what property tests of decisions try.
package randnet

// Package border has tests of weft's edges as BGP neighbours of other makers' speakers, with traffic over what they learn from each other (G1, G2).
package border

// Package offload turns megaflows into entries of an edge's P4 tables: it lowers one into entries, places it in a lane that has room,
// and keeps the numbers that are local to the edge.
package offload

# Reads `go test -bench`: prints "FIGURE package benchmark value unit" for each unit that a benchmark reported itself.
/^pkg: / { pkg = $2; next }
/^Benchmark/ {
	for (i = 3; i < NF; i += 2)
		if ($(i+1) !~ /^(ns|B|allocs)\/op$|^MB\/s$/) print "FIGURE", pkg, $1, $i, $(i+1)
}

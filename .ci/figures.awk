# Reads `go test -bench`: prints "FIGURE name value unit" for each unit of the form name:unit that a benchmark reported, and
# "FIGURE package benchmark value unit" for its other own units.
/^pkg: / { pkg = $2; next }
/^Benchmark/ {
	for (i = 3; i < NF; i += 2)
		if (split($(i+1), figure, ":") == 2) print "FIGURE", figure[1], $i, figure[2]
		else if ($(i+1) !~ /^(ns|B|allocs)\/op$|^MB\/s$/) print "FIGURE", pkg, $1, $i, $(i+1)
}

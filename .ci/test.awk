# Reads `go test -v ./...`: prints one line a package, all output of what failed, and at the end each skipped test with its reason, counted.
/^=== (RUN|NAME|CONT|PAUSE) / { test = $3; next }
/^panic: |^fatal error: |^WARNING: DATA RACE/ { verbatim = 1 }
/^ *--- FAIL: / { printf "%s", said[$3]; print; next }
/^ *--- SKIP: / {
	reason = said[$3]
	sub(/\n$/, "", reason); sub(/^.*\n/, "", reason); sub(/^ *[^ ]*\.go:[0-9]+: /, "", reason)
	count[reason]++; skipped++; names[reason] = names[reason] " " $3
	next
}
/^ *--- (PASS|BENCH): / { passed += /--- PASS/; next }
/^(ok  |FAIL)\t/ || /^FAIL$/ || /^\?/ { if (!/^\?/) print; test = ""; verbatim = 0; split("", said); next }
/^(PASS|testing: warning)/ { next }
verbatim || test == "" { print; next }
{ said[test] = said[test] $0 "\n" }
END {
	printf "%d tests and subtests passed, %d skipped\n", passed, skipped
	for (reason in count) printf "skipped %d: %s:%s\n", count[reason], reason, names[reason]
}

#!/usr/bin/env bash
# verify-gofmt.sh: are all Go files formatted? Prints the command that repairs.
set -euo pipefail
cd "$(dirname "$0")/.."
files=$(git ls-files -co --exclude-standard '*.go' | xargs gofmt -l)
if [ -n "$files" ]; then
	printf 'not formatted:\n%s\nrun: gofmt -w %s\n' "$files" "$(echo $files)" >&2
	exit 1
fi

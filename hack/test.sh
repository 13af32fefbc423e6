#!/usr/bin/env bash
# test.sh runs make targets one after the other, says which and for how long, and goes on
# after one that failed. At the end it lists all of them, and fails if one did.
#
# Usage: hack/test.sh TARGET...
#   Without the first, which builds what the others run, there is nothing to go on with.
set -o errexit -o nounset -o pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

results=()
failed=0

# step runs one target and keeps its result.
step() {
  local target="$1" begun=$SECONDS verdict=ok
  echo "==> make ${target}"
  "${MAKE:-make}" --no-print-directory "${target}" || verdict=FAILED
  local result
  result="$(printf '%-18s %-6s %4d s' "${target}" "${verdict}" $((SECONDS - begun)))"
  results+=("${result}")
  echo "<== ${result}"
  [[ "${verdict}" == ok ]]
}

summary() {
  printf '\nWhat ran, and for how long:\n'
  printf '  %s\n' "${results[@]}"
}
trap summary EXIT

step "$1"
for target in "${@:2}"; do
  step "${target}" || failed=1
done
exit "${failed}"

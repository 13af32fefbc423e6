#!/usr/bin/env bash
# verify-codegen.sh generates into a copy of the repository and fails if that differs
# from what is here.
set -o errexit -o nounset -o pipefail

repo="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
copy="$(mktemp -d)"
trap 'rm -rf "${copy}"' EXIT

mkdir -p "${copy}/pkg"
cp "${repo}"/go.{mod,sum} "${copy}/"
cp -r "${repo}/pkg/apis" "${repo}/pkg/generated" "${copy}/pkg/"
"${repo}/hack/update-codegen.sh" "${copy}"

for dir in apis generated; do
  if ! diff -Nru "${repo}/pkg/${dir}" "${copy}/pkg/${dir}"; then
    echo "pkg/${dir} is not what the generators write. To repair it, run: hack/update-codegen.sh" >&2
    exit 1
  fi
done
echo "Generated code is up to date."

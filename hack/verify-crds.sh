#!/usr/bin/env bash
# verify-crds.sh fails if artifacts/crds is not what hack/update-crds.sh writes.
set -o errexit -o nounset -o pipefail

repo="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
work="$(mktemp -d)"
trap 'rm -rf "${work}"' EXIT

"${repo}/hack/update-crds.sh" "${work}"
if ! diff --recursive --unified --exclude=README.md "${repo}/artifacts/crds" "${work}"; then
  echo "artifacts/crds is stale. Repair it with: hack/update-crds.sh" >&2
  exit 1
fi

#!/usr/bin/env bash
# update-crds.sh writes the manifests of artifacts/crds from the Go types.
#
# Usage: hack/update-crds.sh [DIR]
#   DIR is where the manifests go (default: artifacts/crds).
set -o errexit -o nounset -o pipefail

repo="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
dir="$(cd "${1:-${repo}/artifacts/crds}" && pwd -P)"
source "${repo}/hack/env.sh"

cd "${repo}"
rm -f "${dir}"/*.yaml
go run ./hack/gen-crds "${dir}"

#!/usr/bin/env bash
# kueue.sh puts the stock Kueue that "make test-kueue" runs into a directory: its manager, which is built, and the manifests that
# its release has. Where the module cannot be got it says so, and leaves the directory without the manager.
#
# Usage: hack/kueue.sh DIRECTORY
set -o errexit -o nounset -o pipefail

if [[ $# -ne 1 ]]; then
  echo "usage: $0 DIRECTORY" >&2
  exit 2
fi
mkdir -p "$1"
dir="$(cd "$1" && pwd)"
cd "$(dirname "${BASH_SOURCE[0]}")/../test/clients/kueue"

rm -rf "${dir}/manager" "${dir}/config"
if ! go mod download; then
  echo "$0: the modules of Kueue cannot be got: it is not built" >&2
  exit 0
fi
cp -r "$(go list -m -f '{{.Dir}}' sigs.k8s.io/kueue)/config" "${dir}/config"
chmod -R u+w "${dir}/config"
go build -ldflags '-s -w' -o "${dir}/manager" sigs.k8s.io/kueue/cmd/kueue

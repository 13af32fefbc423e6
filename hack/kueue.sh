#!/usr/bin/env bash
# kueue.sh puts the stock Kueue that "make test-kueue" runs into a directory: its manager, which is built, and the manifests that
# its release has. Where the modules cannot be reached it says so, and leaves the directory without the manager; other errors are errors.
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
# unreachable is what go says of a module that cannot be got from here; of any other error, a wrong checksum above all, it is not known
# what it means.
unreachable='dial tcp|no such host|connection reset|i/o timeout|TLS handshake timeout|404 Not Found|410 Gone|module lookup disabled by GOPROXY=off'
if ! said="$(go mod download 2>&1)"; then
  echo "${said}" >&2
  if grep -qiE 'checksum|verifying|security error' <<<"${said}" || ! grep -qE "${unreachable}" <<<"${said}"; then
    echo "$0: the modules of Kueue are not what they should be, or not understood: it is not built" >&2
    exit 1
  fi
  echo "$0: the modules of Kueue cannot be reached ($(grep -oEm1 "${unreachable}" <<<"${said}" | head -n1)): it is not built, and its test is skipped" >&2
  exit 0
fi
cp -r "$(go list -m -f '{{.Dir}}' sigs.k8s.io/kueue)/config" "${dir}/config"
chmod -R u+w "${dir}/config"
go build -ldflags '-s -w' -o "${dir}/manager" sigs.k8s.io/kueue/cmd/kueue

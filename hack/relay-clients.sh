#!/usr/bin/env bash
# relay-clients.sh puts the stock programs that "make test-relays" runs into a directory: Debian's prometheus, which is
# downloaded and not installed, and metrics-server, which is built.
#
# Usage: hack/relay-clients.sh DIRECTORY
set -o errexit -o nounset -o pipefail

if [[ $# -ne 1 ]]; then
  echo "usage: $0 DIRECTORY" >&2
  exit 2
fi
mkdir -p "$1"
dir="$(cd "$1" && pwd)"
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ ! -x "${dir}/prometheus" ]]; then
  if ! command -v apt-get >/dev/null; then
    echo "$0: there is no apt-get: put prometheus into ${dir} by hand" >&2
    exit 1
  fi
  work="$(mktemp -d)"
  trap 'rm -rf "${work}"' EXIT
  chmod 755 "${work}"
  (cd "${work}" && apt-get download -q prometheus && dpkg-deb -x prometheus_*.deb unpacked)
  install -m 755 "${work}/unpacked/usr/bin/prometheus" "${dir}/prometheus"
fi
(cd test/clients/metrics-server && go build -ldflags '-s -w' -o "${dir}/metrics-server" sigs.k8s.io/metrics-server/cmd/metrics-server)

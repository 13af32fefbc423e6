#!/usr/bin/env bash
# edge-packages.sh installs the Debian packages that "make test-edge" needs and this machine lacks.
# Needs root. The tests start containerd themselves: no service of it needs to run.
set -o errexit -o nounset -o pipefail

missing=()
# need PACKAGE PATTERN...: it is missing unless a file is there for every pattern.
need() {
  local package="$1" pattern
  for pattern in "${@:2}"; do
    if ! compgen -G "${pattern}" >/dev/null; then
      missing+=("${package}")
      return
    fi
  done
}
need containerd '/usr/bin/containerd' '/usr/bin/ctr' '/usr/bin/containerd-shim-runc-v2'
need runc '/usr/*bin/runc'
need containernetworking-plugins '/usr/lib/cni/bridge' '/usr/lib/cni/host-local' '/usr/lib/cni/loopback'
need iproute2 '/*bin/ip'
need util-linux '/usr/bin/nsenter' '/usr/bin/unshare' '/usr/bin/setpriv'
need busybox-static '/usr/share/doc/busybox-static'
need nftables '/usr/sbin/nft' # for kube-proxy

if [[ ${#missing[@]} -eq 0 ]]; then
  exit 0
fi
echo "Installing ${missing[*]}"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null

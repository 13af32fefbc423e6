#!/usr/bin/env bash
# test-node.sh runs the tests of the edge hub on a real node, if this machine can have one: as root, with
# namespaces, control groups and what hack/edge-packages.sh installs. If not, it says why, and that is no failure.
# bin/ has to be built.
set -o errexit -o nounset -o pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

skip() {
  echo "The tests with a real node were left out: $1"
  exit 0
}

[[ "$(id -u)" == 0 ]] || skip "they make namespaces, which root may"
for file in /usr/bin/containerd /usr/bin/ctr /usr/bin/containerd-shim-runc-v2 /usr/lib/cni/bridge /usr/lib/cni/host-local /usr/lib/cni/loopback; do
  [[ -e "${file}" ]] || skip "there is no ${file}, which hack/edge-packages.sh installs"
done
for program in runc ip nsenter unshare setpriv; do
  command -v "${program}" >/dev/null || skip "there is no ${program}, which hack/edge-packages.sh installs"
done
compgen -G '/sys/fs/cgroup/*/cgroup.procs' >/dev/null || [[ -e /sys/fs/cgroup/cgroup.procs ]] || skip "there are no control groups"
# What a node is made of: a machine in a machine, with a file system, a cable and a control group of its own.
# shellcheck disable=SC2016
hack/own-machine.sh bash -c '
  set -o errexit
  unshare --mount --net --uts --ipc --pid --fork --mount-proc bash -c "mount -t tmpfs tmpfs /run && ip link set lo up && echo 1 >/proc/sys/net/ipv4/ip_forward"
  ip link add probe0 type veth peer name probe1
  ip link add probe2 type bridge
  for hierarchy in /sys/fs/cgroup/memory /sys/fs/cgroup; do
    if [[ -e "$hierarchy/cgroup.procs" ]]; then
      mkdir -p "$hierarchy/$KOINON_OWN_MACHINE/probe"
      rmdir "$hierarchy/$KOINON_OWN_MACHINE/probe"
      break
    fi
  done' >/dev/null 2>&1 || skip "this machine lets nobody make a node (namespaces, links or control groups)"

go build -ldflags "$(hack/ldflags.sh)" -o bin/ k8s.io/kubernetes/cmd/kubelet
go test -vet=off -count=1 -timeout 20m -exec "${PWD}/hack/own-machine.sh" -run RealNode ./test/integration/edgenode

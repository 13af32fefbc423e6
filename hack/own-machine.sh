#!/usr/bin/env bash
# own-machine.sh runs a command as on a machine of its own, which real nodes can be joined to: with
# no network but its own loopback, processes and mounts that nobody else sees, and an end to all of
# them when the command ends or is killed. Files and users are those of this machine.
#
# Usage: hack/own-machine.sh COMMAND [ARGUMENT...]
#   go test -exec "$PWD/hack/own-machine.sh" -run RealNode ./test/integration/proxy
#
# Needs root. KOINON_OWN_MACHINE tells the command: it is the name of the control group below which
# the nodes' are.
set -o errexit -o nounset -o pipefail

if [[ $# -eq 0 ]]; then
  echo "usage: $0 COMMAND [ARGUMENT...]" >&2
  exit 2
fi
if [[ "$(id -u)" != 0 ]]; then
  echo "$0: a machine of its own has namespaces, which root makes: run this as root" >&2
  exit 1
fi
for program in unshare:util-linux ip:iproute2; do
  if ! command -v "${program%%:*}" >/dev/null; then
    echo "$0: there is no ${program%%:*}: install the Debian package ${program##*:}" >&2
    exit 1
  fi
done

# Control groups are the one thing that stays when processes are killed: remove those of runs that
# were. The number is that of the process.
for group in /sys/fs/cgroup/koinon-test-* /sys/fs/cgroup/*/koinon-test-*; do
  if [[ -d "${group}" && ! -e "/proc/${group##*-}" ]]; then
    find "${group}" -depth -type d -exec rmdir {} \; 2>/dev/null || true
  fi
done
export KOINON_OWN_MACHINE="koinon-test-$$"

# The shell stays, as the first process of the machine, to take in what loses its parent.
exec unshare --mount --net --ipc --pid --kill-child=KILL --mount-proc bash -c '
  ip link set lo up || exit
  "$@"
  result=$?
  for group in /sys/fs/cgroup/$KOINON_OWN_MACHINE /sys/fs/cgroup/*/$KOINON_OWN_MACHINE; do
    if [[ -d "$group" ]]; then rmdir "$group"; fi
  done
  exit "$result"' own-machine "$@"

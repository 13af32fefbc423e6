# The first process of a real node, in namespaces of its own: makes them a machine, and stays to take
# in what loses its parent. All of the node ends with it.
#
# Arguments: the name of the node, its disk, its control group. It makes the file "booted" of the disk
# when it is done.
set -o errexit -o nounset

name=$1 disk=$2 group=$3
echo "$name" >/proc/sys/kernel/hostname
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward

# Volumes that kubelet mounts are seen by containers, and what is below /var stays on the node's disk.
mount --make-rshared /
mount -t tmpfs -o mode=755 tmpfs /run
mount --bind "$disk" /var
mkdir -p /run/lock /run/netns
ln -sfn /run /var/run

# kubelet sets what is the whole machine's. It gets files of its own instead.
for setting in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
  mkdir -p "/run/sys/${setting%/*}"
  cat "/proc/sys/$setting" >"/run/sys/$setting"
  mount --bind "/run/sys/$setting" "/proc/sys/$setting"
done

# A control group in each hierarchy of version 1, or in the one of version 2. Those for processors begin
# without any, in version 1.
hierarchies=(/sys/fs/cgroup/*)
[ ! -e /sys/fs/cgroup/cgroup.controllers ] || hierarchies=(/sys/fs/cgroup)
for hierarchy in "${hierarchies[@]}"; do
  [ -e "$hierarchy/cgroup.procs" ] && [ "$hierarchy" != /sys/fs/cgroup/unified ] || continue
  mkdir -p "$hierarchy/$group"
  parent=$hierarchy
  for part in ${group//\// }; do
    for file in cpuset.cpus cpuset.mems; do
      [ ! -e "$parent/tasks" ] || [ ! -e "$parent/$file" ] || cat "$parent/$file" >"$parent/$part/$file"
    done
    parent+=/$part
  done
done

touch /var/booted
while :; do
  sleep 3600 &
  wait $!
done

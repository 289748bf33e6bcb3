# The mounts of the node on this machine, in a mount namespace of its own: `sh host.sh STATE
# PROGRAM…`.
#
# What containerd and the kubelet leave in /run and /var ends with the namespace. The kubelet would
# change settings of the machine's kernel: files with the values that it wants hide the kernel's
# own.
set -eu
state=$1
shift
mount --make-rshared /
[ -e /sys/kernel/security/lsm ] || mount -t securityfs securityfs /sys/kernel/security
for folder in /run /var/log /var/lib/cni; do
    mount -t tmpfs -o mode=755 tmpfs "$folder"
done
mount --bind "$state/kubelet" /var/lib/kubelet
while read -r name value; do
    mkdir -p "$state/sysctl/${name%/*}"
    echo "$value" >"$state/sysctl/$name"
    mount --bind "$state/sysctl/$name" "/proc/sys/$name"
done <<'E'
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
E
exec "$@"

#!/bin/sh
# Process 1 of a node in a virtual machine: mounts, network, containerd, kubelet; then it serves the control port.
#
# The root is read-only and shared by all nodes. What is this node's own is on its second disk, /var; the harness put
# its configuration into /var/node. containerd's folder is a third disk, with the images that every pod needs. Logs go to the harness through ports of their own, as does what it asks for here:
#   import SIZE   followed by SIZE bytes of an image archive
#   poweroff
# One line comes back: "ok", or "failed: …".
export PATH=/bin:/sbin:/usr/bin:/usr/sbin

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
mount -t securityfs securityfs /sys/kernel/security
mount --make-rshared /
echo "+cpuset +cpu +memory +pids +io" >/sys/fs/cgroup/cgroup.subtree_control

. /var/node/environment
echo "init: $NODE runs $(uname -r) with lsm=$(cat /sys/kernel/security/lsm)"
hostname "$NODE"
ip link set lo up
ip link set eth0 up
ip addr add "$ADDRESS/24" dev eth0
ip route add default via "$GATEWAY"
echo 1 >/proc/sys/net/ipv4/ip_forward

# port NAME: the device of a virtio port.
port() {
    for port in /sys/class/virtio-ports/*; do
        [ "$(cat "$port/name")" = "$1" ] && echo "/dev/${port##*/}"
    done
}

containerd -c /var/node/containerd.toml >"$(port containerd)" 2>&1 &
until [ -S /run/containerd/containerd.sock ]; do usleep 100000; done
kubelet --config /var/node/kubelet.json --kubeconfig /var/node/kubeconfig --hostname-override "$NODE" \
    --node-ip "$ADDRESS" >"$(port kubelet)" 2>&1 &

import() {
    ctr -n k8s.io images import "$1" 2>&1 >/dev/null | tail -n 1
}
echo "init: $NODE is up $(cut -d ' ' -f 1 /proc/uptime) s after power-on"

exec 3<>"$(port control)"

# take SIZE: so many bytes of the port into a file. The port says "end of file" while the kernel has not heard yet that
# somebody is connected, also in the midst of what it reads, so only an end that lasts ten seconds is one.
take() {
    : >/var/import.tar
    left=$1 patience=100
    while [ "$left" -gt 0 ] && [ "$patience" -gt 0 ]; do
        head -c "$left" <&3 >>/var/import.tar
        before=$left left=$(($1 - $(stat -c %s /var/import.tar)))
        [ "$left" = "$before" ] || { patience=100; continue; }
        patience=$((patience - 1))
        usleep 100000
    done
}

line=
while :; do
    # For the same reason the end of a line may come later than its beginning; nothing comes while nobody is connected.
    read -r part <&3 || { line=$line$part; usleep 200000; continue; }
    line=$line$part
    size=${line#* } verb=${line%% *} line=
    case $verb in
    import)
        take "$size"
        error=$(import /var/import.tar)
        rm -f /var/import.tar
        [ -z "$error" ] && echo ok >&3 || echo "failed: $error" >&3
        ;;
    poweroff)
        sync
        echo ok >&3
        echo s >/proc/sysrq-trigger
        poweroff -f
        ;;
    *) echo "failed: unknown request '$verb'" >&3 ;;
    esac
done

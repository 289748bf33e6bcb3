#!/bin/busybox sh
# Measures one boot from several places: measure.sh PLACE...
#
# A place is what a process can see and may do (e2e/src/kernels/place.rs lists them). Prints, for each, an object with what
# node-probe says there, what the truth program finds there, and what the text-based ways would say there.

# in_place PLACE COMMAND...: runs the command there.
in_place() {
    where=$1; shift
    case $where in
    host) "$@" ;;
    securityfs-empty) without 'umount /sys/kernel/security' "$@" ;;
    securityfs-missing) without 'umount /sys/kernel/security; mkdir -p /run/btf; mount --bind /sys/kernel/btf /run/btf;
        mount -t tmpfs none /sys/kernel; mkdir /sys/kernel/btf; mount --bind /run/btf /sys/kernel/btf' "$@" ;;
    sysfs-missing) without 'umount -l /sys' "$@" ;;
    btf-missing) without 'mount -t tmpfs none /sys/kernel/btf' "$@" ;;
    jit-off)
        echo 0 >/proc/sys/net/core/bpf_jit_enable
        "$@"; result=$?
        echo 1 >/proc/sys/net/core/bpf_jit_enable
        return $result ;;
    # The numbers are CAP_SYS_ADMIN (which stands for both), CAP_PERFMON and CAP_BPF.
    only-bpf-and-perfmon) confine -k 38 -k 39 "$@" ;;
    cap-bpf-missing) confine -c 21 -c 39 "$@" ;;
    cap-perfmon-missing) confine -c 21 -c 38 "$@" ;;
    nobody) su nobody -s /bin/sh -c 'exec "$@"' -- sh "$@" ;;
    user-namespace) unshare -U -r "$@" ;;
    seccomp-eperm) confine -b 1 "$@" ;;
    seccomp-enosys) confine -b 38 "$@" ;;
    seccomp-kill) confine -b kill "$@" ;;
    seccomp-prctl) confine -p 1 "$@" ;;
    *) echo "measure.sh: no such place: $where" >&2; exit 64 ;;
    esac
}

# without SCRIPT COMMAND...: runs the command in a mount namespace of its own, after the script.
without() {
    script=$1; shift
    unshare -m sh -e -c "$script; exec \"\$@\"" sh "$@"
}

# says COMMAND...: whether it succeeds, as JSON.
says() { if "$@" >/dev/null 2>&1; then echo true; else echo false; fi; }

# object COMMAND...: the JSON that it prints; null where it prints none.
object() {
    "$@" >/tmp/object
    if [ -s /tmp/object ]; then cat /tmp/object; else echo null; fi
}

config='[ -e /sys/kernel/btf/vmlinux ] && grep -q ^CONFIG_BPF_LSM=y "/boot/config-$(uname -r)"'

# The processor may be emulated on a machine that has much else to do: a slow check is no finding here.
for place; do
    in_place "$place" node-probe check --deadline 4m --output json >/tmp/report; code=$?
    attached=null
    if [ "$place" = host ]; then node-probe check --deadline 4m --output json --require attached >/dev/null; attached=$?; fi
    echo "{\"place\": \"$place\", \"exit\": $code, \"exit_attached\": $attached, \"report\": "
    object cat /tmp/report
    echo ", \"truth\": "
    object in_place "$place" truth
    echo ", \"lsm_list\": $(says in_place "$place" grep -q bpf /sys/kernel/security/lsm)"
    echo ", \"btf_and_config\": $(says in_place "$place" sh -c "$config")}"
done

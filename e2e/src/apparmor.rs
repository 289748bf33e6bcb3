#!/bin/sh
# Compiles an AppArmor policy for a virtual machine: e2e/apparmor.sh POLICY OUT
#
# In:  the policy as text. The parser comes from Debian's or Ubuntu's package apparmor, which is downloaded and not installed.
# Out: the form that a kernel takes at /sys/kernel/security/apparmor/.load, for the features of AppArmor 3.0.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
out=${CARGO_TARGET_DIR:-$root/target}/e2e/apparmor

say() { echo "apparmor.sh: $*" >&2; }

get() {
    [ ! -e "$out/sbin/apparmor_parser" ] || return 0
    say "downloading the package apparmor"
    rm -rf "$out.partial"
    mkdir -p "$out.partial/root"
    # The package lists may be missing, or so old that they name what is no longer there.
    (cd "$out.partial" && { apt-get -q download apparmor || { apt-get -q update && apt-get -q download apparmor; }; }) >&2
    dpkg-deb -x "$out.partial"/apparmor_*.deb "$out.partial/root"
    rm -rf "$out"
    mv "$out.partial/root" "$out"
    rm -rf "$out.partial"
}

mkdir -p "$out"
exec 9>"$out.lock"
flock 9
get
exec "$out/sbin/apparmor_parser" --config-file /dev/null --skip-kernel-load --skip-cache \
    --features-file "$out/etc/apparmor.d/abi/3.0" --ofile "$2" "$1"

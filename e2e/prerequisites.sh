#!/bin/sh
# Checks for everything that the rig needs, and installs the Debian or Ubuntu packages that are
# missing. With the argument arm64 it does so for the packages that only virtual machines of arm64
# need, with cross for those that compile for arm64, and with browser for those that only the tests
# of the report in a browser need.
#
# As root it prints what it is going to install and installs it. Other users get the command, and
# exit code 1. Rust and Go are not installed: the script only checks that they are there. When
# nothing is missing it is silent and takes no second.
set -eu
export DEBIAN_FRONTEND=noninteractive

# Containers and their network; virtual machines and what builds their disks; compiling what cargo
# builds in C.
packages='containerd runc containernetworking-plugins iproute2 iptables nftables kmod util-linux mount
qemu-system-x86 e2fsprogs busybox-static cpio xz-utils
gcc libc6-dev'
# A machine of another architecture, and compiling for it.
cross='gcc-aarch64-linux-gnu libc6-dev-arm64-cross'
case ${1:-} in
arm64) packages="qemu-system-arm $cross" ;;
cross) packages=$cross ;;
browser) packages=fonts-dejavu-core ;;
esac

have() { command -v "$1" >/dev/null 2>&1; }
# A browser and Node.js may come from elsewhere than Debian. Node.js brings npm with it then. Ubuntu
# has no package with Chromium.
if [ "${1:-}" = browser ]; then
    have chromium || have google-chrome || packages="$packages chromium"
    { have node && have npm; } || packages="$packages nodejs npm"
fi

missing=
have cargo || missing="$missing
  cargo: Rust, from https://rustup.rs (the toolchain's version is in rust-toolchain.toml)"
have go || missing="$missing
  go: Go 1.25 or newer, from https://go.dev/dl"
if [ "${1:-}" = cross ] && have rustc && ! have rustup &&
    [ ! -d "$(rustc --print target-libdir --target aarch64-unknown-linux-gnu)" ]; then
    missing="$missing
  rustup: it downloads Rust's standard library for arm64, from https://rustup.rs"
fi
[ -z "$missing" ] || { echo "prerequisites.sh: missing:$missing" >&2; exit 1; }

have dpkg-query || {
    echo "prerequisites.sh: this is not Debian or Ubuntu; install what these packages hold:" $packages >&2
    exit 1
}
# Docker's own containerd.io holds containerd and runc as well.
installed=$(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' $packages containerd.io 2>/dev/null | sed -n 's/^ii *//p')
case $installed in *containerd.io*) packages=$(echo "$packages" | sed 's/containerd runc //') ;; esac
wanted=
for package in $packages; do
    echo "$installed" | grep -qx "$package" || wanted="$wanted $package"
done
[ -n "$wanted" ] || exit 0

if [ "$(id -u)" != 0 ]; then
    echo "prerequisites.sh: these packages are missing; install them with:" >&2
    echo "sudo apt-get install --no-install-recommends$wanted"
    exit 1
fi
echo "prerequisites.sh: installing$wanted" >&2
# Installing a package must not start its services here.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
    trap 'rm -f $policy' EXIT
fi
install() { apt-get -q install -y --no-install-recommends $wanted >&2; }
# Package lists may be missing, or so old that they name files that the mirror has removed.
install || { apt-get -q update >&2; install; }

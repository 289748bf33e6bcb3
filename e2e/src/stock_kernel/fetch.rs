#!/bin/sh
# Stock distribution kernels for virtual machines: e2e/kernels.sh [SERIES…]   (default: 6.1 6.12 newest)
#
# In:  a series ("6.12": the newest packaged patch level of it) or "newest" (the newest the distribution packages
#      at all, backports included). apt's own package lists and mirror are used. KERNEL_ARCH names another architecture
#      in Debian's words (arm64), whose kernels go below target/e2e/kernels/arm64/.
# Out: target/e2e/kernels/SERIES/{vmlinuz,config,release,modules/lib/modules/RELEASE/…}; each directory's path is printed.
# Nothing is installed into the system. A series that is there already costs nothing; delete its directory to get a newer one.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
native=$(dpkg --print-architecture)
arch=${KERNEL_ARCH:-$native}
out=${CARGO_TARGET_DIR:-$root/target}/e2e/kernels
[ "$arch" = "$native" ] || out=$out/$arch
backports_suite=${BACKPORTS_SUITE:-trixie-backports}

say() { echo "kernels.sh: $*" >&2; }
die() { say "$*"; exit 1; }
escape() { printf %s "$1" | sed 's/[.+]/\\&/g'; }

. "$root/e2e/apt.sh"

# options_for SERIES: apt's options, one a line, where the system's own lists will not do: another architecture's
# packages, and for "newest" the backports suite of the same Debian mirror. Fails where they will.
options_for() {
    mirror=$(debian_mirror)
    [ -n "$mirror" ] || return 1
    {
        if [ "$arch" != "$native" ]; then system_suites; fi
        if [ "$1" = newest ]; then echo "$mirror $backports_suite"; fi
    } >"$out/.suites"
    [ -s "$out/.suites" ] || return 1
    private_apt "$out/.apt" "$arch" <"$out/.suites"
}

# The system's package lists, fetched when there are none and we may.
require_lists() {
    [ -n "$(apt-get indextargets --format x 'Created-By: Packages')" ] || die "apt has no package sources"
    [ -z "$(apt-cache pkgnames linux-image)" ] || return 0
    [ "$(id -u)" = 0 ] || die "apt has no package lists: run 'sudo apt-get update' and try again"
    say "apt has no package lists: apt-get update"
    apt-get -q update >/dev/null
}

# find SERIES [APT OPTIONS]: the newest image package of that series; Debian's cloud flavour, else Ubuntu's generic one.
find_image() {
    series=$1; shift
    case $series in newest) version='[0-9]' ;; *) version=$(escape "$series")'[.-]' ;; esac
    names=$(apt-cache "$@" pkgnames linux-image-)
    for flavour in cloud-$arch generic; do
        found=$(echo "$names" | grep -E "^linux-image-${version}.*-$flavour\$" | sort -V | tail -n 1)
        [ -z "$found" ] || { echo "$found"; return 0; }
    done
    return 1
}

# unpack SERIES PACKAGE [APT OPTIONS]. Ubuntu keeps modules and configuration in a package of their own, newer Debian has
# one for each of its parts.
unpack() {
    series=$1 package=$2; shift 2
    release=${package#linux-image-}
    work=$out/.$series.partial
    rm -rf "$work"; mkdir -p "$work/debs" "$work/root" "$work/modules/lib"
    say "$series: downloading $package"
    parts=$(apt-cache "$@" depends "$package" | grep -oE "linux-(base|binary|modules)-$(escape "$release")\$" | sort -u || true)
    # shellcheck disable=SC2086 # package names, one word each
    (cd "$work/debs" && apt-get -q "$@" download "$package" $parts >/dev/null 2>"$work/apt.log") ||
        die "apt-get download $package $parts failed: $(cat "$work/apt.log")"
    for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$work/root"; done
    mv "$(find "$work/root" -name "vmlinuz*" -type f | head -n 1)" "$work/vmlinuz"
    mv "$(find "$work/root" \( -path '*/boot/config-*' -o -path "*/modules/$release/config" \) -type f | head -n 1)" "$work/config"
    mv "$(find "$work/root" -type d -path '*/lib/modules' | head -n 1)" "$work/modules/lib/modules"
    depmod=$(PATH=$PATH:/sbin:/usr/sbin command -v depmod || true)
    if [ -n "$depmod" ]; then "$depmod" -b "$work/modules" "$release"; else say "no depmod (package kmod): no modules.dep"; fi
    echo "$release" >"$work/release"
    rm -rf "$work/debs" "$work/root" "${out:?}/$series"
    mv "$work" "$out/$series"
}

get() {
    series=$1
    [ -e "$out/$series/release" ] && [ -e "$out/$series/config" ] && return 0
    require_lists
    if options=$(options_for "$series"); then
        # shellcheck disable=SC2086 # one word a line, none with a blank in it
        IFS='
'; set -- $options; unset IFS
        if apt-get -q "$@" update >/dev/null && package=$(find_image "$series" "$@"); then
            unpack "$series" "$package" "$@"
            return 0
        fi
        [ "$arch" = "$native" ] || die "no packaged kernel of series $series for $arch"
        say "$series: no $backports_suite here; taking the newest of the usual suites"
    fi
    package=$(find_image "$series") || die "no packaged kernel of series $series here (apt-cache pkgnames linux-image)"
    unpack "$series" "$package"
}

mkdir -p "$out"
exec 9>"$out/.lock"; flock 9
[ $# -gt 0 ] || set -- 6.1 6.12 newest
for wanted in "$@"; do
    get "$wanted"
    echo "$out/$wanted"
done

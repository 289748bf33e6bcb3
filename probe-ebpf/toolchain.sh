#!/bin/bash
# A compiler for BPF programs without a nightly Rust, from packages of Debian 12 or newer: probe-ebpf/toolchain.sh DIR
#
# rustc-web is Debian's newer rustc for building browsers; with it comes a prebuilt `core` for bpfel-unknown-none.
# bpf-linker is built from crates.io against the libLLVM of the same packages, and without optimisation
# and debug info: compiling it takes longer than all of its work.
#
# In:  apt's package lists (fetched when they are missing and this runs as root), cargo, a C compiler.
# Out: DIR/root (the packages, unpacked), DIR/bin/bpf-linker. Nothing is installed into the system.
#      Prints nothing when everything is there.
set -eu

[ $# = 1 ] || { echo "usage: $0 DIR" >&2; exit 64; }
mkdir -p "$1"
dir=$(CDPATH='' cd -- "$1" && pwd)
linker_version=0.13.0

say() { echo "probe-ebpf/toolchain.sh: $*" >&2; }
die() { say "$*"; exit 1; }

# What else one can do, for the end of an error message.
other_way="Or use nightly Rust: rustup toolchain install nightly --component rust-src && cargo install bpf-linker"

require_lists() {
    command -v apt-get >/dev/null || die "no nightly Rust with rust-src and bpf-linker, and no apt-get. $other_way"
    [ -z "$(apt-cache pkgnames libllvm)" ] || return 0
    [ "$(id -u)" = 0 ] || die "apt has no package lists. Run 'sudo apt-get update' and build again. $other_way"
    say "apt has no package lists: apt-get update"
    apt-get -q update >/dev/null || die "apt-get update failed. $other_way"
}

# depends PACKAGE PATTERN: the dependency of PACKAGE whose whole name matches.
depends() { apt-cache depends "$1" | sed -n "s/^ *Depends: \($2\)\$/\1/p" | head -n 1; }

download() {
    mkdir -p "$dir/debs"
    (cd "$dir/debs" && apt-get -q download "$@" >/dev/null 2>"$dir/apt.log") ||
        die "apt-get download $* failed: $(cat "$dir/apt.log")"
    for deb in "$dir"/debs/*.deb; do dpkg-deb -x "$deb" "$dir/root"; done
    rm -rf "$dir/debs"
}

libraries() { find "$dir/root" -name '*.so*' -printf '%h\n' | grep -v rustlib | sort -u | paste -s -d :; }

unpack_compiler() {
    require_lists
    std=$(depends libstd-rust-web-dev 'libstd-rust-web-[0-9.]*')
    llvm=$(depends "${std:-none}" 'libllvm[0-9]*' 2>/dev/null || true)
    [ -n "$llvm" ] || die "apt offers no rustc-web (Debian 12 or newer, with its security suite, does). $other_way"
    [ -n "$(apt-cache pkgnames libstd-rust-web-dev-bpf)" ] || die "apt offers no libstd-rust-web-dev-bpf. $other_way"
    say "unpacking rustc-web, its core for BPF and $llvm below $dir"
    rm -rf "$dir/root"
    download rustc-web "$std" libstd-rust-web-dev libstd-rust-web-dev-bpf "$llvm"
    # Libraries that LLVM needs and this machine does not have.
    if LD_LIBRARY_PATH=$(libraries) ldd "$dir/root/usr/bin/rustc" | grep -q 'not found'; then
        # shellcheck disable=SC2046 # package names, one word each
        download $(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
            --no-replaces --no-enhances "$llvm" | grep -E '^[a-z]' | grep -vE '^(libc6|libgcc-s1|gcc-[0-9]+-base)$')
    fi
    LD_LIBRARY_PATH=$(libraries) "$dir/root/usr/bin/rustc" --version >"$dir/rustc-version" ||
        die "the unpacked rustc does not run on this machine. $other_way"
    libraries >"$dir/library-path"
    echo "${llvm#libllvm}" >"$dir/llvm-version"
}

build_linker() {
    llvm=$(cat "$dir/llvm-version")
    say "building bpf-linker $linker_version against LLVM $llvm (about half a minute)"
    shared=$(find "$dir/root" -name "libLLVM.so.$llvm*" | sort | head -n 1)
    mkdir -p "$dir/llvm/lib"
    ln -sf "$shared" "$dir/llvm/lib/libLLVM.so"
    LLVM_PREFIX=$dir/llvm LD_LIBRARY_PATH=$(cat "$dir/library-path") \
        RUSTFLAGS="-Clink-arg=-Wl,-rpath,$(dirname "$shared")" CARGO_TARGET_DIR=$dir/linker-build \
        CARGO_PROFILE_DEV_DEBUG=false \
        cargo install -q bpf-linker --version "$linker_version" --locked --debug --no-default-features \
        --features "llvm-$llvm" --root "$dir" >&2 || die "building bpf-linker failed. $other_way"
    rm -rf "$dir/linker-build"
}

# bash picks a free descriptor. A fixed one could be that of cargo's jobserver.
exec {lock}>"$dir/.lock"; flock "$lock"
[ -e "$dir/llvm-version" ] || unpack_compiler
[ -x "$dir/bin/bpf-linker" ] || build_linker

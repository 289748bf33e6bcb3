#!/bin/sh
# Compiles BPF programs: probe-ebpf/build.sh OUT [CRATE BINARY]
#
# Uses nightly Rust where it has rust-src and bpf-linker is on the PATH, and otherwise the compiler that toolchain.sh
# unpacks below target/bpf. BPF_TOOLCHAIN=nightly or =packages chooses one of them.
# In: this directory, or another crate of such programs and the name of its binary. Out: the file OUT, an ELF object for
# bpfel-unknown-none.
set -eu

[ $# = 1 ] || [ $# = 3 ] || { echo "usage: $0 OUT [CRATE BINARY]" >&2; exit 64; }
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
crate=${2:-$here} binary=${3:-probe}
dir=${BPF_TARGET_DIR:-$here/../target/bpf}
target=bpfel-unknown-none

# The environment of a build script describes the host's build, and clippy sets a wrapper.
unset CARGO CARGO_ENCODED_RUSTFLAGS RUSTFLAGS RUSTC RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER CARGO_BUILD_TARGET \
    CARGO_BUILD_RUSTFLAGS TARGET RUSTUP_TOOLCHAIN LD_LIBRARY_PATH 2>/dev/null || true
export CARGO_TARGET_DIR="$dir/build"

has_nightly() {
    command -v rustup >/dev/null && command -v bpf-linker >/dev/null &&
        sysroot=$(rustup run nightly rustc --print sysroot 2>/dev/null) &&
        [ -d "$sysroot/lib/rustlib/src/rust/library/core" ]
}

compile() { (cd "$crate" && "$@" --release --locked --target $target --quiet); }

with_nightly() {
    export CARGO_TARGET_BPFEL_UNKNOWN_NONE_RUSTFLAGS="-Clinker=bpf-linker"
    compile rustup run nightly cargo build -Z build-std=core
}

with_packages() {
    "$here/toolchain.sh" "$dir"
    dir=$(cd "$dir" && pwd)
    export CARGO_TARGET_BPFEL_UNKNOWN_NONE_RUSTFLAGS="-Clinker=$dir/bin/bpf-linker"
    # The BPF target is tier 3, and aya-ebpf uses unstable features of core for it.
    RUSTC=$dir/root/usr/bin/rustc RUSTC_BOOTSTRAP=1 LD_LIBRARY_PATH=$(cat "$dir/library-path") compile cargo build
}

case ${BPF_TOOLCHAIN:-} in
nightly) with_nightly ;;
packages) with_packages ;;
'') if has_nightly; then with_nightly; else with_packages; fi ;;
*) echo "$0: invalid BPF_TOOLCHAIN '$BPF_TOOLCHAIN': use nightly or packages" >&2; exit 64 ;;
esac
cp "$CARGO_TARGET_DIR/$target/release/$binary" "$1"

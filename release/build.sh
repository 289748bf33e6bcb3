#!/bin/sh
# Builds static release programs whose bytes do not depend on where and when they are built:
# release/build.sh PACKAGES, for example release/build.sh -p lsm-ready-operator -p node-probe
#
# In: arguments for cargo build. Out: the programs in target/TRIPLE/release. What the bytes do depend
# on: the sources, Cargo.lock, the Rust toolchain of rust-toolchain.toml, and the C library and C
# compiler of this machine.
#
# TRIPLE=aarch64-unknown-linux-gnu compiles for arm64, with Debian's cross compiler.
set -eu
umask 022
cd "$(dirname "$0")/.."
host=$(uname -m)-unknown-linux-gnu
target=${TRIPLE:-$host}
if [ "$target" != "$host" ]; then
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
fi
cargo_home=${CARGO_HOME:-$HOME/.cargo}

# Fetched first, because the folders of the registries are looked up below.
cargo fetch --locked --quiet --target "$target"

# Panics name source files. Those of this workspace have relative paths; those of crates are in
# cargo's home, in a folder whose name depends on the registry. Unit separators, because a path may
# contain spaces.
flags=-Ctarget-feature=+crt-static
c_flags=
for registry in "$cargo_home"/registry/src/*; do
    flags="$flags$(printf '\037')--remap-path-prefix=$registry=/crates"
    c_flags="$c_flags -ffile-prefix-map=$registry=/crates"
done
unset RUSTFLAGS SOURCE_DATE_EPOCH
export CARGO_ENCODED_RUSTFLAGS="$flags" CFLAGS="${c_flags# }" LC_ALL=C TZ=UTC

# --target keeps the static C runtime out of build scripts and procedural macros.
exec cargo build --release --locked --target "$target" "$@"

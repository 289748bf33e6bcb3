#!/bin/sh
# What arm64 guests need, made on this machine: e2e/arm64.sh
#
# In:  apt's mirror of Debian, cargo, and the packages of `e2e/prerequisites.sh arm64`.
# Out: target/e2e/arm64/{busybox,node-probe}, both static. node-probe is compiled by the rustc that
#      probe-ebpf/toolchain.sh unpacks, with the arm64 standard library of the same packages, since rustup need not be
#      able to download one. It is built for the emulated processor's patience, not for speed: without LTO.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
out=$target/e2e/arm64
bpf=${BPF_TARGET_DIR:-$root/target/bpf}
triple=aarch64-unknown-linux-gnu

die() { echo "arm64.sh: $*" >&2; exit 1; }

. "$root/e2e/apt.sh"

mkdir -p "$out"
exec 9>"$out/.lock"; flock 9
"$root/e2e/prerequisites.sh" arm64
"$root/probe-ebpf/toolchain.sh" "$bpf"

if [ ! -e "$out/root/.complete" ]; then
    rm -rf "$out/root" "$out/debs"; mkdir -p "$out/root" "$out/debs"
    system_suites >"$out/.suites"
    options=$(private_apt "$out/.apt" arm64 <"$out/.suites")
    # shellcheck disable=SC2086 # one word a line, none with a blank in it
    IFS='
'; set -- $options; unset IFS
    apt-get -q "$@" update >/dev/null
    # The shared library goes by the compiler's version, which the other package depends on.
    std=$(apt-cache "$@" depends libstd-rust-web-dev | grep -oE 'libstd-rust-web-[0-9.]+$' | head -n 1)
    # shellcheck disable=SC2086 # package names, one word each
    (cd "$out/debs" && apt-get -q "$@" download busybox-static libstd-rust-web-dev $std >/dev/null 2>"$out/apt.log") ||
        die "apt-get download failed: $(cat "$out/apt.log")"
    for deb in "$out"/debs/*.deb; do dpkg-deb -x "$deb" "$out/root"; done
    rm -rf "$out/debs"
    touch "$out/root/.complete"
fi
install -m 755 "$(find "$out/root" -path '*/bin/busybox' -type f)" "$out/busybox"

# The compiler finds its libraries by LD_LIBRARY_PATH, which is nobody else's business.
printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' "$(cat "$bpf/library-path")" "$bpf/root/usr/bin/rustc" >"$out/rustc"
chmod +x "$out/rustc"
cd "$root"
RUSTC=$out/rustc CARGO_TARGET_DIR=$target/arm64 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS="--sysroot=$out/root/usr -Ctarget-feature=+crt-static" \
    cargo build -q --release --target $triple -p node-probe
cp "$target/arm64/$triple/release/node-probe" "$out/node-probe"

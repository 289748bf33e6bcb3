#!/bin/sh
# Cross-compiles the two programs for arm64, and writes their images with SBOM and labels to
# target/images/arm64 (`make images ARCH=arm64`). A release builds them on a machine of arm64
# instead. What can be run of it here is in `make test-kernels ARCH=arm64`.
#
# In: rig in target/debug. `e2e/prerequisites.sh cross` installs or names what else is missing, and
# rustup downloads Rust's standard library for arm64.
set -eu
cd "$(dirname "$0")/.."
export TRIPLE=aarch64-unknown-linux-gnu

e2e/prerequisites.sh cross
[ -d "$(rustc --print target-libdir --target $TRIPLE)" ] || rustup --quiet target add $TRIPLE
release/build.sh -p lsm-ready-operator -p node-probe
target/debug/rig image build --arch arm64

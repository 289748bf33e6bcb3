#!/bin/sh
# Cross-compiles the two programs for arm64, and writes their images to target/images/arm64
# (`make images ARCH=arm64`). A release builds them on a machine of arm64 instead, with SBOM and
# labels. Nothing of it can be run here, but for `make test-kernels ARCH=arm64`.
#
# In: rig in target/debug, the packages of `e2e/prerequisites.sh arm64`, and Rust's standard library
# for arm64 (rustup downloads it).
set -eu
cd "$(dirname "$0")/.."
export TRIPLE=aarch64-unknown-linux-gnu
images=target/images/arm64
most=15000000

! command -v rustup >/dev/null || rustup --quiet target add $TRIPLE
release/build.sh -p lsm-ready-operator -p node-probe
mkdir -p $images
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
for image in operator:lsm-ready-operator:65532 node-probe:node-probe:0; do
    name=${image%%:*} package=${image#*:} user=${image##*:}
    package=${package%%:*}
    target/debug/rig image notices "$package" >$images/"$name".third-party.txt
    target/debug/rig image write --name "docker.io/lsm-ready/$name:$version" --arch arm64 \
        --output $images/"$name".tar --entrypoint "/$name" --user "$user" \
        "target/$TRIPLE/release/$name=/$name" LICENSE=/licenses/LICENSE \
        "$images/$name.third-party.txt=/licenses/THIRD-PARTY.txt" >/dev/null
    bytes=$(stat -c %s "$images/$name.tar")
    echo "$images/$name.tar  $bytes bytes"
    if [ "$bytes" -gt $most ]; then
        echo "$0: $images/$name.tar is larger than $most bytes" >&2
        exit 1
    fi
done

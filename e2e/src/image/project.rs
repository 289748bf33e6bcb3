#!/bin/bash
# Writes the images as OCI archives to target/images: with ENGINE (docker, podman or buildah) from the Containerfiles,
# or else, needing none of them, with our own `image`, the same bytes each time.
set -eu
cd "$(dirname "$0")/.."
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
static=target/$(uname -m)-unknown-linux-gnu/release
out=target/images
mkdir -p $out

case "$(uname -m)" in x86_64) arch=amd64 ;; aarch64) arch=arm64 ;; *) arch=$(uname -m) ;; esac

ours() { # FILE NAME USER
    cargo run -q -p e2e --bin image -- --name "$2" --arch $arch --user "$3" --entrypoint "/$1" \
        --output "$out/$1.tar" "$static/$1=/$1" >/dev/null
}

theirs() { # FILE NAME FOLDER
    case $ENGINE in
        docker | podman) $ENGINE build -q -t "$2" -f "$3/Containerfile" . >/dev/null && $ENGINE save -o "$out/$1.tar" "$2" ;;
        buildah)
            rm -f "$out/$1.tar"
            buildah build -q -t "$2" -f "$3/Containerfile" . >/dev/null && buildah push -q "$2" "oci-archive:$out/$1.tar:$2"
            ;;
        *) echo "images.sh: ENGINE is docker, podman or buildah, not $ENGINE" >&2; exit 64 ;;
    esac
}

build() { # FILE NAME USER FOLDER
    if [ -n "${ENGINE:-}" ]; then theirs "$1" "$2" "$4"; else ours "$1" "$2" "$3"; fi
    echo "$out/$1.tar  $2"
}

build operator "docker.io/lsm-ready/operator:$version" 65532 operator
build node-probe "docker.io/lsm-ready/node-probe:$version" 0 node-probe
# The agent in Tetragon's place, for trying and testing: never made with another engine. A link named tetra is its client.
for release in v1.3.0 v1.7.0; do
    cargo run -q -p e2e --bin image -- --name lsm-ready.test/tetragon:$release --arch $arch --user 0 \
        --entrypoint /usr/bin/tetragon --entrypoint --release=$release --output $out/tetragon-$release.tar \
        $static/tetragon=/usr/bin/tetragon $static/tetragon=/usr/bin/tetra >/dev/null
    echo "$out/tetragon-$release.tar  lsm-ready.test/tetragon:$release"
done

#!/bin/sh
# Prints the plugin's manifest for krew: the template with version, address and checksums.
#
# Usage: release/krew.sh VERSION URL SHA256SUMS
#   VERSION     without v, for example 0.1.0
#   URL         of the repository, for example https://example.com/lsm-ready
#   SHA256SUMS  as sha256sum prints it, with a line for each archive of the plugin
set -eu

if [ $# -ne 3 ]; then
    echo "usage: $0 VERSION URL SHA256SUMS" >&2
    exit 64
fi
version=$1 url=$2 sums=$3
manifest=$(dirname "$0")/../kubectl-lsm/krew/lsm-ready.yaml

# The checksum of the archive for that system and machine.
sum() {
    file=kubectl-lsm_ready-$1-$2.tar.gz
    found=$(awk -v file="$file" '$2 == file || $2 == "*" file {print $1}' "$sums")
    if [ -z "$found" ]; then
        echo "$0: $sums has no line for $file" >&2
        exit 1
    fi
    echo "$found"
}

linux_amd64=$(sum linux amd64)
linux_arm64=$(sum linux arm64)
darwin_amd64=$(sum darwin amd64)
darwin_arm64=$(sum darwin arm64)
sed -e '/^#/d' -e "s|{{VERSION}}|$version|g" -e "s|{{URL}}|$url|g" \
    -e "s|{{SHA256_LINUX_AMD64}}|$linux_amd64|" -e "s|{{SHA256_LINUX_ARM64}}|$linux_arm64|" \
    -e "s|{{SHA256_DARWIN_AMD64}}|$darwin_amd64|" -e "s|{{SHA256_DARWIN_ARM64}}|$darwin_arm64|" \
    "$manifest"

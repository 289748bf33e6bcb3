#!/bin/sh
# Runs cargo-deny with deny.toml: release/deny.sh CHECKS, for example release/deny.sh licenses bans
# sources
#
# In: deny.toml, the Cargo.lock of the workspace and of the two BPF programs, cargo. Out: what is
# wrong, and exit code 1. cargo-deny is built from crates.io into target/tools when it is not there
# (about a minute). Nothing is installed into the system. Without optimisation and debug info, because
# compiling it takes longer than all of its work.
set -eu
version=0.20.2
cd "$(dirname "$0")/.."
tools=${CARGO_TARGET_DIR:-target}/tools

if [ "$("$tools/bin/cargo-deny" --version 2>/dev/null)" != "cargo-deny $version" ]; then
    echo "release/deny.sh: building cargo-deny $version into $tools" >&2
    CARGO_PROFILE_DEV_DEBUG=false cargo install --quiet --locked --debug --no-track --force \
        --root "$tools" --target-dir "$tools/build" cargo-deny --version "$version"
    rm -rf "$tools/build"
fi

"$tools/bin/cargo-deny" --locked check --hide-inclusion-graph "$@"
# These use few of the allowed licences, and none of the versions that are skipped.
for program in probe-ebpf e2e/agent/ebpf; do
    "$tools/bin/cargo-deny" --locked --manifest-path "$program/Cargo.toml" --config deny.toml \
        check --hide-inclusion-graph --allow license-not-encountered --allow unmatched-skip \
        --allow unnecessary-skip "$@"
done

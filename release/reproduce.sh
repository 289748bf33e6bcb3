#!/bin/bash
# Builds the programs of the images once more, in another folder, with another umask and other file
# times, and compares the digests of both images: release/reproduce.sh [full]
#
# In: what `make images` has left in target. Out: each digest, and exit code 1 if the second build
# has another one.
#
# Without `full`, the crates that cargo has downloaded are not compiled again: our own crates and
# the BPF programs are, and everything is linked again. With `full`, everything is compiled again,
# with a home of cargo in another folder.
set -eu -o pipefail
cd "$(dirname "$0")/.."
here=$PWD
target=$(uname -m)-unknown-linux-gnu
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT

umask 077
second=$copy/a-folder-with-a-longer-name
mkdir -p "$second/target"
git ls-files -z | tar --null --files-from=- --create --file=- |
    tar --extract --no-same-permissions --directory="$second"
find "$second" -type f -exec touch --date=2001-01-01T00:00:00Z {} +

# The compiler for BPF, but not what it has compiled.
if [ -d target/bpf ]; then
    cp --archive --link target/bpf "$second/target/bpf"
    rm -rf "$second/target/bpf/build"
fi

case ${1:-} in
full)
    home=${CARGO_HOME:-$HOME/.cargo}
    mkdir -p "$copy/cargo"
    cp --archive --link "$home/registry" "$copy/cargo/registry"
    export CARGO_HOME=$copy/cargo
    ;;
'')
    ours='.*/(lib)?(lsm[-_]ready|node[-_]probe|operator-|e2e|tetragon-).*'
    for part in "$target/release" release; do
        mkdir -p "$second/target/$part"
        for folder in deps build .fingerprint; do
            from=target/$part/$folder to=$second/target/$part/$folder
            [ -d "$from" ] || continue
            cp --archive "$from" "$to"
            find "$to" -mindepth 1 -maxdepth 1 -regextype posix-extended -regex "$ours" \
                -exec rm -rf {} +
        done
    done
    ;;
*) echo "usage: $0 [full]" >&2; exit 64 ;;
esac

"$second/release/build.sh" --quiet -p lsm-ready-operator -p node-probe
unset CARGO_HOME
for program in operator node-probe; do
    if grep -aqF -e "$HOME/" -e "$copy" -e "$here" "$second/target/$target/release/$program"; then
        echo "release/reproduce.sh: $program names a folder of this machine" >&2
        exit 1
    fi
done
target/debug/rig image compare "$second/target/$target/release"

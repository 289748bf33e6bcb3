#!/bin/sh
# Builds Helm 3 and Helm 4, for the tests of who owns what after an upgrade: target/e2e/bin/{helm3,helm4}/helm
#
# In:  go.mod and go.sum beside this file; Go 1.25 or newer; Go's module proxy the first time. Both programs are called
#      helm, as Helm takes the name of its field manager from the program's.
# Out: the folder above both. About a minute and a half on two cores the first time, nothing when they are up to date.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
bin=${CARGO_TARGET_DIR:-$here/../../target}/e2e/bin
mkdir -p "$bin"
bin=$(CDPATH='' cd -- "$bin" && pwd)

exec 9>"$bin/.helm.lock"
flock 9
key=$(cat "$here/go.mod" "$here/go.sum" "$0" | sha256sum)
if [ "$(cat "$bin/.helm.key" 2>/dev/null)" != "$key" ]; then
    cd "$here"
    for major in 3 4; do
        echo "build.sh: building Helm $(go list -m -f '{{.Version}}' "helm.sh/helm/v$major")" >&2
        mkdir -p "$bin/helm$major"
        CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$bin/helm$major/helm" "helm.sh/helm/v$major/cmd/helm"
    done
    echo "$key" >"$bin/.helm.key"
fi
echo "$bin"

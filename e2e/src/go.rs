#!/bin/sh
# Builds the multi-call binary of Kubernetes and etcd: target/e2e/bin/cluster, with a link for each program's name.
#
# In:  main.go, go.mod and go.sum beside this file; Go 1.25 or newer; Go's module proxy the first time.
# Out: the path of the binary. Minutes the first time (about 4 on two cores), nothing when it is up to date.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
bin=${CARGO_TARGET_DIR:-$here/../../target}/e2e/bin
mkdir -p "$bin"
bin=$(CDPATH='' cd -- "$bin" && pwd)

exec 9>"$bin/.lock"
flock 9
key=$(cat "$here/main.go" "$here/go.mod" "$here/go.sum" "$0" | sha256sum)
if [ ! -x "$bin/cluster" ] || [ "$(cat "$bin/.key" 2>/dev/null)" != "$key" ]; then
    cd "$here"
    kubernetes=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
    echo "build.sh: building Kubernetes $kubernetes and etcd (minutes the first time)" >&2
    # Without a version of its own, Kubernetes calls itself v0.0.0-master, and nodes report that.
    minor=${kubernetes#v*.}
    version=k8s.io/component-base/version
    CGO_ENABLED=0 go build -trimpath -o "$bin/cluster.partial" -ldflags "-s -w -X $version.gitVersion=$kubernetes \
        -X $version.gitMajor=1 -X $version.gitMinor=${minor%.*} -X $version.gitTreeState=clean" .
    mv "$bin/cluster.partial" "$bin/cluster"
    for name in etcd kube-apiserver kube-controller-manager kube-proxy kube-scheduler kubectl kubelet; do
        ln -sf cluster "$bin/$name"
    done
    echo "$key" >"$bin/.key"
fi
echo "$bin/cluster"

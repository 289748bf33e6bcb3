#!/bin/bash
# Measures what users wait for and pay: the demonstration's time, latencies, writes at rest, memory. Writes
# target/bench/cluster.json. Expects ARCHIVES and target/debug/{cluster,bench} (`make bench` sees to both).
set -eu
cd "$(dirname "$0")/.."
cluster=target/debug/cluster
out=target/bench
mkdir -p $out
unset KEEP

echo "== the demonstration, with everything built"
begun=$SECONDS
e2e/demo.sh >$out/demo.txt
echo "demo_seconds $((SECONDS - begun)), limit 240"
sed -n 's/^== Install lsm-ready.*\[\([0-9]*\)s\]$/of which the cluster \1, limit 90/p' $out/demo.txt

echo "== the cluster, with the operator on this machine's node so that its memory can be read"
# shellcheck disable=SC2016 # the inner shell's own words
$cluster run --images "$ARCHIVES" -- bash -eu -c '
    kubectl cordon vm-lsm vm-nolsm >/dev/null
    kubectl apply -k config/default >/dev/null
    kubectl -n lsm-ready-system rollout status deployment/lsm-ready-operator daemonset/lsm-ready-probe --timeout=120s >/dev/null
    for node in host vm-lsm vm-nolsm; do
        kubectl wait --for=create lsmnode/$node --timeout=60s >/dev/null
        kubectl wait --for=jsonpath="{.status.evidence}" lsmnode/$node --timeout=60s >/dev/null
    done
    kubectl uncordon vm-lsm vm-nolsm >/dev/null
    target/debug/bench "$1"
' bench.sh $out/cluster.json

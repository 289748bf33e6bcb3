#!/bin/sh
# Writes a feature file for node-feature-discovery, from which its worker makes the node label
# feature.node.kubernetes.io/lsm-bpf with the value true, false or unknown. Run it on the host as
# root, after each boot and now and then, for example by lsm-bpf-feature.service beside it.
#
# In: NODE_PROBE (default: node-probe) and FEATURES, the folder of feature files (default: that of
# node-feature-discovery). Out: the file lsm-bpf in it.
#
# The label says what the node says about itself. Our own label cannot be set by a node; use that
# one where a workload has to be safe.
set -eu
features=${FEATURES:-/etc/kubernetes/node-feature-discovery/features.d}

code=0
"${NODE_PROBE:-node-probe}" check --require denied >/dev/null || code=$?
case $code in
0) value=true ;;
1) value=false ;;
*) value=unknown ;;
esac

# Written aside and renamed, so that the worker never reads half a file. It skips hidden files.
echo "lsm-bpf=$value" >"$features/.lsm-bpf"
mv "$features/.lsm-bpf" "$features/lsm-bpf"

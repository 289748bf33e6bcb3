#!/bin/bash
# The demonstration: a real three-node cluster finds out which of its nodes can deny through LSM BPF.
# KEEP=1 leaves the cluster up. Expects ARCHIVES and target/debug/cluster (`make demo` sees to both).
set -eu
cd "$(dirname "$0")/.."
cluster=target/debug/cluster
prefix=lsmready.node-restriction.kubernetes.io
lsm_with_bpf=landlock,lockdown,yama,bpf

bold=$([ -t 1 ] && printf '\033[1m' || true) plain=$([ -t 1 ] && printf '\033[0m' || true)
step() { printf '\n%s== %s%s  [%ds]\n' "$bold" "$*" "$plain" $SECONDS; }
say() { printf '%s\n' "$*"; }
quiet() { "$cluster" exec -- kubectl "$@" >/dev/null; }
kubectl() { "$cluster" exec -- kubectl "$@"; }
# Prints a command as one would type it, and its output.
show() {
    printf '%s$ %s%s\n' "$bold" "$*" "$plain"
    "$cluster" exec -- "$@"
}

finish() {
    status=$?
    trap - EXIT INT TERM
    if [ -n "${KEEP:-}" ]; then
        say "" "The cluster stays. To use it:" \
            "  target/debug/cluster exec -- kubectl get nodes     (or: exec -- bash)" "To end it: make cluster-down"
    else
        $cluster down >/dev/null 2>&1 || { say "demo.sh: make cluster-down did not succeed"; status=1; }
    fi
    exit $status
}
trap finish EXIT
trap 'exit 130' INT TERM

step "A cluster of three nodes: this machine's kernel, a VM with bpf in lsm=, a VM without"
$cluster up --nodes "host vm:lsm vm:nolsm" --images "$ARCHIVES"

step "Install lsm-ready: kubectl apply -k config/default"
quiet apply -k config/default
quiet -n lsm-ready-system rollout status deployment/lsm-ready-operator daemonset/lsm-ready-probe --timeout=120s
quiet wait --for=jsonpath='{.status.evidence}' lsmnode/host lsmnode/vm-lsm lsmnode/vm-nolsm --timeout=60s
say "Each node's probe loaded, attached and fired a program that denies one call of its own:"
show kubectl get lsmnodes
show kubectl get nodes -L $prefix/bpf

step "Tetragon, as release 1.3 deploys it: privileged, and without securityfs"
quiet apply -f e2e/demo/tetragon.yaml
quiet -n kube-system rollout status daemonset/tetragon --timeout=120s
say "Its agents read the list of LSMs, do not find it, and will refuse every LSM policy, on ready nodes too:"
show kubectl -n kube-system logs daemonset/tetragon
before=$(kubectl -n kube-system get daemonset tetragon -o yaml)

step "Apply an LsmPolicy"
say "$(sed 1d e2e/demo/policy.yaml)"
quiet apply -f e2e/demo/policy.yaml
quiet wait --for=condition=Ready lsmpolicy/enforce --timeout=120s
show kubectl get lsmpolicies
say "What changed at Tetragon's DaemonSet:"
diff <(grep -v -e resourceVersion -e generation <<<"$before" | sed '/^status:/,$d') \
    <(kubectl -n kube-system get daemonset tetragon -o yaml | grep -v -e resourceVersion -e generation | sed '/^status:/,$d') || true
say "It rolled out, and the agents see the list now:"
show kubectl -n kube-system logs daemonset/tetragon
show kubectl get lsmpolicy enforce -o 'jsonpath={range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{"\n"}{end}'

step "A pod that selects ready nodes lands on the one that is"
quiet apply -f e2e/demo/workload.yaml
quiet wait --for=condition=Ready pod/guarded --timeout=60s
show kubectl get pod guarded -o wide

step "The other two: why, and what to change"
show kubectl get lsmpolicy enforce -o 'jsonpath={range .status.reasons[*]}{.reason} on {.sample}{"\n"}  {.fix}{"\n"}{end}'
say "The kernel of host lists bpf, as its text sources say, and refuses LSM programs all the same:"
show kubectl get lsmnode host -o 'jsonpath={.status.lsms.active}{"\n"}{.status.reason}: {.status.message}{"\n"}'

step "Do what it says: reboot vm-nolsm with lsm=$lsm_with_bpf"
$cluster reboot vm-nolsm --lsm $lsm_with_bpf
quiet wait --for=jsonpath="{.metadata.labels.${prefix//./\\.}/policy\.enforce}"=ready node/vm-nolsm --timeout=120s
show kubectl get nodes -L $prefix/bpf -L $prefix/policy.enforce
show kubectl get lsmpolicies

step "Done"

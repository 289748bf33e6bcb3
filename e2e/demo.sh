#!/bin/bash
# The demonstration: a real three-node cluster finds out which of its nodes can deny through LSM
# BPF. KEEP=1 leaves the cluster up. Expects ARCHIVES, Helm, and rig and kubectl-lsm_ready in
# target/debug (`make demo` sees to all). Its last line is the path of the report that it wrote.
set -eu -o pipefail
cd "$(dirname "$0")/.."
rig=target/debug/rig
prefix=lsmready.node-restriction.kubernetes.io

bold=$([ -t 1 ] && printf '\033[1m' || true) plain=$([ -t 1 ] && printf '\033[0m' || true)
step() { printf '\n%s== %s%s  [%ds]\n' "$bold" "$*" "$plain" $SECONDS; }
say() { printf '%s\n' "$@"; }
quiet() { "$rig" cluster exec -- kubectl "$@" >/dev/null; }
# The plugin is not in the PATH here.
kubectl() {
    case $1 in
    lsm-ready) shift; "$rig" cluster exec -- target/debug/kubectl-lsm_ready "$@" ;;
    *) "$rig" cluster exec -- kubectl "$@" ;;
    esac
}
helm() { "$rig" cluster exec -- target/e2e/bin/helm4/helm "$@"; }
# Prints a command as one would type it, and its output.
show() {
    local word line=
    for word; do
        case $word in *[\ \{]*) line+=" '$word'" ;; *) line+=" $word" ;; esac
    done
    printf '%s$%s%s\n' "$bold" "$line" "$plain"
    "$@"
}

# Shows the log of that pod when it says whether the agent can load LSM policies.
show_log() {
    local deadline=$((SECONDS + 60))
    until kubectl -n kube-system logs "$1" | grep -q 'detected features'; do
        [ $SECONDS -lt $deadline ] || { say "demo.sh: $1 does not say what it found"; return 1; }
    done
    show kubectl -n kube-system logs "$1"
}

# The agent's pod on a node.
agent_on() {
    kubectl -n kube-system get pods -l app.kubernetes.io/name=tetragon --field-selector "spec.nodeName=$1" -o name
}

finish() {
    status=$?
    trap - EXIT INT TERM
    if [ -n "${KEEP:-}" ]; then
        say "" "The cluster stays. To use it:" \
            "  target/debug/rig cluster exec -- kubectl get nodes     (or: exec -- bash)" "To end it: make cluster-down"
    else
        $rig cluster down >/dev/null 2>&1 || { say "demo.sh: make cluster-down did not succeed"; status=1; }
    fi
    exit $status
}
trap finish EXIT
trap 'exit 130' INT TERM

step "A cluster of three nodes: this machine's kernel, a VM with bpf in lsm=, a VM without"
$rig cluster up --nodes "host vm:lsm vm:nolsm" --images "$ARCHIVES" >/dev/null

step "Install lsm-ready: helm install"
helm install lsm-ready charts/lsm-ready --namespace lsm-ready-system --create-namespace >/dev/null
quiet -n lsm-ready-system rollout status deployment/lsm-ready-operator daemonset/lsm-ready-probe --timeout=120s
for node in host vm-lsm vm-nolsm; do
    # Waiting for a field of what is not there yet would be an error.
    quiet wait --for=create lsmnode/$node --timeout=60s
    quiet wait --for=jsonpath='{.status.evidence}' lsmnode/$node --timeout=60s
done
say "Each node's probe loaded, attached and fired a program that denies one call of its own:"
show kubectl get lsmnodes
show kubectl get nodes -L $prefix/bpf
say "helm test waits until each node has a verdict:" \
    "$bold\$ helm test lsm-ready --namespace lsm-ready-system$plain"
helm test lsm-ready --namespace lsm-ready-system 2>&1 | sed -n 's/.*INFO \(.* have a verdict.*\)"$/\1/p'

step "Tetragon, as release 1.3 deploys it: privileged, and without securityfs"
quiet apply -f e2e/demo/tetragon.yaml
quiet -n kube-system rollout status daemonset/tetragon --timeout=120s
say "Its agents read the list of LSMs, do not find it, and will refuse every LSM policy, on ready nodes too:"
show_log "$(agent_on vm-lsm)"
before=$(kubectl -n kube-system get daemonset tetragon -o yaml)

step "Apply an LsmPolicy"
say "$(sed 1d e2e/demo/policy.yaml)"
quiet apply -f e2e/demo/policy.yaml
quiet wait --for=jsonpath='{.metadata.labels.lsmready\.io/securityfs}'=mounted -n kube-system daemonset/tetragon --timeout=60s
say "What has changed at Tetragon's DaemonSet:"
diff <(grep -v -e resourceVersion -e generation <<<"$before" | sed '/^status:/,$d') \
    <(kubectl -n kube-system get daemonset tetragon -o yaml | grep -v -e resourceVersion -e generation | sed '/^status:/,$d') || true
say "It rolls out by its own update strategy, and the agents see the list now:"
show kubectl -n kube-system rollout status daemonset/tetragon --timeout=120s
show_log "$(agent_on vm-lsm)"
quiet wait --for=condition=Ready lsmpolicy/enforce --timeout=60s
show kubectl get lsmpolicies
show kubectl get lsmpolicy enforce -o 'jsonpath={range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{"\n"}{end}'

step "A pod that selects ready nodes lands on the one that is"
quiet apply -f e2e/demo/workload.yaml
quiet wait --for=condition=Ready pod/guarded --timeout=60s
show kubectl get pod guarded -o wide

step "The other two: what would an LSM program on file_open do there, and what to change"
# The exit code says that not every node is protected.
show kubectl lsm-ready drill file_open || [ $? = 1 ]
say "The kernel of host lists bpf and refuses LSM programs all the same. The agent there is refused too, and does not say why:"
show_log "$(agent_on host)"
show kubectl lsm-ready why host || [ $? = 1 ]
say "Kubernetes' own view of a node says the same:"
show kubectl get node vm-nolsm -o 'jsonpath={.spec.taints[*].key}{"\n"}{.status.conditions[?(@.type=="lsmready.io/LsmBpfReady")].reason}{"\n"}'

lsm=$(kubectl get lsmnode vm-nolsm -o 'jsonpath={.status.fix}' | sed -n 's/^Boot with lsm=\([^ ]*\).*/\1/p')
step "Do what it says: reboot vm-nolsm with lsm=$lsm"
$rig cluster reboot vm-nolsm --lsm "$lsm" >/dev/null
quiet wait --for=jsonpath="{.metadata.labels.${prefix//./\\.}/policy\.enforce}"=ready node/vm-nolsm --timeout=120s
quiet wait --for=jsonpath='{.status.nodes.ready}'=2 lsmpolicy/enforce --timeout=60s
show kubectl get nodes -L $prefix/bpf -L $prefix/policy.enforce

report=$PWD/target/demo/report.html
mkdir -p "${report%/*}"
kubectl lsm-ready report -o html >"$report"
show kubectl lsm-ready status || [ $? = 1 ]

step "Done. The fleet as a page for your browser:"
say "$report"

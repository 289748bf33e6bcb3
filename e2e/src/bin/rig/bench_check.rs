#!/bin/bash
# What a check costs, in a virtual machine: beside a bare loader that climbs the same rungs, and what an attached canary
# costs other processes' prctl. Writes target/bench/check.json. Expects the static node-probe and its example `bare`.
set -eu
cd "$(dirname "$0")/.."
static=target/$(uname -m)-unknown-linux-gnu/release
out=target/bench
mkdir -p $out
kernel=$(e2e/kernels.sh 6.12)

# shellcheck disable=SC2016 # the guest's own words
target/debug/vm --kernel "$kernel/vmlinuz" --append lsm=landlock,bpf --file "$static/node-probe=/bin/node-probe" \
    --file "$static/examples/bare=/bin/bare" -- sh -c '
    five() { for i in 1 2 3 4 5; do "$@" >/dev/null || exit 1; done; }
    now() { cut -d " " -f 1 /proc/uptime; }
    five node-probe check; five bare once
    for round in 1 2 3 4; do
        begun=$(now); five node-probe check; echo check "$begun" "$(now)"
        begun=$(now); five bare once; echo bare "$begun" "$(now)"
    done
    echo prctl "$(bare prctl)"
    node-probe check -o json >/tmp/report; echo duration "$(grep duration_ms /tmp/report)"
' >$out/check.txt

awk '
    $1 == "check" { check += $3 - $2; runs += 5 }
    $1 == "bare" { bare += $3 - $2 }
    $1 == "prctl" { sub("prctl ", ""); prctl = $0 }
    END {
        printf "{\"check_ms\": %d, \"bare_ms\": %d, \"ratio\": %.2f, \"runs\": %d, \"prctl\": %s}\n",
            1000 * check / runs, 1000 * bare / runs, check / bare, runs, prctl
    }' $out/check.txt >$out/check.json
cat $out/check.json
echo "ratio limit 1.5"

#!/bin/bash
# Runs the test tiers one after the other, announces and times each. A tier that fails or cannot run
# fails the whole run. A tier in SKIP is printed as skipped, at its place and in the summary.
#
# Some tiers wait now and then. Beside them runs what needs processors only, with those that they
# leave: from the first tier on the build of the release programs, which later tiers need, and from
# the kernel tier on the simulation, whose output is printed at its place.
set -u
cd "$(dirname "$0")/.."
tiers='lint unit fake-api api monitoring report scale kernel cluster simulation'
for name in ${SKIP:-}; do
    [[ " $tiers " == *" $name "* ]] || { echo "test.sh: invalid tier \"$name\" in SKIP: use some of $tiers" >&2; exit 64; }
done

results=() passed=0 failed=0 skipped=0 static= simulation=
log=$(mktemp)
# What was begun is ended in order.
trap 'wait; rm -f "$log"' EXIT
is_skipped() { [[ " ${SKIP:-} " == *" $1 "* ]]; }
beside() { nice -n 19 make --no-print-directory "$1" & }

start_beside() {
    case $1 in
    # If it fails, the tier that needs the programs fails too, and says why.
    lint | unit | fake-api | api | monitoring | report)
        if [ -z "$static" ] && ! is_skipped scale; then
            beside static >/dev/null 2>&1
            static=$!
        fi
        ;;
    kernel | cluster)
        if [ -z "$simulation" ] && ! is_skipped simulation; then
            beside test-simulation >"$log" 2>&1
            simulation=$!
        fi
        ;;
    esac
}

run() {
    if [[ $1 = simulation && -n $simulation ]]; then
        wait "$simulation"
        code=$?
        simulation=
        cat "$log"
        return $code
    fi
    make --no-print-directory "test-$1"
}

# Everything is built once here: what serves to build it again quickly, or to debug it, takes time.
# A test that fails says all the same in which line.
export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=false
# First, because two cannot install packages, or the toolchain of rust-toolchain.toml, at once.
make --no-print-directory prerequisites && cargo --version >/dev/null || exit 1
for tier in $tiers; do
    if is_skipped "$tier"; then
        echo "=== tier $tier: skipped, because it is in SKIP"
        results+=("$tier skipped")
        skipped=$((skipped + 1))
        continue
    fi
    # After a failure only what runs already is waited for.
    [ $failed = 0 ] || [[ $tier = simulation && -n $simulation ]] || continue
    [ $failed = 1 ] || start_beside "$tier"
    echo "=== tier $tier"
    begun=$SECONDS
    if run "$tier"; then
        outcome=passed
        passed=$((passed + 1))
    else
        outcome=FAILED
        failed=$((failed + 1))
    fi
    results+=("$tier $outcome in $((SECONDS - begun)) s")
    echo "=== tier $tier: $outcome in $((SECONDS - begun)) s"
done
echo
printf '%s\n' "${results[@]}"
echo "tiers: $passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]

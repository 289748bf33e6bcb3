#!/bin/bash
# Runs the test tiers one after the other, announces and times each. A tier that fails or cannot run
# fails the whole run. A tier in SKIP is printed as skipped, at its place and in the summary.
#
# The simulation has a time of its own, and the tetragon tier mostly waits. So the simulation is
# built and run beside it, with the processors that it leaves. Its output is printed at its end.
set -u
cd "$(dirname "$0")/.."
tiers='lint unit fake-api api monitoring report scale kernel cluster tetragon simulation'
for name in ${SKIP:-}; do
    [[ " $tiers " == *" $name "* ]] || { echo "test.sh: invalid tier \"$name\" in SKIP: use some of $tiers" >&2; exit 64; }
done

results=() passed=0 failed=0 skipped=0 simulation=
log=$(mktemp)
trap 'rm -f "$log"' EXIT
is_skipped() { [[ " ${SKIP:-} " == *" $1 "* ]]; }

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

for tier in $tiers; do
    if is_skipped "$tier"; then
        echo "=== tier $tier: skipped, because it is in SKIP"
        results+=("$tier skipped")
        skipped=$((skipped + 1))
        continue
    fi
    if [ "$tier" = tetragon ] && [ $failed = 0 ] && ! is_skipped simulation; then
        nice -n 19 make --no-print-directory test-simulation >"$log" 2>&1 &
        simulation=$!
    fi
    # After a failure only what runs already is waited for.
    [ $failed = 0 ] || [[ $tier = simulation && -n $simulation ]] || continue
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

#!/bin/bash
# Runs the test tiers one after the other, announces and times each. A tier that fails or cannot run
# fails the whole run. A tier in SKIP is printed as skipped, at its place and in the summary.
set -u
cd "$(dirname "$0")/.."
tiers='lint unit fake-api simulation api monitoring report scale kernel cluster tetragon'
for name in ${SKIP:-}; do
    [[ " $tiers " == *" $name "* ]] || { echo "test.sh: invalid tier \"$name\" in SKIP: use some of $tiers" >&2; exit 64; }
done

results=() passed=0 failed=0 skipped=0
for tier in $tiers; do
    if [[ " ${SKIP:-} " == *" $tier "* ]]; then
        echo "=== tier $tier: skipped, because it is in SKIP"
        results+=("$tier skipped")
        skipped=$((skipped + 1))
        continue
    fi
    echo "=== tier $tier"
    begun=$SECONDS
    if make --no-print-directory "test-$tier"; then
        outcome=passed
        passed=$((passed + 1))
    else
        outcome=FAILED
        failed=$((failed + 1))
    fi
    results+=("$tier $outcome in $((SECONDS - begun)) s")
    echo "=== tier $tier: $outcome in $((SECONDS - begun)) s"
    [ $outcome = passed ] || break
done
echo
printf '%s\n' "${results[@]}"
echo "tiers: $passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]

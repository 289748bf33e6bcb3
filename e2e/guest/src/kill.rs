# Kills checks, and then agents, and says what is left of them: kill.sh KILLS SEED
#
# Three lines of JSON: one check killed while its canary was attached, checks killed at random moments, and half as many
# agents. A check may take minutes where the processor is emulated on a busy machine. Each program ends when what it killed
# is gone from the kernel, so that the next begins with nothing on its way out.
#
# A kernel to which nothing can be attached leaves a line that says so, and is no reason to stop.
check='/bin/node-probe check --deadline 4m'
begun=$(date +%s)
kill_while_attached $check || [ $? = 1 ] || exit
# Several checks' time: this one was traced.
seconds=$((2 * ($(date +%s) - begun + 1)))
kill_at_random "$1" "$2" $check || exit

# The agents have api.sh for an API server, which has forgotten all when one starts, so that each of them tries the hooks.
# They are told to end after some checks, and are killed before that.
ip link set lo up
nc -ll -p 8080 -e /bin/api.sh &
export KUBECONFIG=/bin/kubeconfig
agent='/bin/node-probe agent --node-name n1 --check-interval 2s'
kill_at_random $(($1 / 2)) "$2" /bin/busybox sh -c "rm -f /tmp/object-*; exec /bin/busybox timeout $seconds $agent"
code=$?
kill $!
exit $code

# Kills checks, and then agents, and says what is left of them: kill.sh KILLS SEED
#
# Three lines of JSON: one check killed while its canary was attached, checks killed at random moments, agents likewise.
# The agents have api.sh for an API server. Each is told to end after some seconds, in which it checks twice and more, and
# is killed before that. A check may take minutes where the processor is emulated on a busy machine.
check='/bin/node-probe check --deadline 4m'
kill_while_attached $check || exit
kill_at_random "$1" "$2" $check || exit

ip link set lo up
nc -ll -p 8080 -e /bin/api.sh &
cat >/tmp/kubeconfig <<'E'
apiVersion: v1
kind: Config
current-context: it
contexts: [{name: it, context: {cluster: it, user: it}}]
clusters: [{name: it, cluster: {server: "http://127.0.0.1:8080"}}]
users: [{name: it, user: {}}]
E
export KUBECONFIG=/tmp/kubeconfig
kill_at_random "$1" "$2" /bin/busybox timeout 6 /bin/node-probe agent --node-name n1 --check-interval 2s
code=$?
kill $!
exit $code

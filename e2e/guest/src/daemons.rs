# Two agents, one after the other in the same boot, against api.sh; prints what each of them asked for. Each is ended at
# its second check after the first agent's profile was named, or after a minute.
ip link set lo up
nc -ll -p 8080 -e /bin/api.sh &
export KUBECONFIG=/bin/kubeconfig

checks_at_rest() { grep -A99 "$1" /tmp/requests | grep -c "^GET /api/v1/nodes/n1"; }

agent() {
    : >/tmp/requests
    node-probe agent --node-name n1 --check-interval 2s >&2 &
    looks=0
    until [ "$(checks_at_rest "$1")" -ge 2 ] || [ $looks = 60 ]; do
        sleep 1
        looks=$((looks + 1))
    done
    echo "agent"
    cat /tmp/requests
    echo "kilobytes $(awk '/VmHWM/ {print $2}' /proc/$!/status)"
    kill $! && wait $!
}

agent 'PATCH.*/status [0-9a-f]'
agent 'GET.*/lsmhookprofiles/'

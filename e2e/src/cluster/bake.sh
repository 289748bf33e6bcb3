# Imports image archives into an empty containerd, at this machine's speed: `sh bake.sh WORK
# ARCHIVE…`.
#
# In: WORK/containerd.toml, whose root is WORK/root. Out: WORK/root as containerd leaves it. Runs in
# a mount namespace of its own, so that the socket and the mounts that unpack an image end with it.
set -eu
work=$1
shift
mount -t tmpfs -o mode=755 tmpfs /run
containerd --config "$work/containerd.toml" >"$work/containerd.log" 2>&1 &
containerd=$!
trap 'kill $containerd; wait $containerd || true' EXIT
tries=300
until ctr version >/dev/null 2>&1; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] && kill -0 $containerd || { tail -n 5 "$work/containerd.log" >&2; exit 1; }
    sleep 0.1
done
for archive; do
    ctr --namespace=k8s.io images import "$archive" >/dev/null
done

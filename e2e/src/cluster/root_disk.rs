#!/bin/sh
# Builds what nodes in virtual machines boot from: e2e/guest/build.sh KERNEL_DIR KUBELET
#
# In:  a kernel as e2e/kernels.sh leaves it, the multi-call binary, and programs of this machine: busybox, containerd,
#      runc, CNI plugins, mount.
# Out: target/e2e/guest/{initrd,root.img}; the root is read-only and the same for every node. A few seconds, nothing
#      when the inputs are the same.
set -eu

kernel=$1 kubelet=$2
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
out=${CARGO_TARGET_DIR:-$here/../../target}/e2e/guest
modules='virtio_blk virtio_net overlay bridge veth'
programs='containerd containerd-shim-runc-v2 runc ctr mount umount'
plugins='/usr/lib/cni/bridge /usr/lib/cni/host-local /usr/lib/cni/loopback'
PATH=$PATH:/sbin:/usr/sbin

# where PROGRAM…: their paths. The shell's own command -v takes only one.
where() {
    for name; do
        command -v "$name" || { echo "build.sh: no $name here; run e2e/prerequisites.sh" >&2; return 1; }
    done
}
# shellcheck disable=SC2086 # lists of names without blanks
files="$(where busybox $programs) $plugins"

mkdir -p "$out"
exec 9>"$out/.lock"
flock 9
release=$(cat "$kernel/release")
# shellcheck disable=SC2086
key=$({
    cat "$here/build.sh" "$here/init" "$here/initrd-init"
    stat -L -c '%n %s %Y' "$kernel/vmlinuz" "$kubelet" $files
} | sha256sum)
[ "$(cat "$out/.key" 2>/dev/null)" = "$key" ] && exit 0
echo "build.sh: building the disk of the virtual machines" >&2

work=$out/.partial
rm -rf "$work"
mkdir -p "$work"
trap 'rm -rf "$work"' EXIT

# The first ramdisk: busybox and the modules, unpacked, in the order in which they must be loaded.
ird=$work/initrd
mkdir -p "$ird/bin" "$ird/dev" "$ird/new" "$ird/modules"
cp "$(command -v busybox)" "$ird/bin/busybox"
install -m 755 "$here/initrd-init" "$ird/init"
for module in $modules; do
    modprobe -d "$kernel/modules" -S "$release" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ {print $2}' | while read -r file; do
    name=${file##*/}
    name=${name%%.ko*}.ko
    case $file in
    *.xz) xz -dc "$file" ;;
    *.zst) zstd -dcq "$file" ;;
    *) cat "$file" ;;
    esac >"$ird/modules/$name"
    echo "$name" >>"$ird/modules/order"
done
(cd "$ird" && find . | LC_ALL=C sort | cpio -o -H newc --quiet) >"$work/initrd.cpio"

# The root: busybox, and programs with the libraries they are linked to.
root=$work/root
for folder in bin sbin usr/bin usr/sbin usr/lib/cni etc proc sys dev run tmp var root opt lib lib64 mnt; do
    mkdir -p "$root/$folder"
done
cp "$(command -v busybox)" "$root/bin/busybox"
for applet in $(busybox --list); do
    case $applet in busybox | mount | umount) ;; *) ln -s /bin/busybox "$root/bin/$applet" ;; esac
done
add() {
    for file; do
        mkdir -p "$root${file%/*}"
        cp -L "$file" "$root$file"
        ldd "$file" 2>/dev/null | grep -oE '/[^ ]+\.so[^ ]*' | while read -r library; do
            mkdir -p "$root${library%/*}"
            [ -e "$root$library" ] || cp -L "$library" "$root$library"
        done
    done
}
# shellcheck disable=SC2086
add $files
cp "$kubelet" "$root/usr/bin/kubelet"
install -m 755 "$here/init" "$root/init"
echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"
echo '127.0.0.1 localhost' >"$root/etc/hosts"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
: >"$root/etc/resolv.conf"
ln -s /var/node/machine-id "$root/etc/machine-id"
cat >"$root/etc/os-release" <<'E'
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
VERSION="12 (bookworm)"
VERSION_CODENAME=bookworm
ID=debian
E
size=$(du -sm "$root" | cut -f 1)
mke2fs -q -t ext4 -O ^has_journal -m 0 -d "$root" "$work/root.img" "$((size + size / 8 + 32))M"

mv "$work/initrd.cpio" "$out/initrd"
mv "$work/root.img" "$out/root.img"
echo "$key" >"$out/.key"

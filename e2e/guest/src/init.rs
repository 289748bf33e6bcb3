#!/bin/busybox sh
# The first program of a virtual machine: loads the drivers of its disks and changes to the root on the first of them.
# The second is the node's own, the third holds containerd's images.
/bin/busybox mount -t devtmpfs devtmpfs /dev
for module in $(/bin/busybox cat /modules/order); do
    /bin/busybox insmod "/modules/$module" || /bin/busybox echo "initrd: insmod $module failed"
done
/bin/busybox mount -t ext4 -o ro,noload /dev/vda /new &&
    /bin/busybox mount -t ext4 /dev/vdb /new/var &&
    /bin/busybox mount -t ext4 /dev/vdc /new/var/lib/containerd ||
    { /bin/busybox echo "initrd: no root"; /bin/busybox poweroff -f; }
/bin/busybox mount --move /dev /new/dev
exec /bin/busybox switch_root /new /init

#!/bin/sh
# The machine's program number one: mounts what every Linux has, plays the stages, and goes.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 HOME=/root
mount -t proc none /proc
mount -t sysfs none /sys
mount -t tmpfs none /run
mount -t tmpfs none /tmp
ln -s /proc/self/fd /dev/fd
mount -t cgroup2 none /sys/fs/cgroup
mkdir -p /dev/pts /dev/net && mount -t devpts none /dev/pts
modprobe tun
hostname box
# What the host has in its own files is not this machine's.
for folder in /etc/sparelink /etc/wireguard /var/lib/sparelink; do
    rm -rf "$folder" && mkdir -p "$folder"
done
echo 1 >/proc/sys/kernel/printk
case " $(cat /proc/cmdline) " in *" stages="*) python3 /vm/guest/main.py ;; esac
sync
echo o >/proc/sysrq-trigger
while :; do :; done

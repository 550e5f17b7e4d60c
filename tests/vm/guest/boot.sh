#!/bin/sh
# The machine's program number one where systemd is not: mounts what every Linux has, plays the stages, and goes.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
mount -t proc none /proc
mount -t sysfs none /sys
mount -t tmpfs none /run
mount -t tmpfs none /tmp
mkdir -p /dev/pts && mount -t devpts none /dev/pts
mount -t cgroup2 none /sys/fs/cgroup
mount -t debugfs none /sys/kernel/debug
mount -t tracefs none /sys/kernel/tracing
modprobe -a configfs leds-gpio ledtrig-timer ledtrig-pattern ledtrig-netdev
mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config
echo 1 >/proc/sys/kernel/printk
python3 /vm/guest/main.py
sync
echo o >/proc/sysrq-trigger
sleep 60

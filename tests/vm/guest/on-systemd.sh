#!/bin/sh
# What the machine's own service runs where systemd is: the stages, and then the end.
export LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 DEBIAN_FRONTEND=noninteractive
mount -t debugfs none /sys/kernel/debug 2>/dev/null
python3 /vm/guest/main.py
journalctl -o short-monotonic >/vm/logs/journal.log
sync
echo o >/proc/sysrq-trigger

#!/bin/sh
# What busybox's DHCP client calls: the address, and a default route with the metric of the interface's kind.
case "$1" in
    deconfig)
        ip addr flush dev "$interface"
        ip link set "$interface" up
        ;;
    bound | renew)
        ip addr replace "$ip/$mask" dev "$interface"
        ip route replace default via "$router" dev "$interface" metric "$METRIC"
        ;;
esac

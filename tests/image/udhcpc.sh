#!/bin/sh
# What the LAN's device does with an address that it is given.
# shellcheck disable=SC2154 # by udhcpc
case "$1" in
    bound | renew)
        ip address flush dev "$interface"
        ip address add "$ip/$mask" dev "$interface"
        ip route replace default via "$router" dev "$interface"
        ;;
esac

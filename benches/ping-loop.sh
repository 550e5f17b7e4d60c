#!/bin/sh
# The loop that people write first: ping through each uplink, take the first that answers.
# usage: ping-loop.sh IF1 GATEWAY1 IF2 GATEWAY2 …
while :; do
    best=
    all=$*
    while [ $# -gt 0 ]; do
        eval "misses=\${misses_$1:-0}"
        if ping -c1 -W1 -I "$1" 1.1.1.1 >/dev/null 2>&1; then misses=0; else misses=$((misses + 1)); fi
        eval "misses_$1=$misses"
        if [ -z "$best" ] && [ "$misses" -lt 3 ]; then best=$1 gateway=$2; fi
        shift 2
    done
    if [ -n "$best" ] && [ "$best" != "$now" ]; then
        ip route replace default via "$gateway" dev "$best" metric 50 && now=$best
    fi
    set -- $all
    sleep 1
done

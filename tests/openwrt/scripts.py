"""What shellcheck says of the packages' scripts."""

import shutil
import subprocess

from harness import OPENWRT, Skipped, ensure, same, test


def scripts():
    for file in sorted(OPENWRT.rglob("*")):
        if file.is_file() and "luci-static" not in file.parts:
            first = file.read_bytes()[:40].split(b"\n")[0]
            # What led-trigger reads is no program of its own.
            if first.startswith(b"#!/bin/sh") or file.parent.name in ("led-trigger", "scripts"):
                yield file


@test
def scripts_have_nothing_that_shellcheck_finds():
    program = shutil.which("shellcheck")
    if program is None:
        raise Skipped("shellcheck is missing: apt-get install shellcheck")
    seen = list(scripts())
    ensure(len(seen) >= 8, f"only {seen}")
    # What OpenWrt's own files define, set and call it cannot follow; its shell has `local`.
    flags = ["--shell=dash", "--exclude=SC1090,SC1091,SC2154,SC2317,SC3043"]
    done = subprocess.run([program, *flags, *seen], capture_output=True, text=True)
    same((done.returncode, done.stdout), (0, ""), "shellcheck")
    done = subprocess.run([program, *flags, "-"], input="echo $1\n", capture_output=True, text=True)
    ensure("SC2086" in done.stdout, "control: it finds a variable without quotes")

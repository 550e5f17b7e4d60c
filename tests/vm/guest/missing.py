"""Kernels that lack a part: its module is taken out, and modprobe told not to find it."""

import contextlib
import os

from tools import Failed, run, text, write

CONFIG = "/etc/modprobe.d/without.conf"


@contextlib.contextmanager
def without(module):
    if loaded(module):
        run(f"rmmod {module}")
    write(CONFIG, f"install {module} /bin/false\n")
    try:
        yield
        if loaded(module):
            raise Failed(f"{module} was there after all")
    finally:
        os.remove(CONFIG)


def loaded(module):
    return any(line.split()[0] == module for line in text("lsmod").splitlines())

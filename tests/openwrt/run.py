#!/usr/bin/env python3
"""Usage: run.py [WORD...]. Tests the OpenWrt package without an OpenWrt: its scripts run under busybox between stand-ins, and
packages are made of small stand-ins for the program. With words, only tests with one of them in their names."""

import sys

# Nothing is left in the folder.
sys.dont_write_bytecode = True

import defaults  # noqa: E402,F401
import init  # noqa: E402,F401
import ipk  # noqa: E402,F401
import making  # noqa: E402,F401
import scripts  # noqa: E402,F401
import upgrade  # noqa: E402,F401
import harness  # noqa: E402

harness.main()

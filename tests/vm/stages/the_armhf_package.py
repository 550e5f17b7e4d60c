"""The 32-bit package on the same 64-bit kernel, as on a Raspberry Pi OS of old."""

from agent import at_peace
from service import begin, install, package, pid, status_of
from tools import ensure, text


def play(world):
    text("dpkg -P sparelink")
    install(package("armhf"))
    begin()
    at_peace()
    with open(f"/proc/{pid()}/exe", "rb") as program:
        ensure(program.read(5)[4] == 1, "it is not a 32-bit program")
    return f"runs, {status_of(pid(), 'VmRSS')[0]} kB resident"

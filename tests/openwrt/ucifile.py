"""Reads OpenWrt's language as far as the package's own file has it, and what the agent understands of it."""

import re
import shlex

from harness import REPOSITORY


def sections(text):
    """Sections in their order: type, name, and a list of (`option` or `list`, key, value)."""
    found = []
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        if words[0] == "config":
            found.append((words[1], words[2] if len(words) > 2 else "", []))
        else:
            word, key, value = words
            found[-1][2].append((word, key, value))
    return found


def uncommented(text):
    """The file with every example in it taken for what it is an example of."""
    return re.sub(r"^#(?=config |\t)", "", text, flags=re.MULTILINE)


def known():
    """Types of sections and their keys, as the agent's own table has them: name to whether it may be a list."""
    source = (REPOSITORY / "src/config/openwrt/keys.rs").read_text()
    several = ("List", "Addresses", "Elsewhere")
    tables = {
        name: {key: form in several for key, form in re.findall(r'Key\("(\w+)", .*?, (\w+)(?:\(|\))', body)}
        for name, body in re.findall(r"const (\w+): &\[Key\] = &\[\n(.*?)\n\];", source, re.DOTALL)
    }
    names = re.findall(r'\("(\w+)", ([A-Z]+), (?:None|Some)', source)
    return {name: tables[table] for name, table in names}


def mistakes(text):
    """What the agent would not understand."""
    found, table, count = [], known(), {}
    for kind, name, entries in sections(text):
        count[kind] = count.get(kind, 0) + 1
        if kind not in table:
            found.append(f"section {kind}")
            continue
        for word, key, _ in entries:
            if key not in table[kind]:
                found.append(f"{kind}.{key}")
            elif word == "list" and not table[kind][key]:
                found.append(f"{kind}.{key} is no list")
        if not re.fullmatch(r"[A-Za-z0-9_]*", name):
            found.append(f"name {name}")
    return found + [f"two sections {kind}" for kind in ("sparelink", "probe", "heartbeat") if count.get(kind, 0) > 1]

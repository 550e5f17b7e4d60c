"""Packages, made of small stand-ins for the program: what is in them, that they repeat, and what their scripts do."""

import functools
import gzip
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from box import a_box
from harness import HERE, OPENWRT, REPOSITORY, Skipped, ensure, folder, same, test

EPOCH = 1800000000
TARGETS = {
    "aarch64-unknown-linux-musl": 0xB7,
    "armv7-unknown-linux-musleabihf": 0x28,
    "x86_64-unknown-linux-musl": 0x3E,
}
ARCHITECTURES = """aarch64_generic aarch64_cortex-a53 aarch64_cortex-a72 aarch64_cortex-a76 arm_cortex-a5_vfpv4
arm_cortex-a7_neon-vfpv4 arm_cortex-a7_vfpv4 arm_cortex-a8_vfpv3 arm_cortex-a9_neon arm_cortex-a9_vfpv3-d16
arm_cortex-a15_neon-vfpv4 x86_64""".split()


def stand_in(machine, size=5000):
    """What an ELF file of this machine begins with, and so many bytes that cannot be packed."""
    body = b"".join(hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(size // 32))
    return b"\x7fELF" + bytes(14) + machine.to_bytes(2, "little") + body


def source(root, umask=0o022, sizes=None, luci=True):
    """A source tree with what `build` looks at, and programs."""
    before = os.umask(umask)
    try:
        shutil.copytree(OPENWRT, root / "packaging/openwrt", symlinks=True)
        for file in ("Cargo.toml", "CHANGELOG.md"):
            shutil.copyfile(REPOSITORY / file, root / file)
        if not luci:
            shutil.rmtree(root / "packaging/openwrt/luci-app-sparelink")
        for target, machine in TARGETS.items():
            file = root / "target/arm" / target / "sparelink-lite"
            file.parent.mkdir(parents=True)
            file.write_bytes(stand_in(machine, (sizes or {}).get(target, 5000)))
    finally:
        os.umask(before)


def build(root, *architectures, umask=0o022, path=None, **environment):
    """Runs it: exit code, and what it said."""
    variables = {"PATH": path or os.environ["PATH"], "PROGRAMS": "existing", "SOURCE_DATE_EPOCH": str(EPOCH), **environment}
    done = subprocess.run(
        [root / "packaging/openwrt/build", *architectures], env={name: str(value) for name, value in variables.items()},
        capture_output=True, text=True, cwd="/", umask=umask, timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


@functools.cache
def everything():
    """What is made for all architectures: the folder, and what was said. It stays until the tests are over."""
    root = tempfile.TemporaryDirectory(prefix="sparelink-openwrt-")
    source(Path(root.name))
    code, said = build(Path(root.name))
    same(code, 0, f"exit code: {said}")
    return root, Path(root.name) / "target/openwrt", said


def members(data):
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(data))) as tar:
        return [(member, tar.extractfile(member).read() if member.isfile() else b"") for member in tar]


def opened(file):
    """An ipk's two inner tars: data and control."""
    outer = members(file.read_bytes())
    same([member.name for member, _ in outer], ["./debian-binary", "./data.tar.gz", "./control.tar.gz"], "an ipk")
    same(outer[0][1], b"2.0\n", "debian-binary")
    for member, _ in outer:
        same((member.uid, member.gid, member.mode, member.mtime), (0, 0, 0o644, EPOCH), member.name)
    return members(outer[1][1]), members(outer[2][1])


def listed(inner):
    for member, _ in inner:
        same((member.uid, member.gid, member.uname, member.gname), (0, 0, "", ""), f"owner of {member.name}")
        same(member.mtime, EPOCH, f"time of {member.name}")
    return "".join(f"{member.mode:04o} {member.name}{'/' if member.isdir() else ''}\n" for member, _ in inner)


def fields(text):
    """A paragraph: its fields, the description as one text."""
    found, name = {}, None
    for line in text.splitlines():
        if line.startswith(" "):
            found[name] += "\n" + line
        else:
            name, value = line.split(": ", 1)
            found[name] = value
    return found


def version():
    lines = (REPOSITORY / "Cargo.toml").read_text().splitlines()
    return next(line.split('"')[1] for line in lines if line.startswith("version = ")) + "-r1"


def package(architecture, name="sparelink"):
    return everything()[1] / f"{name}_{version()}_{architecture}.ipk"


@test
def ipks_hold_what_they_shall():
    shall = (HERE / "ipk.txt").read_text()
    for architecture in ARCHITECTURES:
        data, control = opened(package(architecture))
        same(listed(data) + "control\n" + listed(control), shall, architecture)
        for member, content in data:
            if member.isfile() and member.name != "./usr/bin/sparelink":
                same(content, (OPENWRT / "files" / member.name).read_bytes(), member.name)
    made = sorted(file.name for file in everything()[1].glob("*.ipk"))
    luci = [f"luci-app-sparelink_{version()}_all.ipk"]
    same(made, sorted([f"sparelink_{version()}_{name}.ipk" for name in ARCHITECTURES] + luci), "packages")


@test
def ipks_have_the_program_of_their_processor():
    for architecture in ARCHITECTURES:
        machine = {"aarch64": 0xB7, "arm": 0x28, "x86": 0x3E}[architecture.split("_")[0]]
        data = {member.name: content for member, content in opened(package(architecture))[0]}
        same(data["./usr/bin/sparelink"], stand_in(machine), architecture)


@test
def ipks_control_says_what_opkg_asks():
    for architecture in ARCHITECTURES:
        data, control = opened(package(architecture))
        control = {member.name: content.decode() for member, content in control}
        told = fields(control["./control"])
        installed = sum(len(content) for _, content in data)
        description = told.pop("Description")
        same(told, {
            "Package": "sparelink",
            "Version": version(),
            "Depends": "kmod-nft-nat, kmod-nf-conntrack-netlink",
            "Source": "net/sparelink",
            "License": "MIT OR Apache-2.0",
            "Section": "net",
            "Require-User": "sparelink=8300:sparelink=8300",
            "Architecture": architecture,
            "Installed-Size": str(installed),
        }, architecture)
        ensure("\n" in description, "the description has more than one line")
        same(control["./conffiles"], "/etc/config/sparelink\n", "conffiles")
        for script in ("postinst", "prerm"):
            same(control[f"./{script}"], (OPENWRT / "scripts" / script).read_text(), script)


@test
def ipks_of_luci_go_where_luci_looks():
    data, control = opened(package("all", "luci-app-sparelink"))
    paths = {member.name: member for member, _ in data}
    for file in ("./www/luci-static/resources/view", "./usr/share/luci/menu.d", "./usr/share/rpcd/acl.d"):
        ensure(file in paths and paths[file].isdir(), file)
    listed(data)
    same(paths["./usr/libexec/rpcd/luci.sparelink"].mode, 0o755, "rpcd runs it")
    told = fields(next(content.decode() for member, content in control if member.name == "./control"))
    same((told["Architecture"], told["Depends"]), ("all", "sparelink, luci-base, rpcd"), "luci")


@test
def ipks_are_the_same_made_elsewhere():
    first = {file.name: file.read_bytes() for file in everything()[1].iterdir()}
    with folder() as root:
        other = root / "a folder elsewhere"
        other.mkdir()
        source(other, umask=0o077)
        code, said = build(other, umask=0o077)
        same(code, 0, said)
        second = {file.name: file.read_bytes() for file in (other / "target/openwrt").iterdir()}
        same(sorted(first), sorted(second), "files")
        for name, content in first.items():
            ensure(content == second[name], f"{name} differs")
        # And the control: another time gives other bytes.
        build(other, "x86_64", SOURCE_DATE_EPOCH=EPOCH + 1)
        file = package("x86_64")
        ensure(file.read_bytes() != (other / "target/openwrt" / file.name).read_bytes(), "the time is in it")


@test
def the_index_says_what_is_there():
    _, out, said = everything()
    text = (out / "Packages").read_text()
    same(gzip.decompress((out / "Packages.gz").read_bytes()).decode(), text, "Packages.gz")
    paragraphs = [fields(paragraph) for paragraph in text.strip().split("\n\n")]
    same([one["Architecture"] for one in paragraphs], [*ARCHITECTURES, "all"], "architectures")
    for one in paragraphs:
        content = (out / one["Filename"]).read_bytes()
        same((one["Size"], one["SHA256sum"]), (str(len(content)), hashlib.sha256(content).hexdigest()), one["Filename"])
        control = next(text for member, text in opened(out / one["Filename"])[1] if member.name == "./control")
        for name in ("Filename", "Size", "SHA256sum"):
            one.pop(name)
        same(one, fields(control.decode()), "the rest is what its control says")
    ensure("is not signed" in said and not (out / "Packages.sig").exists(), "unsigned, and it says so")


@test
def scripts_do_their_part_on_a_box_and_nothing_in_an_image():
    with a_box() as box:
        for name in ("postinst", "prerm"):
            box.take(OPENWRT / "scripts" / name, f"/{name}")
        # Stands for the init script, which is tested by itself.
        box.write("etc/init.d/sparelink", '#!/bin/sh\necho "service $*" >>/calls\n').chmod(0o755)
        install = ["killall -HUP ubusd", "default_postinst /postinst configure"]
        same(box.call("sh", "/postinst", "configure"), (0, "", install), "install")
        same(box.call("sh", "/prerm", "remove"), (0, "", ["service purge", "default_prerm /prerm remove"]), "remove")
        same(box.call("sh", "/prerm", "remove", PKG_UPGRADE="0")[2][0], "service purge", "opkg's word for no upgrade")
        same(box.call("sh", "/prerm", "upgrade", PKG_UPGRADE="1"), (0, "", []), "an upgrade")
        same(box.call("sh", "/postinst", IPKG_NO_SCRIPT="1"), (0, "", []), "no scripts are wanted")
        # In the root of an image, which another machine makes.
        box.take(HERE / "stubs/functions.sh", "/image/lib/functions.sh")
        same(box.call("sh", "/postinst", IPKG_INSTROOT="/image"), (0, "", ["default_postinst /postinst"]), "image")
        same(box.call("sh", "/prerm", IPKG_INSTROOT="/image"), (0, "", ["default_prerm /prerm"]), "image")
        same(box.call("sh", "/postinst", IPKG_INSTROOT="/nowhere"), (0, "", []), "no OpenWrt")
        # A purge that fails keeps nobody from removing it.
        box.write("etc/init.d/sparelink", "#!/bin/sh\nexit 1\n")
        same(box.call("sh", "/prerm", "remove")[0], 0, "a purge that fails")


@test
def shell_files_are_what_busybox_reads():
    shell = shutil.which("busybox")
    if shell is None:
        raise Skipped("busybox is missing: apt-get install busybox")
    files = [file for file in OPENWRT.rglob("*") if file.is_file() and "/feed/" not in str(file)]
    shells = [file for file in files if b"sh" in file.read_bytes().split(b"\n")[0] and file.read_bytes()[:2] == b"#!"]
    shells = [file for file in shells if b"bash" not in file.read_bytes().split(b"\n")[0]]
    shells += [OPENWRT / "files/usr/libexec/led-trigger/sparelink", *(HERE / "stubs").iterdir()]
    ensure(len(shells) >= 10, f"they are found: {shells}")
    for file in shells:
        done = subprocess.run([shell, "sh", "-n", file], capture_output=True, text=True)
        same((done.returncode, done.stderr), (0, ""), file.name)
    # And the control: a mistake is seen.
    ensure(subprocess.run([shell, "sh", "-n", "/dev/stdin"], input=b"if", capture_output=True).returncode != 0, "a mistake")

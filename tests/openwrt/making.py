"""How packages are made: signatures, limits, and what `build` says when it cannot."""

import base64
import os
import shutil
import subprocess

from harness import OPENWRT, Skipped, ensure, folder, same, test
from ipk import build, source, version

SECRET = "untrusted comment: signify secret key\n"


def key(rounds=0, algorithm=b"Ed"):
    """The shape of a secret key: what a test that signs nothing needs."""
    return SECRET + base64.b64encode(algorithm + b"BK" + rounds.to_bytes(4, "big") + bytes(24) + bytes(range(72))).decode() + "\n"


def refuses(root, *architectures, **environment):
    code, said = build(root, *architectures, **environment)
    same(code, 1, said)
    return said.strip().splitlines()[-1]


@test
def build_says_why_an_architecture_has_none():
    with folder() as root:
        source(root)
        for name, word in (
            ("mipsel_24kc", "no package for MIPS: the program would weigh 3.5 MB"),
            ("mips_24kc", "no package for MIPS"),
            ("arm_cortex-a9", "need not have floating point"),
            ("arm_cortex-a7", "need not have floating point"),
            ("arm_arm1176jzf-s_vfp", "ARMv6"),
            ("arm_xscale", "the program needs ARMv7"),
            ("riscv64_riscv64", "no program of ours is known"),
            ("aarch64", "no program of ours is known"),
            ("*", "no program of ours is known"),
        ):
            said = refuses(root, "x86_64", name)
            ensure(said.startswith(f"packaging/openwrt: {name}: ") and word in said, said)
            ensure(not (root / "target/openwrt").exists(), "nothing is made")
        code, said = build(root, "x86_64")
        same((code, (root / "target/openwrt/Packages").exists()), (0, True), said)


@test
def build_wants_the_right_programs():
    with folder() as root:
        source(root)
        lite = root / "target/arm/aarch64-unknown-linux-musl/sparelink-lite"
        shutil.copy(root / "target/arm/x86_64-unknown-linux-musl/sparelink-lite", lite)
        said = refuses(root, "aarch64_generic")
        ensure(said.endswith("sparelink-lite is not a program for aarch64"), said)
        lite.write_text("")
        refuses(root, "aarch64_generic")
        lite.unlink()
        said = refuses(root, "aarch64_generic")
        ensure("is missing: packaging/arm/build aarch64-unknown-linux-musl" in said, said)
        # Without one for x86_64 there is no package for it, and no complaint.
        source_of_another = root / "other"
        source(source_of_another)
        (source_of_another / "target/arm/x86_64-unknown-linux-musl/sparelink-lite").unlink()
        code, said = build(source_of_another)
        same((code, "x86_64" in said, "arm_cortex-a9_neon" in said), (0, False, True), said)


@test
def build_makes_the_programs_unless_they_are_given():
    with folder() as root:
        source(root)
        arm = root / "packaging/arm/build"
        arm.parent.mkdir(parents=True)
        arm.write_text('#!/bin/sh\necho "built $FLAVOURS: $*"\n')
        arm.chmod(0o755)
        code, said = build(root, "aarch64_generic", "arm_cortex-a9_neon", "aarch64_cortex-a53", PROGRAMS="")
        same(code, 0, said)
        ensure("built lite: aarch64-unknown-linux-musl armv7-unknown-linux-musleabihf\n" in said, said)
        ensure("built" not in build(root, "aarch64_generic")[1], "those that are there are taken")


@test
def build_holds_the_limits():
    with folder() as root:
        source(root, luci=False, sizes={"aarch64-unknown-linux-musl": 2100000, "armv7-unknown-linux-musleabihf": 2100000})
        code, said = build(root, "aarch64_generic")
        same(code, 0, said)
        ensure("bytes to load, 2200000 are allowed; " in said and " installed, 3400000 are allowed" in said, said)
        ensure("skipped: luci-app-sparelink" in said, said)
        ensure(refuses(root, "arm_cortex-a9_neon").endswith(".ipk is too big"), "what is loaded")
        # What can be packed is small to load, and as big as ever on flash.
        file = root / "target/arm/armv7-unknown-linux-musleabihf/sparelink-lite"
        file.write_bytes(file.read_bytes()[:1000] + bytes(2930000))
        ensure(refuses(root, "arm_cortex-a9_neon").endswith(".ipk is too big"), "what is installed")


@test
def build_says_what_is_wrong_with_a_key():
    with folder() as root:
        source(root)
        for text, word in (
            ("", "is no secret key of signify or usign"),
            ("ssh-ed25519 AAAA anna\n", "is no secret key of signify or usign"),
            (key(algorithm=b"Ec"), "is no secret key of signify or usign"),
            (key()[:-20], "is no secret key of signify or usign"),
            (key().replace(SECRET, "a comment\n"), "is no secret key of signify or usign"),
            (key(rounds=42), "has a password"),
        ):
            (root / "key").write_text(text)
            said = refuses(root, "x86_64", SPARELINK_USIGN_KEY=root / "key")
            ensure(word in said, said)
        said = refuses(root, "x86_64", SPARELINK_USIGN_KEY=root / "nothing")
        ensure("cannot be read" in said, said)
        ensure(not (root / "target/openwrt").exists(), "nothing is made")


@test
def build_signs_with_whom_there_is():
    with folder() as root:
        source(root)
        (root / "key").write_text(key())
        usual = root / "bin"
        usual.mkdir()
        tools = "awk base64 bash cat chmod cp cut dirname find grep gzip head install mkdir od rm sed sha256sum stat tar tr"
        for program in tools.split():
            (usual / program).symlink_to(shutil.which(program))
        said = refuses(root, "x86_64", SPARELINK_USIGN_KEY=root / "key", path=usual)
        ensure("signing needs signify-openbsd or usign" in said, said)
        (usual / "usign").write_text('#!/bin/bash\necho "$*" >"${@: -1}"\n')
        (usual / "usign").chmod(0o755)
        code, said = build(root, "x86_64", SPARELINK_USIGN_KEY=root / "key", path=usual)
        same(code, 0, said)
        ensure(said.endswith("Packages.sig: the public key is to be /etc/opkg/keys/0001020304050607 on a box\n"), said)
        signed = (root / "target/openwrt/Packages.sig").read_text()
        same(signed, f"-S -s {root}/key -m target/openwrt/Packages -x target/openwrt/Packages.sig\n", "usign")


@test
def signatures_are_right():
    signify = shutil.which("signify-openbsd")
    if signify is None:
        raise Skipped("signify-openbsd is missing: apt-get install signify-openbsd")
    with folder() as root:
        source(root)
        subprocess.run([signify, "-G", "-n", "-p", root / "key.pub", "-s", root / "key.sec"], check=True)
        code, said = build(root, "x86_64", SPARELINK_USIGN_KEY=root / "key.sec")
        same(code, 0, said)
        public = base64.b64decode((root / "key.pub").read_text().splitlines()[1])
        ensure(f"/etc/opkg/keys/{public[2:10].hex()} " in said, said)

        def is_right():
            words = [signify, "-V", "-q", "-p", root / "key.pub", "-m", out / "Packages", "-x", out / "Packages.sig"]
            return subprocess.run(words, capture_output=True).returncode == 0

        out = root / "target/openwrt"
        ensure(is_right(), "the signature")
        # And the control: of another index it is none.
        (out / "Packages").write_text((out / "Packages").read_text() + "\n")
        ensure(not is_right(), "a changed index")


@test
def the_index_has_no_length_that_an_older_usign_reckons_wrong():
    with folder() as root:
        source(root, luci=False)
        cargo = root / "Cargo.toml"
        text = cargo.read_text()
        own = next(line for line in text.splitlines() if line.startswith("version = "))

        def length(more):
            cargo.write_text(text.replace(own, f'{own[:-1]}{"1" * more}"', 1))
            same(build(root, "x86_64")[0], 0, "exit code")
            return (root / "target/openwrt/Packages").stat().st_size

        # A character more of the version is two of the index.
        plain = length(0)
        more = next(n for n in range(1, 65) if (64 + plain + 2 * n) % 128 in (110, 111))
        same(length(more), plain + 2 * more + 2, "two more")
        same(length(more - 1), plain + 2 * (more - 1), "and else none")


APK = """#!/bin/bash
[ "$1" != --version ] || { echo "apk-tools 3.0.1, compiled for x86_64."; exit; }
while [ $# -gt 0 ]; do
    case $1 in
        --output) touch "$2" ;;
        --files) cp -r "$2" "$APK_TRY/$(basename "$(dirname "$2")")" ;;
        --script) cp "${2#*:}" "$APK_TRY/${2%%:*}.$(basename "$(dirname "${2#*:}")")" ;;
        --info) echo "$2" >>"$APK_TRY/info" ;;
    esac
    shift
done
"""


@test
def apks_are_made_where_apk_tools_are():
    with folder() as root:
        source(root)
        ensure("skipped: *.apk (apk-tools 3 is missing" in build(root, "x86_64")[1], "said")
        if os.getuid() != 0 and shutil.which("fakeroot") is None:
            raise Skipped("for a user who is not root this needs fakeroot: apt-get install fakeroot")
        (root / "bin").mkdir()
        (root / "bin/apk").write_text(APK)
        (root / "bin/apk").chmod(0o755)
        path = f"{root}/bin:{os.environ['PATH']}"
        (root / "try").mkdir()
        code, said = build(root, "x86_64", "aarch64_generic", path=path, APK_TRY=root / "try")
        same(code, 0, said)
        made = sorted(file.name for file in (root / "target/openwrt").glob("*.apk"))
        ensure(len(made) == 3 and made[0].endswith("-noarch.apk"), made)
        info = (root / "try/info").read_text()
        for line in ("name:sparelink", "arch:aarch64_generic", "depends:kmod-nft-nat kmod-nf-conntrack-netlink"):
            ensure(f"{line}\n" in info, f"{line} in {info}")
        lists = root / "try/sparelink/lib/apk/packages"
        same((lists / "sparelink.rusers").read_text(), "sparelink=8300:sparelink=8300\n", "users")
        same((lists / "sparelink.conffiles").read_text(), "/etc/config/sparelink\n", "conffiles")
        ensure("/etc/init.d/sparelink\n" in (lists / "sparelink.list").read_text(), "the list")
        upgrade = (root / "try/post-upgrade.sparelink").read_text()
        same(upgrade.splitlines()[:3], [
            "#!/bin/sh", 'export pkgname=sparelink root="$IPKG_INSTROOT"', "export PKG_UPGRADE=1",
        ], "post-upgrade")
        ensure('add_group_and_user "$pkgname"\ndefault_postinst' in upgrade, "users are made before")


@test
def the_feed_names_what_build_packs():
    makefile = (OPENWRT / "feed/net/sparelink/Makefile").read_text()
    text = (OPENWRT / "build").read_text()
    number = version().removesuffix("-r1")
    for line in (f"PKG_VERSION:={number}\n", "PKG_RELEASE:=1\n", "/etc/config/sparelink\n", "--no-default-features"):
        ensure(line in makefile, line)
    user = next(line.split("=", 1)[1] for line in text.splitlines() if line.startswith("user="))
    ensure(f"USERID:={user}\n" in makefile, user)
    depends = next(line.split('"')[1] for line in text.splitlines() if line.startswith("depends="))
    for one in depends.split(", "):
        ensure(f"+{one}" in makefile, one)
    luci = OPENWRT / "feed/luci-app-sparelink"
    ensure("luci.mk" in (luci / "Makefile").read_text(), "luci.mk")
    for link in ("htdocs", "root"):
        same((luci / link).resolve(), OPENWRT / "luci-app-sparelink" / link, link)

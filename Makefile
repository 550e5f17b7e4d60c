# Two commands are enough: `make demo` shows it, `make test` proves it.
# Both set up what is missing, on Debian or its like, as root or through sudo.

# What the binary for routers may weigh at most, in bytes: 4.88 MB when this was set.
MAX_SIZE ?= 5000000

# A login shell may lack rustup's programs, and an ordinary user's those that only root looks for.
export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/sbin:/sbin

SPARELINK := target/debug/sparelink
# Router builds go to a folder of their own, so that the two do not replace each other.
ROUTER := target/router/release/sparelink
CLIPPY := cargo clippy --quiet --locked --all-targets
TEST := cargo test --locked --no-fail-fast
# Each step tells how long it took.
TIMED := .ci/timed

# Steps are told apart by name, and run one after the other.
.NOTPARALLEL:
.PHONY: help demo test test-all proof fuzz bench release dist dist-test arm deb deb-test openwrt openwrt-source image image-test vm vm-x86 clean \
        setup setup-tests setup-arm setup-deb setup-image setup-vm setup-vm-x86 fmt clippy builds unit computed waited \
        page openwrt-test picture vm-x86-short doc deny size soak

help:  ## print this text
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: setup  ## build it, and play the story: cables are severed, the home stays online
	@.ci/demo

test: setup-tests fmt clippy builds unit vm-x86-short page openwrt-test doc deny  ## run every check and test (some minutes)
	@echo "all is well"

# Tests that take long say so with #[ignore]; the simulation of 1,000 uplink-days is one.
test-all: UNIT_FLAGS = --include-ignored
test-all: export SPARELINK_STORIES = 2000
test-all: export SPARELINK_HARSH_STORIES = 1000000
test-all: setup-tests size test deb-test dist dist-test vm-x86 image-test  ## the long ones too (hours)

# Random faults on the real agent in the lab, in the same order for the same seed.
MINUTES ?= 3
SEED ?= $(shell date +%s)
export SPARELINK_SOAK_MINUTES = $(MINUTES)
export SPARELINK_SOAK_SEED = $(SEED)

soak: setup-tests  ## play random faults for MINUTES, with a SEED, and look whether every promise holds
	$(TEST) --test agent -- random_faults_break_no_promise

# Each part is kept when it ends; PARTS, STORIES, DAYS, MINUTES, FRAMES and SEED are said in .ci/proof.
proof: setup-tests  ## play the long proofs, and write docs/PROOF.md (half a day)
	@.ci/proof $(PARTS)

fuzz: setup-tests  ## look for bytes that do harm: RUNS of TARGET, or of each (see .ci/fuzz)
	@.ci/fuzz $(TARGET)

bench: setup-tests  ## measure what a LAN client sees, beside a ping loop
	cargo bench --locked --bench failover
	cargo bench --locked --bench forwarding

release: setup size  ## build the binary for routers, without the lab
	@echo $(ROUTER)

arm: setup-arm  ## build static binaries for ARM boxes: target/arm/TARGET/sparelink and sparelink-lite
	packaging/arm/build
	packaging/arm/try

dist: setup-deb  ## build all that is given away: dist/*.tar.gz, *.deb, apt, SHA256SUMS
	packaging/dist/build

dist-test: setup-deb  ## play the tarball in an empty root, and (as root) install from dist/apt with a real apt
	packaging/dist/test

deb: setup-deb  ## build Debian packages for arm64, armhf and amd64: target/deb/*.deb
	packaging/deb/build

deb-test: setup-deb  ## install, upgrade under traffic, remove and purge the package in a Debian root (as root)
	packaging/deb/build amd64
	DEB_NEXT=1 packaging/deb/build amd64
	packaging/deb/test/run

openwrt: setup-arm  ## build packages for OpenWrt, with LuCI's pages: target/openwrt/*.ipk
	packaging/openwrt/build

openwrt-source:  ## pack the source with its crates, for OpenWrt's SDK: target/openwrt/*-vendored.tar.gz
	packaging/openwrt/source

image: setup-deb setup-image  ## make a card for a Raspberry Pi: target/image/*.img.xz
	packaging/deb/build arm64
	packaging/image/build

image-test: image  ## boot that card in emulated machines, and cut the power 20 times (about an hour)
	DEB_NEXT=1 packaging/deb/build arm64
	tests/image/run

vm: setup-vm arm setup-deb  ## boot an ARM board with Wi-Fi, USB and LEDs, and play with it (10 minutes, and as many to build)
	packaging/deb/build arm64 armhf
	DEB_NEXT=1 packaging/deb/build arm64
	tests/vm/run

vm-x86: setup-vm-x86  ## boot an amd64 kernel, and play beside WireGuard, IPsec, Docker and others (40 minutes)
	cargo build --locked
	tests/vm-x86/run

# It stands in README.md: a page that looks different is committed with a new one.
picture: tests/page/node_modules/.package-lock.json  ## take the picture of the page that is in README.md: docs/page.png
	node tests/page/picture.mjs docs/page.png

clean:  ## remove what was built
	cargo clean

# The steps of `make test`, in its order.

setup:
	@.ci/setup

setup-tests:
	@.ci/setup test

setup-arm:
	@.ci/setup arm

setup-deb:
	@.ci/setup deb

setup-image:
	@.ci/setup image

setup-vm:
	@.ci/setup vm

setup-vm-x86:
	@.ci/setup vm-x86

fmt:
	@$(TIMED) fmt cargo fmt --check

clippy:
	@$(TIMED) "clippy" $(CLIPPY) -- -D warnings
	@$(TIMED) "clippy without the lab" $(CLIPPY) --no-default-features -- -D warnings

builds:
	@$(TIMED) "compiling the tests" cargo test --locked --no-run

# Tests on the real kernel look at the clock: nothing that computes runs beside them, not even with what they leave of
# the processors, for the kernel makes them wait for it all the same.
unit: waited computed

waited:
	@$(TIMED) "unit tests, texts, scenarios" $(TEST) --lib --test texts --test scenarios -- $(UNIT_FLAGS)
	@$(TIMED) "the real kernel" $(TEST) --test kernel --test agent -- $(UNIT_FLAGS)

computed:
	@$(TIMED) "random stories" $(TEST) --test properties -- $(UNIT_FLAGS)
	@$(TIMED) "rubbish" $(TEST) --test rubbish --test corpus -- $(UNIT_FLAGS)
	@$(TIMED) "simulated days" $(TEST) --test simulation -- $(UNIT_FLAGS)

# A minute of what `make vm-x86` plays.
vm-x86-short:
	@cargo build --quiet --locked
	@$(TIMED) "neighbours in a machine" tests/vm-x86/run short

# The status page in a real browser, before a box that plays every state, then before the real agent
# in the lab; pictures in target/page.
page: tests/page/node_modules/.package-lock.json
	@cargo build --quiet --locked
	@$(TIMED) "the page" node tests/page/run.mjs
	@$(TIMED) "the page in the lab" node tests/page/run.mjs --lab $(SPARELINK)

# The package's scripts under busybox, and LuCI's pages under Node and in the browser; pictures in target/luci.
openwrt-test: tests/page/node_modules/.package-lock.json
	@$(TIMED) "OpenWrt's package" python3 tests/openwrt/run.py
	@SPARELINK=$(SPARELINK) $(TIMED) "LuCI's pages" node tests/luci/run.mjs

tests/page/node_modules/.package-lock.json: tests/page/package-lock.json
	npm ci --prefix tests/page --ignore-scripts --no-audit --no-fund
	@touch $@

doc:
	@RUSTDOCFLAGS="-D warnings" $(TIMED) rustdoc cargo doc --quiet --locked --no-deps --document-private-items

deny:
	@$(TIMED) cargo-deny .ci/deny

size:
	cargo build --release --locked --no-default-features --target-dir target/router
	@.ci/size $(ROUTER) $(MAX_SIZE)

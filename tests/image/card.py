"""The card, and machines that it is put into."""

import os
import shutil
import signal
import socket
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
WORK = os.path.realpath(f"{HERE}/../../target/image")
PLAYED = f"{WORK}/played"
# Where the partition for the PC begins on it.
PC = "@@4M"


class Card:
    """A copy of the image, which may be written."""

    def __init__(self, name, of=None):
        self.path = f"{PLAYED}/{name}.img"
        shutil.rmtree(self.path, ignore_errors=True)
        subprocess.run(["cp", "--sparse=always", of.path if of else image(), self.path], check=True)

    def write(self, name, data):
        """As a PC would."""
        subprocess.run(["mcopy", "-o", "-i", self.path + PC, "-", f"::{name}"], input=data, check=True)

    def read(self, name):
        """A file as a PC sees it; None if there is none."""
        done = subprocess.run(["mtype", "-i", self.path + PC, f"::{name}"], capture_output=True, check=False)
        return done.stdout if done.returncode == 0 else None

    def names(self):
        done = subprocess.run(["mdir", "-b", "-i", self.path + PC, "::"], capture_output=True, text=True, check=True)
        return [line.removeprefix("::/") for line in done.stdout.split()]

    def taken_out(self, name):
        """A file of the card's, as one of ours; what starts the machine is there."""
        path = f"{PLAYED}/{name}"
        with open(path, "wb") as file:
            file.write(self.read(name))
        return path

    def remove(self):
        os.remove(self.path)


def image():
    found = [name for name in os.listdir(WORK) if name.endswith("-pi-arm64.img")]
    if len(found) != 1:
        raise SystemExit(f"there is not one image in {WORK}: make image")
    return f"{WORK}/{found[0]}"


class Machine:
    """A machine with a card in it, from the moment that it is switched on."""

    def __init__(self, card, board="virt", state=None):
        """With `state` it goes on from where `kept` left another with the same card."""
        names = card.names()
        kernel, first = (next(name for name in names if name.startswith(word)) for word in ["vmlinuz", "initrd"])
        # As the board's own firmware would, but for the console.
        words = [word for word in card.read("cmdline.txt").decode().split() if not word.startswith("console=")]
        command = ["qemu-system-aarch64", "-kernel", card.taken_out(kernel), "-initrd", card.taken_out(first)]
        self.console = f"{card.path}.console"
        console = ["-chardev", f"file,id=console,path={self.console},append=on", "-serial", "chardev:console"]
        drive = f"file={card.path},format=raw,id=card"
        if board == "raspi3b":
            command += ["-machine", "raspi3b", "-dtb", card.taken_out("bcm2837-rpi-3-b.dtb"), "-drive", f"{drive},if=sd"]
            # Its own network port is on the USB, which qemu leaves out; so is what stands for it. One processor is enough.
            command += ["-device", "usb-hub", *networks("usb-net,port=1.{}")]
            # Emulated, it is slower than the clock by which a board that hangs begins again.
            words += ["console=ttyAMA0,115200", "console=ttyS1,115200", "maxcpus=1", "systemd.watchdog_sec=0"]
            command += [*console, "-serial", f"file:{self.console}.2"]
        else:
            command += ["-machine", "virt", "-cpu", "cortex-a72", "-m", "768", "-drive", f"{drive},if=none",
                        "-device", "virtio-blk-pci,drive=card,addr=8", "-device", "virtio-rng-pci,addr=9",
                        *networks("virtio-net-pci,romfile=,addr={}")]
            words += ["console=ttyAMA0,115200"]
            command += console
        self.monitor = f"{card.path}.monitor"
        command += ["-append", " ".join(words), "-display", "none", "-no-reboot", "-monitor", f"unix:{self.monitor},server,nowait"]
        if state:
            command += ["-incoming", f"exec:cat {state}"]
        self.begun = time.monotonic()
        with open(f"{card.path}.qemu", "a") as said:
            self.process = subprocess.Popen(["nice", "-n", "10", *command], stdin=subprocess.DEVNULL, stderr=said)

    def age(self):
        return time.monotonic() - self.begun

    def cut(self):
        """The plug is pulled: what the machine had not written is lost."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def alive(self):
        return self.process.poll() is None

    def kept(self, state):
        """Ends it, with all that it has in memory kept in a file. One that is stopped first would go on stopped."""
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(self.monitor)
            monitor.sendall(f'migrate "exec:cat >{state}"\nquit\n'.encode())
            while monitor.recv(4096):
                pass
        self.process.wait()


def networks(device):
    """The LAN's address is one as a manufacturer gives it, so that its name is eth0 on the USB, too."""
    command = []
    for number, (name, address) in enumerate([("lan", "00:16:3e:83:00:01"), ("cable", "00:16:3e:83:00:02")], start=1):
        command += ["-netdev", f"tap,id={name},ifname={name},script=no,downscript=no",
                    "-device", f"{device.format(number)},netdev={name},mac={address}"]
    return command

#!/usr/bin/python3
"""The real ModemManager on a bus of its own, in its test mode, with a modem that is a unix socket: it speaks as much AT
(3GPP TS 27.005 and 27.007) as ModemManager wants to hear.

modem.py DIR: DIR/bus is the bus, and DIR/ready is there when the modem can send. DIR/pdus has a line for each SMS that
was sent, as its PDU, and DIR/texts its text; what is written to DIR/incoming (`NUMBER TEXT`) arrives as an SMS. DIR/fate, where it is there, says what becomes of them: `refuse` or `hang`. DIR/pids has a line with
name and process id of each program. Needs Debian's modemmanager, dbus and python3-dbusmock.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

DIR = Path(sys.argv[1])
BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path={}</listen><auth>EXTERNAL</auth><policy context="default">
<allow send_type="*"/><allow receive_type="*"/><allow send_destination="*"/><allow own="*"/><allow user="*"/>
</policy></busconfig>
"""
ANSWERS = {
    "+CGMI": "Test",
    "+GMI": "Test",
    "+CGMM": "Modem 1",
    "+GMM": "Modem 1",
    "+CGMR": "1.0",
    "+GMR": "1.0",
    "+CGSN": "490154203237518",
    "+GSN": "490154203237518",
    "+CIMI": "262011234567890",
    "+CNUM": None,
    "+CPIN?": "+CPIN: READY",
    "+CLCK=?": '+CLCK: ("SC")',
    '+CLCK="SC",2': "+CLCK: 0",
    "+GCAP": "+GCAP: +CGSM",
    "+CFUN?": "+CFUN: 1",
    "+CREG?": "+CREG: 2,1,\"0001\",\"00000001\"",
    "+CGREG?": "+CGREG: 2,1,\"0001\",\"00000001\"",
    "+CEREG?": "+CEREG: 2,1,\"0001\",\"00000001\",7",
    "+COPS?": '+COPS: 0,0,"Test",7',
    "+COPS=3,2;+COPS?": '+COPS: 0,2,"26201",7',
    "+COPS=3,0;+COPS?": '+COPS: 0,0,"Test",7',
    "+CSQ": "+CSQ: 20,99",
    "+CMGF=?": "+CMGF: (0,1)",
    "+CPMS=?": '+CPMS: ("ME","SM"),("ME","SM"),("ME","SM")',
    "+CNMI=?": "+CNMI: (0-2),(0-3),(0,2),(0-2),(0,1)",
    "+CSCS=?": '+CSCS: ("IRA","GSM","UCS2")',
    "+CSCS?": '+CSCS: "IRA"',
    "+CGDCONT=?": '+CGDCONT: (1-11),"IP",,,(0-2),(0-4)',
}
# Done, with nothing to say.
QUIET = ("E0", "V1", "Z", "+CMEE", "X4", "&C1", "+CFUN=", "+CREG=", "+CGREG=", "+CEREG=", "+CMGF=", "+CPMS=", "+CNMI=",
         "+CSCS=", "+COPS=3", "+CMGD")


def answer(command):
    if not command.upper().startswith("AT"):
        return "\r\nERROR\r\n"
    command = command[2:]
    if command == "":
        return "\r\nOK\r\n"
    if command in ANSWERS:
        said = ANSWERS[command]
        return f"\r\n{said}\r\n\r\nOK\r\n" if said else "\r\nOK\r\n"
    if command.startswith("+CMGR="):
        return read(command)
    if command.startswith("+CMGL="):
        return "\r\nOK\r\n"
    if command.startswith("+CPMS="):
        return "\r\n+CPMS: 0,100,0,100,0,100\r\n\r\nOK\r\n"
    if any(command.startswith(quiet) for quiet in QUIET) and not command.endswith("?"):
        return "\r\nOK\r\n"
    return "\r\nERROR\r\n"


def septets(text):
    """Letters of the default alphabet, as far as it is ASCII, in seven bits each (3GPP TS 23.038)."""
    bits = sum(ord(letter) << (7 * n) for n, letter in enumerate(text))
    return bits.to_bytes((7 * len(text) + 7) // 8, "little").hex().upper()


def text_of(pdu):
    """The text of an SMS-SUBMIT without a validity period (3GPP TS 23.040)."""
    octets = bytes.fromhex(pdu)
    at = 1 + octets[0] + 2
    at += 2 + (octets[at] + 1) // 2 + 2
    bits = int.from_bytes(octets[at + 1:], "little")
    return "".join(chr(bits >> (7 * n) & 127) for n in range(octets[at]))


def delivered(number, text):
    """An SMS-DELIVER from that number."""
    digits = number.lstrip("+")
    even = digits + "F" * (len(digits) % 2)
    turned = "".join(even[n + 1] + even[n] for n in range(0, len(even), 2))
    return f"0004{len(digits):02X}91{turned}000062118151000000{len(text):02X}{septets(text)}"


INBOX = []


def arrivals(connection):
    """Has what is written there arrive."""
    while True:
        time.sleep(0.1)
        try:
            number, text = (DIR / "incoming").read_text().split(" ", 1)
            (DIR / "incoming").unlink()
        except FileNotFoundError:
            continue
        INBOX.append(delivered(number, text))
        try:
            connection.sendall(f'\r\n+CMTI: "ME",{len(INBOX)}\r\n'.encode())
        except OSError:
            return


def read(command):
    """The SMS at a place of the inbox."""
    place = command.split("=")[1]
    if not place.isdigit() or not 0 < int(place) <= len(INBOX):
        return "\r\n+CMS ERROR: 321\r\n"
    pdu = INBOX[int(place) - 1]
    return f"\r\n+CMGR: 0,,{len(pdu) // 2 - 1}\r\n{pdu}\r\n\r\nOK\r\n"


def fate():
    try:
        return (DIR / "fate").read_text().strip()
    except FileNotFoundError:
        return ""


def serve(connection):
    threading.Thread(target=arrivals, args=(connection,), daemon=True).start()
    text, sent, pdu = "", 0, False
    while True:
        data = connection.recv(4096)
        if not data:
            return
        text += data.decode("latin-1")
        while True:
            end = "\x1a" if pdu else "\r"
            if end not in text:
                break
            line, text = text.split(end, 1)
            line = line.strip()
            if pdu:
                pdu = False
                with open(DIR / "pdus", "a") as file:
                    file.write(line + "\n")
                with open(DIR / "texts", "a") as file:
                    file.write(text_of(line) + "\n")
                if fate() == "hang":
                    continue
                sent += 1
                said = "+CMS ERROR: 38" if fate() == "refuse" else f"+CMGS: {sent}\r\n\r\nOK"
                connection.sendall(f"\r\n{said}\r\n".encode())
            elif line.startswith("AT+CMGS="):
                pdu = True
                connection.sendall(b"\r\n> ")
            elif line:
                connection.sendall(answer(line).encode())


def modem():
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(DIR / "at"))
    listener.listen(1)
    while True:
        serve(listener.accept()[0])


def dies_with_us():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def start(*words):
    with open(DIR / "log", "a") as log:
        program = subprocess.Popen(words, stdout=log, stderr=log, preexec_fn=dies_with_us)
    with open(DIR / "pids", "a") as pids:
        pids.write(f"{os.path.basename(words[0])} {program.pid}\n")


def until(*words):
    """Tries a command until it succeeds."""
    for _ in range(100):
        if subprocess.run(words, capture_output=True).returncode == 0:
            return
        time.sleep(0.1)
    sys.exit(f"no success: {words}")


def send(destination, path, method, *arguments):
    until("dbus-send", "--system", "--print-reply", f"--dest={destination}", path, method, *arguments)


DIR.mkdir(parents=True, exist_ok=True)
os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = f"unix:path={DIR}/bus"
threading.Thread(target=modem, daemon=True).start()
(DIR / "bus.conf").write_text(BUS.format(DIR / "bus"))
start("dbus-daemon", f"--config-file={DIR}/bus.conf", "--nofork", "--nopidfile")
until("dbus-send", "--system", "--print-reply", "--dest=org.freedesktop.DBus", "/", "org.freedesktop.DBus.ListNames")
# ModemManager asks polkit, also for root.
start("/usr/bin/python3", "-m", "dbusmock", "--system", "--template", "polkitd")
send("org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority",
     "org.freedesktop.DBus.Mock.AllowUnknown", "boolean:true")
start("ModemManager", "--test-enable", "--test-no-udev", "--test-no-suspend-resume", "--test-no-qrtr", "--no-auto-scan")
send("org.freedesktop.ModemManager1", "/org/freedesktop/ModemManager1",
     "org.freedesktop.ModemManager1.Test.SetProfile", "string:one", "string:generic", f"array:string:{DIR}/at")
until("mmcli", "-m", "any", "--enable")
(DIR / "ready").write_text("")
signal.pause()

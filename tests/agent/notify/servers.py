#!/usr/bin/python3
"""Mail servers and HTTPS servers, good ones and others, with certificates of an authority made for the occasion.

servers.py ADDRESS DIR: serves at ADDRESS; DIR/authority.pem is whom to trust, DIR/mails has a line of JSON for each
mail that was taken, DIR/ready is there when all of them listen. Needs Debian's python3-aiosmtpd.
"""

import asyncio
import email
import email.policy
import json
import ssl
import subprocess
import sys
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult

ADDRESS, DIR = sys.argv[1], Path(sys.argv[2])
USER, PASSWORD = b"box@home.example", "pä?s@".encode()


def openssl(*words):
    subprocess.run(["/usr/bin/openssl", *words], cwd=DIR, check=True, capture_output=True)


def authority(name):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
            "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")


def certificate(name, issuer="authority", names=f"IP:{ADDRESS}", years=("2024", "2049")):
    (DIR / "index").write_text("")
    (DIR / "names").write_text(f"subjectAltName={names}\n")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", f"{name}.csr")
    first, last = (f"{year}0101000000Z" for year in years)
    openssl("ca", "-batch", "-notext", "-create_serial", "-config", "ca.conf", "-extfile", "names",
            "-cert", f"{issuer}.pem", "-keyfile", f"{issuer}.key", "-startdate", first, "-enddate", last,
            "-in", f"{name}.csr", "-out", f"{name}.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(DIR / f"{name}.pem", DIR / f"{name}.key")
    return context


class Reader:
    """Takes mail, or does not."""

    def __init__(self, port):
        self.port, self.lost = port, False

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody"):
            return "550 5.1.1 no such reader"
        if address.startswith("grey"):
            return "451 4.7.1 greylisted, come back"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        record = {
            "port": self.port,
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "subject": mail["subject"],
            "id": mail["message-id"],
            "references": mail["references"],
            "date": mail["date"].datetime.timestamp(),
            "text": mail.get_content(),
        }
        with open(DIR / "mails", "a") as file:
            file.write(json.dumps(record) + "\n")
        if envelope.rcpt_tos[0].startswith("lost") and not self.lost and "Test" not in mail["subject"]:
            # It has it, and nobody is told so.
            self.lost = True
            server.transport.abort()
        return "250 taken"


def authenticate(server, session, envelope, mechanism, login):
    return AuthResult(success=(login.login, login.password) == (USER, PASSWORD), handled=False)


async def mail(port, context=None, starttls=None):
    reader = Reader(port)
    common = {"hostname": "mail.example", "authenticator": authenticate, "auth_required": True}

    def serve():
        if starttls:
            return SMTP(reader, tls_context=starttls, require_starttls=True, **common)
        return SMTP(reader, auth_require_tls=False, **common)

    await asyncio.get_running_loop().create_server(serve, ADDRESS, port, ssl=context)


async def https(port, context):
    async def answer(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
        body = (await reader.readexactly(int(headers.get("content-length", 0)))).decode()
        record = {"method": method, "host": headers["host"], "path": path, "headers": headers, "body": body}
        with open(DIR / "asked", "a") as file:
            file.write(json.dumps(record) + "\n")
        # What each of the push services says of a message that it took.
        said = b'{"status": 1, "request": "1", "ok": true, "result": {"message_id": 1}, "id": 1}'
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                     b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(said), said))
        await writer.drain()
        writer.close()

    await asyncio.start_server(answer, ADDRESS, port, ssl=context)


async def main():
    DIR.mkdir(parents=True, exist_ok=True)
    (DIR / "ca.conf").write_text(
        "[ca]\ndefault_ca=d\n[d]\ndatabase=index\nnew_certs_dir=.\nserial=serial\ndefault_md=sha256\npolicy=p\nunique_subject=no\n"
        "[p]\ncommonName=supplied\n")
    authority("authority")
    authority("stranger")
    services = ["api.pushover.net", "api.telegram.org", "ntfy.example", "push.example", "hook.example"]
    good = certificate("good", names=",".join([f"IP:{ADDRESS}", *(f"DNS:{name}" for name in services)]))
    bad = [
        certificate("other", names="DNS:other.example"),
        certificate("expired", years=("2020", "2021")),
        certificate("early", years=("2048", "2049")),
        certificate("strange", issuer="stranger"),
    ]
    await mail(465, good)
    await mail(587, starttls=good)
    await https(443, good)
    for n, context in enumerate(bad, 1):
        await mail(4650 + n, context)
        await https(4430 + n, context)
    await mail(5874, starttls=bad[3])
    (DIR / "ready").write_text("")
    await asyncio.Event().wait()


asyncio.run(main())

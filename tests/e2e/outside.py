"""What is outside of Pantau in the machine whose commands the pages type: a mail server and Telegram's Bot API, on loopback.

Run by the machine's own Python: ``python3 outside.py FOLDER CERTIFICATE KEY``; every mail and message is a line of ``FOLDER/taken``.
"""

import http.server
import json
import ssl
import sys
import threading
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

FOLDER, CERTIFICATE, KEY = sys.argv[1:]


def take(what, content):
    with Path(FOLDER, "taken").open("a") as file:
        file.write(json.dumps([what, content]) + "\n")


class Mail:
    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802 - aiosmtpd's name
        take("mail", [envelope.rcpt_tos, envelope.content.decode()])
        return "250 taken"


class Telegram(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        take("telegram", [self.path, body])
        answer = json.dumps({"ok": True, "result": {"message_id": 7}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


def main():
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERTIFICATE, KEY)
    mail = Controller(
        Mail(), hostname="127.0.0.1", port=587, tls_context=tls, require_starttls=True, auth_required=True,
        authenticator=lambda *_: AuthResult(success=True),
    )  # fmt: skip
    mail.start()
    telegram = http.server.ThreadingHTTPServer(("127.0.0.1", 9001), Telegram)
    threading.Thread(target=telegram.serve_forever).start()


if __name__ == "__main__":
    main()

"""A webhook that appends bodies to a file: `python webhook.py PORT FILE`."""

from __future__ import annotations

import os
import socket
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.server.take(self, body)
        text = b"" if status == 204 else b"no: %d" % status
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


class Webhook(ThreadingHTTPServer):
    """Keeps the bodies in memory; answers with the statuses in `answers`, then 204."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port=0, answers=()):
        super().__init__(("127.0.0.1", port), Handler)
        self.bodies = []
        self.headers = []
        self._answers = list(answers)
        self._open = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/hook"

    def take(self, request, body):
        self.headers.append((request.path, dict(request.headers)))
        status = self._answers.pop(0) if self._answers else 204
        if status == 204:
            self.bodies.append(body)
        return status

    def process_request(self, request, client_address):
        self._open.append(request)
        super().process_request(request, client_address)

    def __enter__(self):
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self._thread.join()
        self.server_close()
        for request in self._open:  # open connections would be served further
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)


class Recorder(Webhook):
    """Runs in its own process; a body is in the file before it is acknowledged."""

    def __init__(self, port, path):
        super().__init__(port)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def take(self, request, body):
        os.write(self._file, body if body.endswith(b"\n") else body + b"\n")
        return 204


if __name__ == "__main__":
    Recorder(int(sys.argv[1]), sys.argv[2]).serve_forever()

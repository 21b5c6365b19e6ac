"""A SeaweedFS server with the S3 interface, and a proxy that loses connections."""

from __future__ import annotations

import json
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from tests.helpers.ports import free_port

PROGRAM = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
KEYS = {"accessKey": "key", "secretKey": "secret"}


def environment(port):
    """Return the variables with which obstore reaches a server on this machine."""
    return {
        "AWS_ACCESS_KEY_ID": KEYS["accessKey"],
        "AWS_SECRET_ACCESS_KEY": KEYS["secretKey"],
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
    }


class ObjectServer:
    """A server that can be killed and started again on the same port and data."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.port = free_port()
        self._ports = [free_port() for _ in range(9)]
        self._process = None
        config = {
            "identities": [
                {
                    "name": "test",
                    "credentials": [KEYS],
                    "actions": ["Admin", "Read", "Write", "List"],
                }
            ]
        }
        (self.folder / "s3.json").write_text(json.dumps(config))
        (self.folder / "data").mkdir()

    def start(self):
        master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3_grpc, ice, lance = map(
            str, self._ports
        )
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *[PROGRAM, "server", "-s3", f"-dir={self.folder / 'data'}", "-ip=127.0.0.1"],
                    *["-ip.bind=127.0.0.1", f"-s3.config={self.folder / 's3.json'}"],
                    *[f"-master.port={master}", f"-master.port.grpc={master_grpc}"],
                    *[f"-volume.port={volume}", f"-volume.port.grpc={volume_grpc}"],
                    *[f"-filer.port={filer}", f"-filer.port.grpc={filer_grpc}"],
                    *[f"-s3.port={self.port}", f"-s3.port.grpc={s3_grpc}"],
                    *[f"-s3.port.iceberg={ice}", f"-s3.port.lance={lance}"],
                    *["-master.volumeSizeLimitMB=64", "-volume.max=50"],
                ],
                stdout=log,
                stderr=log,
            )
        self._wait()

    def _wait(self):
        import obstore
        from obstore.store import S3Store

        variables = environment(self.port)
        store = S3Store(
            "fleet",
            endpoint=variables["AWS_ENDPOINT_URL"],
            access_key_id=KEYS["accessKey"],
            secret_access_key=KEYS["secretKey"],
            region="us-east-1",
            client_options={"allow_http": True},
            retry_config={"max_retries": 0},
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                obstore.put(store, "ready", b"1")
                return
            except Exception:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def kill(self):
        self._process.kill()
        self._process.wait()

    def stop(self):
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(30)


class LossyProxy:
    """Forwards connections to a port, and cuts each after a random number of bytes."""

    def __init__(self, target, seed=0, mean_bytes=20_000):
        self._target = target
        self._random = random.Random(seed)
        self._mean = mean_bytes
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.n_cut = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client):
        with (
            client,
            suppress(OSError),
            socket.create_connection(("127.0.0.1", self._target)) as server,
        ):
            left = [self._random.expovariate(1 / self._mean)]
            back = threading.Thread(target=self._copy, args=(server, client, left), daemon=True)
            back.start()
            self._copy(client, server, left)
            back.join()

    def _copy(self, source, sink, left):
        with suppress(OSError):
            while content := source.recv(4096):
                left[0] -= len(content)
                if left[0] < 0:
                    self.n_cut += 1
                    break
                sink.sendall(content)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        self._server.close()

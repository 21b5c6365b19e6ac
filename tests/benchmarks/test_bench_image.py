"""The bench of the image ends when the service does not answer."""

from __future__ import annotations

import socket
import subprocess

import pytest

from benchmarks import image


def test_a_service_that_never_answers_is_given_up_with_its_log(monkeypatch):
    with socket.socket() as closed:  # bound and not listening: connections are refused
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setattr(image, "URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.setattr(image, "DEADLINE", 0.2)
        done = subprocess.CompletedProcess([], 0, b"port 8080 is taken")
        monkeypatch.setattr(image.subprocess, "run", lambda *words, **options: done)
        with pytest.raises(TimeoutError, match=r"no answer within 0.2 s; its log:\nport 8080"):
            image.wait_until_healthy()

"""A process that copies NIR files, each in a process that it forks.

    python -m tests.helpers.nir_copies NIR_READER

It reads lines ``PATH<tab>COPY``, and answers each with the exit status of its copy. It imports the
reader as a file, without the package: to fork a process with all of it takes as long as a copy.
"""

from __future__ import annotations

import importlib.util
import os
import resource
import subprocess
import sys
from contextlib import contextmanager

SECONDS = 5  # of CPU; the library never ends on some files, and a user's process ends after longer


@contextmanager
def copier(reader):
    """Yield a function that copies a file; it returns what is wrong, empty if nothing is."""
    command = [sys.executable, "-m", __name__, reader]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as server:

        def copied(path, sound):
            server.stdin.write(f"{path}\t{sound}\n")
            server.stdin.flush()
            return "damaged" if int(server.stdout.readline()) else ""

        yield copied
        server.stdin.close()


def main(reader):
    spec = importlib.util.spec_from_file_location("nir_reader", reader)
    nir_reader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(nir_reader)
    __import__("nir")
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _copy(nir_reader, *line.rstrip("\n").split("\t"))
        print(os.waitpid(child, 0)[1], flush=True)


def _copy(nir_reader, path, sound):
    """Copy a file, and end the process."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    try:
        nir_reader.copy(path, sound)
    except Exception:
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])

#!/bin/sh
# The simulator beside NEST, Brian2, spikingjelly, snntorch, nengo and torch, which live in an environment of their own.
# Usage: benchmarks/peers/peers.sh [options of compare.py]; PEERS is the environment (default out/venv-simulators), PYTHON ours.
set -eu
cd "$(dirname "$0")/../.."
python=${PYTHON:-.venv/bin/python}
peers=${PEERS:-out/venv-simulators}
if [ ! -f "$peers/.installed" ]; then
    "$python" -m venv "$peers"
    "$peers/bin/python" -m pip install --quiet --disable-pip-version-check -r benchmarks/peers/simulator/requirements.txt
    touch "$peers/.installed"
fi
exec "$python" benchmarks/peers/simulator/compare.py "$peers/bin/python" out/bench "$@"

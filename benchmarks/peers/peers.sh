#!/bin/sh
# The simulator beside NEST, Brian2, spikingjelly, snntorch, nengo and torch, then, where Java is at hand, the streams
# beside MOA's learners; all live in environments of their own.
# Usage: benchmarks/peers/peers.sh [options of compare.py]; PYTHON is ours, PEERS and MOA are the environments (default
# out/venv-simulators, out/venv-moa), STREAMS the streams of MOA (default all, which takes hours).
set -eu
cd "$(dirname "$0")/../.."
python=${PYTHON:-.venv/bin/python}
peers=${PEERS:-out/venv-simulators}
moa=${MOA:-out/venv-moa}

install() { # environment, arguments of pip
    environment=$1
    shift
    if [ ! -f "$environment/.installed" ]; then
        "$python" -m venv "$environment"
        "$environment/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
        touch "$environment/.installed"
    fi
}

install "$peers" -r benchmarks/peers/simulator/requirements.txt
"$python" benchmarks/peers/simulator/compare.py "$peers/bin/python" out/bench "$@"

if ! command -v java >/dev/null 2>&1; then
    echo "left out: MOA's learners need Java" >&2
    exit 0
fi
install "$moa" 'capymoa>=0.11'
contenders='default,frozen,SAMkNN (MOA),ARF100 (MOA),SRP100 (MOA),SGBT (MOA)'
"$python" -m benchmarks streams --only "$contenders" --seeds 1 --peers "$moa/bin/python" ${STREAMS:+--streams "$STREAMS"}

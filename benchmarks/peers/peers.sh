#!/bin/sh
# The simulator beside NEST, Brian2, spikingjelly, snntorch, nengo and torch; then rows in time beside deep-river's
# LSTM, with Python 3.11 or 3.12; then, where Java is at hand, the streams beside MOA's learners, and our models in
# CapyMOA's evaluation. All live in environments of their own.
# Usage: benchmarks/peers/peers.sh [options of compare.py]; PYTHON is ours, PEERS, LSTM and MOA are the environments
# (default out/venv-simulators, out/venv-lstm, out/venv-moa), LOCO_STREAM_DATA holds the wheel of aeon with two of the
# streams in time, STREAMS the streams of MOA (default all, which takes hours).
set -eu
cd "$(dirname "$0")/../.."
python=${PYTHON:-.venv/bin/python}
peers=${PEERS:-out/venv-simulators}
lstm=${LSTM:-out/venv-lstm}
moa=${MOA:-out/venv-moa}

install() { # environment, arguments of pip
    environment=$1
    shift
    if [ "$(cat "$environment/.installed" 2>/dev/null)" != "$*" ]; then
        "$python" -m venv "$environment"
        "$environment/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
        echo "$*" >"$environment/.installed"
    fi
}

install "$peers" -r benchmarks/peers/simulator/requirements.txt
"$python" benchmarks/peers/simulator/compare.py "$peers/bin/python" out/bench "$@"

if "$python" -c 'import sys; sys.exit(sys.version_info >= (3, 13))'; then
    install "$lstm" 'deep-river>=0.3.4,<0.4' 'pytest<10' # which deep-river imports and does not ask for
    "$python" -m benchmarks time --only 'memory;memory and delays;10 lags;LSTM (deep-river)' --peers "$lstm/bin/python"
else
    echo "left out: deep-river's LSTM needs Python 3.11 or 3.12" >&2
fi

if ! command -v java >/dev/null 2>&1; then
    echo "left out: MOA's learners need Java" >&2
    exit 0
fi
install "$moa" 'capymoa[torch-cpu]>=0.15.1,<0.16' -e .
"$python" -m benchmarks capymoa --peers "$moa/bin/python"
contenders='default,frozen,SAMkNN (MOA),ARF100 (MOA),SRP100 (MOA),SGBT (MOA)'
"$python" -m benchmarks streams --only "$contenders" --seeds 1 --peers "$moa/bin/python" ${STREAMS:+--streams "$STREAMS"}

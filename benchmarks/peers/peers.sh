#!/bin/sh
# All peers, each in an environment of its own: simulators, deep-river's LSTM, CapyMOA and MOA, Avalanche, and the
# embeddings. What this machine lacks (a version of Python, Java, Debian's data sets) is left out and named; a peer that
# fails does not stop the others, and the exit code is 1 then.
# The environments take 12 GB of disk, 5.5 GB of it the LSTM's: deep-river needs PyTorch before 2.6, which the package
# index has with CUDA only. Where pip finds no PyTorch for CPUs, the others are as large.
# Usage: benchmarks/peers/peers.sh [--quick] [options of compare.py]
#   --quick            every part in small, into out/bench-quick: whether all works, in a quarter of an hour of CPU time
#   PEERS              folder of the environments (default out/peers)
#   PYTHON             interpreter with this package (default .venv/bin/python)
#   LOCO_STREAM_DATA   folder with mnist.npz and the wheel of aeon, which has two of the streams in time
#   STREAMS            streams of MOA (default all, which takes hours)
set -u
cd "$(dirname "$0")/../.."
python=${PYTHON:-.venv/bin/python}
peers=${PEERS:-out/peers}
out=out/bench
quick=
if [ "${1:-}" = --quick ]; then
    shift
    quick=yes
    out=out/bench-quick
fi
failed=

left_out() { echo "left out: $*" >&2; }

part() { # name, function, its arguments
    name=$1
    shift
    echo "== $name"
    "$@" || failed="$failed; $name"
}

install() { # environment, arguments of pip
    environment=$peers/$1
    shift
    # with the files' contents, so that a changed requirement is installed
    wanted="$* $(cat benchmarks/peers/requirements-*.txt | cksum)"
    [ "$(cat "$environment/.installed" 2>/dev/null)" = "$wanted" ] && return
    "$python" -m venv "$environment" &&
        "$environment/bin/python" -m pip install --quiet --disable-pip-version-check "$@" &&
        echo "$wanted" >"$environment/.installed"
}

bench() { # arguments of `python -m benchmarks`
    "$python" -m benchmarks "$@" --out "$out"
}

simulators() { # options of compare.py
    install simulators -r benchmarks/peers/requirements-simulators.txt &&
        PYTHONPATH=. "$python" benchmarks/peers/simulator/compare.py "$peers/simulators/bin/python" "$out" \
            ${quick:+--seconds 0.2 --seeds 1} "$@" &&
        bench learning --peers "$peers/simulators/bin/python" ${quick:+--repeats 1 --samples 50 --seconds 0.2}
}

lstm() {
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 13))'; then
        left_out "deep-river's LSTM needs Python 3.11 or 3.12"
        return
    fi
    install lstm -r benchmarks/peers/requirements-lstm.txt &&
        bench time --only 'memory;memory and delays;10 lags;LSTM (deep-river)' --peers "$peers/lstm/bin/python" \
            ${quick:+--seeds 1 --streams xor3}
}

capymoa() {
    if ! command -v java >/dev/null 2>&1; then
        left_out "CapyMOA and MOA's learners need Java 17"
        return
    fi
    streams=${quick:+Phishing}
    streams=${STREAMS:-$streams}
    contenders='default,frozen,SAMkNN (MOA),ARF100 (MOA),SRP100 (MOA),SGBT (MOA)'
    [ -z "$quick" ] || contenders='default,SAMkNN (MOA)'
    install capymoa -r benchmarks/peers/requirements-capymoa.txt -e . &&
        bench capymoa --peers "$peers/capymoa/bin/python" ${quick:+--only default,NaiveBayes,NCM,FIMTDD} &&
        bench streams --only "$contenders" --seeds 1 --peers "$peers/capymoa/bin/python" \
            ${streams:+--streams "$streams"}
}

avalanche() {
    install avalanche -r benchmarks/peers/requirements-avalanche.txt -e . &&
        bench avalanche --peers "$peers/avalanche/bin/python" ${quick:+--seeds 1 --streams 'digits, five tasks'}
}

embeddings() {
    if [ ! -d /usr/share/datasets/fashion-mnist ] || ! command -v apt-cache >/dev/null 2>&1; then
        left_out "the embeddings need Debian's package dataset-fashion-mnist, and apt-cache for descriptions"
        return
    fi
    folder=out/embeddings${quick:+-quick}
    install embed -r benchmarks/peers/requirements-embed.txt || return
    [ -f "$folder/descriptions.npz" ] ||
        "$peers/embed/bin/python" benchmarks/peers/embed.py "$folder" ${quick:+0.02} || return
    bench embeddings --data "$folder" --sets 'descriptions,fashion features' ${quick:+--seeds 1 --only default,SLDA}
}

part "simulators" simulators "$@"
part "LSTM" lstm
part "CapyMOA and MOA" capymoa
part "Avalanche" avalanche
part "embeddings" embeddings
[ -z "$failed" ] || { echo "failed${failed#;}" >&2; exit 1; }

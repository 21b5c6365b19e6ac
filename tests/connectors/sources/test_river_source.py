"""`RiverSource`: datasets and generators of river."""

from __future__ import annotations

import math
from itertools import islice

import numpy as np
import pytest
from river import datasets
from river.datasets import base, synth

from loco_stream.connectors import RiverSource, open_source
from loco_stream.connectors._base.values import plain_scalar
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Source
from loco_stream.testing import check_source

SETS = [n for n in datasets.__all__ if n[0].isupper()]
GENERATORS = [n for n in synth.__all__ if n != "Logical"]


@pytest.mark.parametrize("name", SETS)
def test_every_dataset_of_river_opens_or_is_refused_in_one_sentence(name):
    dataset = getattr(datasets, name)()
    if "Multi-output binary" in dataset.task:
        with pytest.raises(SourceError, match="must have one class per row, got several"):
            RiverSource(name)
    elif isinstance(dataset, base.RemoteDataset) and not dataset.is_downloaded:
        with pytest.raises(
            SourceError, match=rf"needs a download of .* MB first: .*{name}\(\).download"
        ):
            RiverSource(name)
    else:
        source = RiverSource(name)
        assert isinstance(source, Source)
        task = dataset.task.lower().replace("multi-output", "multi-target")
        assert source.schema.task == (task if "regression" in task else "classification")
        got = list(source)
        assert len(got) == dataset.n_samples
        assert [s.seq for s in got] == list(range(len(got)))
        assert all(isinstance(v, (int, float, str, bool, type(None))) for v in got[0].x.values())


@pytest.mark.parametrize("name", GENERATORS)
def test_every_generator_resumes_from_its_row(name):
    whole = [(s.x, s.y) for s in islice(RiverSource(f"synth.{name}"), 300)]
    resumed = RiverSource(f"synth.{name}")
    resumed.seek({"row": 120})
    assert [(s.x, s.y) for s in islice(resumed, 180)] == whole[120:]
    assert resumed.position == {"row": 300}


@pytest.mark.parametrize("other", ["synth.SEA?seed=2", "synth.SEA", "Bananas"])
def test_another_dataset_cannot_be_resumed(other):
    fingerprint = open_source("river:synth.SEA?seed=1").fingerprint
    open_source("river:synth.SEA?seed=1").verify(fingerprint)
    before = r"was read before, SEA\(variant=0, noise=0\.0, seed=1\)$"
    with pytest.raises(SourceError, match=before):
        open_source(f"river:{other}").verify(fingerprint)


def test_a_dataset_is_recognised_by_its_class_and_resolved_arguments():
    given = open_source("river:synth.SEA?seed=0&noise=0&variant=02").fingerprint
    RiverSource("synth.SEA", variant=np.int64(2)).verify(given)
    RiverSource(synth.SEA(variant=2, seed=0)).verify(given)
    with pytest.raises(SourceError, match="variant=3"):
        RiverSource(synth.SEA(variant=3, seed=0)).verify(given)
    nested = "river:synth.ConceptDriftStream?stream=SEA()&drift_stream=SEA(variant=2)&position="
    before = open_source(f"{nested}20").fingerprint
    open_source(f"{nested}20&seed=0").verify(before)
    for other in (f"{nested}30", f"{nested.replace('2', '3')}20"):
        with pytest.raises(SourceError, match="must be the dataset that was read before"):
            open_source(other).verify(before)


def test_rows_are_those_of_river():
    ours = [(s.x, s.y) for s in open_source("river:Phishing")]
    assert ours == list(datasets.Phishing())
    ours = [(s.x, s.y) for s in islice(open_source("river:synth.SEA?seed=1&variant=2"), 50)]
    assert ours == list(synth.SEA(seed=1, variant=2).take(50))


def test_parameters_are_converted_to_the_type_of_their_argument():
    url = (
        "river:synth.ConceptDriftStream?stream=SEA(variant=0,seed=1)&drift_stream=SEA(variant=2,seed=2)"
        "&position=100&width=10&seed=3"
    )
    theirs = synth.ConceptDriftStream(
        synth.SEA(0, seed=1), synth.SEA(2, seed=2), position=100, width=10, seed=3
    )
    assert [(s.x, s.y) for s in islice(open_source(url), 300)] == list(theirs.take(300))
    friedman = open_source("river:synth.FriedmanDrift?position=10,20,30&transition_window=5&seed=1")
    assert friedman.dataset.position == (10, 20, 30)
    assert (
        open_source("river:synth.LED?irrelevant_features=true").dataset.irrelevant_features is True
    )
    assert open_source("river:synth.Hyperplane?mag_change=0.01").dataset.mag_change == 0.01


def test_a_date_becomes_seconds_and_the_event_time():
    first = next(iter(RiverSource("WaterFlow")))
    assert first.x["Time"] == first.t == 1647770400.0
    assert math.isnan(next(iter(RiverSource("Phishing"))).t)


@pytest.mark.parametrize("unit", ["D", "s", "ns"])
def test_numpy_dates_of_any_unit_become_seconds(unit):
    assert plain_scalar(np.datetime64("1970-01-02", unit)) == 86_400.0
    assert plain_scalar(np.timedelta64(1, "D").astype(f"m8[{unit}]")) == 86_400.0
    assert plain_scalar(np.datetime64("NaT", unit)) is None


@pytest.mark.parametrize(
    ("url", "error", "text"),
    [
        ("river:phising", SourceError, "did you mean 'Phishing'"),
        ("river:SEA", SourceError, r"did you mean 'synth\.SEA'"),
        ("river:synth.SEA?sed=1", ConfigError, "no parameter 'sed'; did you mean 'seed'"),
        ("river:synth.SEA?seed=one", ConfigError, "`seed` must be int, got 'one'"),
        ("river:synth.SEA?variant=9", ConfigError, "refuses variant=9"),
        ("river:synth.LED?irrelevant_features=perhaps", ConfigError, "must be bool, got 'perhaps'"),
        (
            "river:synth.ConceptDriftStream?stream=__import__('os')",
            ConfigError,
            "must be a generator",
        ),
        ("river:synth.ConceptDriftStream?stream=SEA()", ConfigError, r"stream=SEA\(variant=0, "),
        ("river:synth.ConceptDriftStream?stream=SEA(seed=open)", ConfigError, "`stream` must be"),
        ("river:synth.Logical", SourceError, "got several"),
        ("river:", ConfigError, "an address after 'river:'"),
    ],
)
def test_bad_urls_are_answered_with_what_is_allowed(url, error, text):
    with pytest.raises(error, match=text) as caught:
        open_source(url)
    assert "\n" not in str(caught.value)


def test_a_position_of_another_source_is_refused():
    with pytest.raises(SourceError, match=r"`position` of .* must be"):
        RiverSource("Phishing").seek({"sensor": {"1": 2}})


def test_the_lifecycle_of_a_dataset():
    check_source(lambda: open_source("river:Phishing"), n_rows=1250)

"""Shards, threads and Ray agree with one machine to 1e-12."""

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from engine.errors import BadInput
from engine.evaluation.compare import Comparison, compare, compare_shards
from engine.evaluation.log import Log, LoggedBatch, log_in_memory
from engine.evaluation.on_ray import on_ray
from engine.evaluation.policies import Random, Stored, TargetPolicy
from engine.evaluation.settings import Settings
from engine.evaluation.totals import merged
from tests.unit.evaluation.logs import batch_of, sample

ARMS = ("abstain", "a", "b", "c")
BATCH = batch_of(sample(3000, rate=0.02), users=700)
POLICIES: list[TargetPolicy] = [Stored("target"), Random()]
SETTINGS = Settings(chunk_rows=500)


def log_of(batch: LoggedBatch, adaptive: bool = False) -> Log:
    return log_in_memory("log", ARMS, batch, adaptive=adaptive)


def shards(adaptive: bool = False) -> list[Log]:
    """Every third row: the shards share users."""
    return [log_of(BATCH.take(slice(k, None, 3)), adaptive) for k in range(3)]


def agree(one: Comparison, two: Comparison) -> None:
    for name, sums in one.sums.items():
        np.testing.assert_allclose(sums.gram, two.sums[name].gram, rtol=1e-12, atol=1e-12)
    for first, second in zip(one.scored, two.scored, strict=True):
        assert first.judgement.verdict == second.judgement.verdict
        for name, (value, se) in first.points.items():
            assert (value, se) == pytest.approx(second.points[name], rel=1e-11, abs=1e-12)


@pytest.mark.parametrize("adaptive", [False, True])
def test_shards_in_threads_agree_with_one_pass(adaptive: bool) -> None:
    whole = compare(log_of(BATCH, adaptive), POLICIES, SETTINGS)
    with ThreadPoolExecutor(3) as pool:
        agree(whole, compare_shards(shards(adaptive), POLICIES, SETTINGS, spread=pool.map))


@pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray (extra forbear[ray]) is not installed"
)
@pytest.mark.filterwarnings("ignore")
def test_ray_agrees_with_one_pass() -> None:
    ray = import_module("ray")
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        whole = compare(log_of(BATCH), POLICIES, SETTINGS)
        agree(whole, compare_shards(shards(), POLICIES, SETTINGS, spread=on_ray))
    finally:
        ray.shutdown()


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.evaluation.on_ray.import_module", _missing)
    with pytest.raises(BadInput, match=r"forbear\[ray\]"):
        on_ray(len, [])  # type: ignore[arg-type]


def _missing(name: str) -> None:
    raise ImportError(name)


def test_shards_of_different_arms_are_refused() -> None:
    other = log_in_memory("log", ("abstain", "x", "b", "c"), BATCH)
    with pytest.raises(BadInput, match="different arms"):
        compare_shards([log_of(BATCH), other], POLICIES)


def test_merging_pairs_neighbours_and_keeps_their_order() -> None:
    assert merged(iter("abcdefg")) == "abcdefg"
    with pytest.raises(BadInput, match="nothing to add up"):
        merged(iter(()))


def test_what_one_shard_shows_to_happen_unprompted_holds_for_all() -> None:
    """A shard without such an event would otherwise be summed up by another rule."""
    known = frozenset({"click"})
    whole = compare(replace(log_of(BATCH), unprompted=known), POLICIES, SETTINGS)
    first, second, third = shards()
    told = replace(second, unprompted=known)
    agree(whole, compare_shards([first, told, third], POLICIES, SETTINGS))

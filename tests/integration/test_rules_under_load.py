"""Many senders at once on few users, through two API processes: no rule gives way.

The judge reads the raw log afterwards, in the order of its commits. Times are short so that every
rule is at stake many times within a few seconds. `python -m benchmarks.rules` is the long form.
"""

from contextlib import AbstractContextManager, nullcontext

from benchmarks.rules.load import SETTINGS, Happened, Load, hammer
from benchmarks.rules.sabotage import without
from benchmarks.rules.verdict import Verdict, judge
from service.demo.local import running_service

SHORT = Load(senders=24, users=20, seconds=4.0, workers=2)


def loaded(load: Load, place: AbstractContextManager[None]) -> tuple[Verdict, Happened]:
    with place, running_service(SETTINGS | {"workers": load.workers}) as service:
        happened = hammer(service, load)
        assert [] == happened.errors
        return judge(service, happened), happened


def test_no_rule_gives_way_though_a_worker_is_killed_midway() -> None:
    """And every rule kept something back, and slots were spent: 20 users, up to 8 in 8 s each."""
    verdict, happened = loaded(Load(**(vars(SHORT) | {"kill": True})), nullcontext())
    assert [] == verdict.complaints
    figures = verdict.figures(happened)
    at_stake = ["blocked_by_gap", "blocked_by_cap", "blocked_by_tag_cap", "blocked_by_cooldown"]
    at_stake += ["blocked_by_budget", "blocked_by_tolerance", "blocked_by_unsubscribed"]
    at_stake += ["blocked_by_paused", "asked_while_paused", "asked_while_unsubscribed"]
    assert all(figures.get(name, 0) > 0 for name in at_stake), figures
    assert figures["sends"] > 2 * SHORT.users
    assert 1 == figures["workers_killed"]


def test_the_judge_finds_that_a_check_is_missing() -> None:
    """One check here; the long form takes out each of them."""
    verdict, _ = loaded(Load(**(vars(SHORT) | {"seconds": 3.0})), without("state"))
    assert verdict.complaints

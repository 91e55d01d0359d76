"""Policies side by side on one log: the room's front door.

`compare` reads the log (at most three streaming passes), scores every policy on every outcome and
compares each with a reference on the same rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.errors import BadInput
from engine.evaluation import estimates as est
from engine.evaluation.calibration import Draws
from engine.evaluation.diagnostics import Judgement, Verdict
from engine.evaluation.estimators import require_rows
from engine.evaluation.log import Log
from engine.evaluation.passes import Spread, totals_of
from engine.evaluation.policies import TargetPolicy
from engine.evaluation.scoring import Scored, Scorer, judge_log
from engine.evaluation.settings import Progress, Settings, silent
from engine.evaluation.sums import PolicySums
from engine.evaluation.totals import Totals

LOGGER = "the log itself"  # the reference when no policy is named


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything a report prints."""

    log: str
    rows: int
    users: int | None
    reference: str
    scored: tuple[Scored, ...]
    send_rates: dict[str, float]
    logged_means: dict[str, float]
    log_judgement: Judgement
    draws: Draws | None
    arms: tuple[str, ...]
    sums: dict[str, PolicySums]

    def line(self, policy: str, outcome_name: str) -> Scored:
        """The line of one policy on one outcome."""
        for scored in self.scored:
            if (scored.policy, scored.outcome) == (policy, outcome_name):
                return scored
        raise BadInput(
            f"nothing was scored for policy {policy!r} on {outcome_name!r}, expected one of "
            f"{sorted({(s.policy, s.outcome) for s in self.scored})}"
        )


def compare(
    log: Log,
    policies: Sequence[TargetPolicy],
    settings: Settings | None = None,
    against: str | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Score every policy on every outcome of the log, against one of them or the log itself."""
    return compare_shards([log], policies, settings, against, progress)


def compare_shards(
    shards: Sequence[Log],
    policies: Sequence[TargetPolicy],
    settings: Settings | None = None,
    against: str | None = None,
    progress: Progress | None = None,
    spread: Spread = map,
) -> Comparison:
    """The same over the shards of one log (same arms and facts), mapped by `spread`."""
    log = shards[0]
    settings = settings or Settings()
    names = [policy.name for policy in policies]
    if len(set(names)) != len(names) or (against is not None and against not in names):
        raise BadInput(
            f"policies {names} compared with {against!r}: expected different names and a reference "
            "among them"
        )
    if not log.randomised:
        return _observational(log, names, against)
    if any(shard.arms != log.arms for shard in shards):
        raise BadInput("the shards name different arms, expected those of one log, in one order")
    # What a shard with few abstentions does not show is known from the others.
    seen = frozenset[str]().union(*(shard.unprompted for shard in shards))
    shards = [replace(shard, unprompted=seen) for shard in shards]
    log = shards[0]
    place = None if against is None else names.index(against)
    totals = totals_of(shards, policies, settings, progress or silent, spread, place)
    return _scored(log, names, settings, against, totals)


def _observational(log: Log, names: list[str], against: str | None) -> Comparison:
    refusal = Judgement(
        Verdict.REFUSE,
        ("observational log: nobody drew the actions, so no policy value can come from it",),
    )
    lines = tuple(Scored(name, "utility", refusal, None) for name in names)
    return Comparison(
        log.name, 0, None, against or LOGGER, lines, {}, {}, refusal, None, log.arms, {}
    )


def _scored(
    log: Log, names: list[str], settings: Settings, against: str | None, totals: Totals
) -> Comparison:
    first = next(iter(totals.sums.values()))
    require_rows(first.n)
    log_judgement = judge_log(log, totals)
    users = {name: found.squares() for name, found in totals.users.items()}
    lines: list[Scored] = []
    for outcome_name in totals.sums:
        if outcome_name != "worth":
            scorer = Scorer(outcome_name, totals, users, settings, log)
            lines += scorer.lines(names, against, log_judgement)
    return Comparison(
        log=log.name,
        rows=int(first.n),
        users=next((found.groups for found in users.values()), None),
        reference=against or LOGGER,
        scored=tuple(lines),
        send_rates={name: est.send_rate(first, k) for k, name in enumerate(names)},
        logged_means={
            name: est.logged_mean(sums).value
            for name, sums in totals.sums.items()
            if name != "worth"
        },
        log_judgement=log_judgement,
        draws=totals.draws.get("arm"),
        arms=log.arms,
        sums=totals.sums,
    )

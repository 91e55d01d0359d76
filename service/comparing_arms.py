"""`forbear arms`: what Forbear brought against the holdout and business as usual, per user.

Prints how many users each arm has and should have, what came of them, and the differences with
their intervals; a warning comes first where the differences should not be trusted.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from engine.arms import Shares, parse_arms
from engine.errors import BadInput
from engine.evaluation.by_arm import (
    ArmUsers,
    Difference,
    SampleRatio,
    differences,
    sample_ratio,
)
from engine.evaluation.log import Prices
from engine.evaluation.readers.arm_users import arm_users
from engine.evaluation.report import write_whole
from service.configuration.checking import check
from service.configuration.command import read_bytes
from service.configuration.document import Parts, configured
from service.destinations import check_destination
from service.settings import Settings


def compare_arms(
    log: Path, prices: Prices, shares: Shares | None, since: str | None, out: Path | None
) -> None:
    """Print the comparison, and write it to `out` as JSON if asked to."""
    if out is not None:
        check_destination(out)
    arms = arm_users(log, prices, _seconds(since))
    ratio = None if shares is None else sample_ratio({a.arm: a.users for a in arms}, shares)
    found = differences(arms)
    for line in (*_warnings(arms, ratio), *_arms_table(arms, ratio), *_differences(arms, found)):
        sys.stdout.write(f"{line}\n")
    if out is not None:
        write_whole(out, _json(arms, ratio, found))


def known_shares(settings: Settings, given: str | None) -> Shares | None:
    """What was given, else the configuration file's shares, else the environment's; None: none."""
    written = given
    if written is None:
        parts = {} if settings.config is None else _file(settings.config)
        written = configured(settings, parts).arms
    return parse_arms(written) if written else None


def _file(path: Path) -> Parts:
    return check(read_bytes(path), path.name).parts()


def _seconds(since: str | None) -> float:
    if since is None:
        return 0.0
    try:
        at = datetime.fromisoformat(since)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise BadInput(
            f"--since {since!r} cannot be read; expected a time with its offset, such as "
            "2026-11-22T00:00:00Z: correct it"
        )
    return at.timestamp()


def _warnings(arms: Sequence[ArmUsers], ratio: SampleRatio | None) -> Iterator[str]:
    if ratio is None:
        yield "No shares are known (FORBEAR_ARMS or --shares): the users are not checked by them."
    elif ratio.mismatch:
        yield (
            "WARNING: the arms' users do not fit their shares (sample-ratio test, p = "
            f"{ratio.p_value:.1g}). Either the shares were changed, then name the time of the "
            "change with --since, or something loses users of one arm, then no difference below "
            "means anything."
        )
    changed = sum(each.changed for each in arms)
    if changed:
        yield (
            f"WARNING: {changed:,} users were seen in more than one arm and count for the first; "
            "name the time of the last change of the shares with --since."
        )


def _arms_table(arms: Sequence[ArmUsers], ratio: SampleRatio | None) -> Iterator[str]:
    names = list(arms[0].outcomes)
    lines = [["arm", "users", "by share", *(f"{name}/user" for name in names)]]
    for each in arms:
        expected = ratio.expected.get(each.arm, 0.0) if ratio else None
        lines.append(
            [
                each.arm,
                f"{each.users:,}",
                "" if expected is None else f"{expected:,.0f}",
                *(f"{each.outcomes[name].mean:.4g}" for name in names),
            ]
        )
    yield from _aligned(lines)


def _differences(arms: Sequence[ArmUsers], found: Sequence[Difference]) -> Iterator[str]:
    if not found:
        yield "There is nothing to compare: expected a second arm beside the bandit."
        return
    users = {each.arm: each.users for each in arms}
    for reference in dict.fromkeys(each.reference for each in found):
        mine = [each for each in found if each.reference is reference]
        subject = mine[0].subject
        yield ""
        yield f"{subject} against {reference}, per user (intervals of 95%), and in all:"
        yield from _aligned([_difference(each, users[subject]) for each in mine])


def _difference(each: Difference, users: int) -> list[str]:
    relative = "" if each.relative is None else f"({each.relative:+.1%})"
    if each.interval is None:
        return [each.outcome, f"{each.value:+.4g}", "too few users to tell", relative, ""]
    low, high = each.interval.lower, each.interval.upper
    return [
        each.outcome,
        f"{each.value:+.4g}",
        f"[{low:+.4g}, {high:+.4g}]",
        relative,
        f"in all {each.value * users:+,.4g} [{low * users:+,.4g}, {high * users:+,.4g}]",
    ]


def _aligned(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _json(arms: Sequence[ArmUsers], ratio: SampleRatio | None, found: Sequence[Difference]) -> str:
    told = {
        "format": 1,
        "arms": [
            {
                "arm": each.arm,
                "users": each.users,
                "expected": ratio.expected.get(each.arm, 0.0) if ratio else None,
                "changed": each.changed,
                "per_user": {name: moments.mean for name, moments in each.outcomes.items()},
            }
            for each in arms
        ],
        "sample_ratio_p": ratio.p_value if ratio else None,
        "sample_ratio_mismatch": ratio.mismatch if ratio else None,
        "differences": [asdict(each) for each in found],
    }
    return json.dumps(told, indent=1) + "\n"

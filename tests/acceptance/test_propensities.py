"""The logged propensity is the law that was sampled, also while others write to the same users."""

import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import chi2

from service.demo.local import LocalService, running_service

AT = "2026-01-01T09:00:00Z"
"""The simulated clock stands still: a user's burden is a whole number of sends."""
USERS, SENDERS, BATCHES, BATCH = 5_000, 2, 200, 250
"""100,000 decisions."""
VALUES = (0.5, 1.0, 3.0)
COSTS = {"free": 0.0, "cheap": 0.004, "dear": 0.008, "dearest": 0.02}


@dataclass
class Seen:
    """All answers given in one state, which therefore share one law."""

    counts: Counter[str] = field(default_factory=Counter)
    law: dict[str, float] = field(default_factory=dict)


def _ask(service: LocalService, seed: int, answers: list[dict[str, object]]) -> None:
    rng = np.random.default_rng(seed)
    with service.client() as client:
        for _ in range(BATCHES):
            users = rng.permutation(USERS)[:BATCH].tolist()
            requests = [
                {"user_id": f"u{u}", "context": {}, "value": VALUES[u % 3], "at": AT} for u in users
            ]
            given = client.decide(requests)
            answers += [
                answer | {"value": request["value"]}
                for request, answer in zip(requests, given, strict=True)
            ]


def _write(service: LocalService, done: threading.Event) -> None:
    """Somebody else messages the same users meanwhile."""
    rng, number = np.random.default_rng(0), 0
    with service.client() as client:
        while not done.is_set():
            events = [
                {"event_id": f"x{number + i}", "type": "external_send", "user_id": f"u{u}"}
                for i, u in enumerate(rng.integers(0, USERS, 50).tolist())
            ]
            number += len(events)
            client.report(events)


def _answers(service: LocalService) -> list[dict[str, object]]:
    done, given = threading.Event(), [[] for _ in range(SENDERS)]  # type: ignore[var-annotated]
    senders = [
        threading.Thread(target=_ask, args=(service, seed, answers))
        for seed, answers in enumerate(given)
    ]
    writer = threading.Thread(target=_write, args=(service, done))
    for thread in (*senders, writer):
        thread.start()
    for thread in senders:
        thread.join()
    done.set()
    writer.join()
    return [answer for answers in given for answer in answers]


def _by_state(answers: list[dict[str, object]]) -> Mapping[object, Seen]:
    """Group answers by (value, burden); within a group every action has one propensity."""
    states: dict[object, Seen] = defaultdict(Seen)
    for answer in answers:
        seen = states[answer["value"], answer["burden"]]
        action = str(answer["action"])
        for name, propensity in (
            (action, answer["propensity"]),
            ("None", answer["abstain_propensity"]),
        ):
            assert isinstance(propensity, float)
            # batches of other sizes round a float32 elsewhere: another law, by a hair
            assert abs(seen.law.setdefault(name, propensity) - propensity) < 5e-4
        seen.counts[action] += 1
    return states


def _p_value(states: Mapping[object, Seen], tilt: float = 1.0) -> float:
    """Chi-squared over all states; cells expecting fewer than 5 are pooled within their state.

    `tilt` multiplies the logged probability of abstaining before the comparison.
    """
    statistic, freedom = 0.0, 0
    for seen in states.values():
        total = sum(seen.counts.values())
        law = dict(seen.law)
        law["None"] *= tilt
        expected = {name: total * p for name, p in law.items()}
        kept = [name for name, count in expected.items() if count >= 5]
        cells = [(seen.counts[name], expected[name]) for name in kept]
        rest = total - sum(count for count, _ in cells), total - sum(e for _, e in cells)
        if rest[1] >= 5:
            cells.append(rest)
        statistic += sum((count - e) ** 2 / e for count, e in cells)
        freedom += max(0, len(cells) - 1)
    return float(chi2.sf(statistic, freedom))


def test_frequencies_match_the_logged_propensities_under_concurrent_writes() -> None:
    """100,000 decisions over HTTP by two senders at once, with a third one writing."""
    settings = {
        "simulated_clock": True,
        "decide_timeout_ms": 20_000,
        "patience": "constant",
        "unsubscribe_cost": 3.0,
    }
    with running_service(settings) as service:
        with service.client() as client:
            for name, cost in COSTS.items():
                client.call("PUT", f"/v1/messages/{name}", {"send_cost": cost})
            # Before its first question the simulated clock says 1970: an external send told then
            # would make its user one who was left in peace for decades, and is tried again.
            client.decide([{"user_id": "sets-the-clock", "context": {}, "at": AT}])
        answers = _answers(service)
    assert len(answers) == SENDERS * BATCHES * BATCH
    recorded = [answer for answer in answers if answer["propensity"] is not None]
    assert {answer["reason"] for answer in answers if answer["propensity"] is None} <= {
        "contention"
    }
    assert len(recorded) > 0.9 * len(answers)
    states = _by_state(recorded)
    actions = Counter(answer["action"] for answer in recorded)
    assert set(actions) == {None, *COSTS}
    assert _p_value(states) > 1e-6
    # and it would notice a probability of abstaining that is off by a fifth
    assert _p_value(states, tilt=1.2) < 1e-6

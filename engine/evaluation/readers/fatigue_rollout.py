"""Synthetic notification-fatigue rollout: three schedules, on or ghost, with published truth.

Where to get it: repository ZeroDay-TheChosenNeo/measure-notification-fatigue (MIT licence), files
`users.csv`, `engagement_events.csv`, `optout_events.csv`.

One row per user. A user's law has three draws: the schedule, being in the randomised probe, and in
it on or ghost; the propensity is their product. Users outside the probe keep their place as column
0 (with the chance of staying outside), so that weights still average to one. Events count by one
over their chance of being reported. Sessions happen unprompted, ghosts have them too.
"""

from pathlib import Path

import numpy as np

from engine.evaluation.arrays import AnyArray, Ids, Ints, Vector
from engine.evaluation.log import CHUNK_ROWS, Log, LoggedBatch, log_in_memory
from engine.evaluation.readers.tables import numbers, open_table

SCHEDULES = ("cadence", "ripple", "surge")
ARMS = (
    "outside the probe",
    *[f"{name}:{state}" for name in SCHEDULES for state in ("on", "ghost")],
)


USERS = (
    "user_id schedule schedule_assignment_probability randomized_probe "
    "probe_inclusion_probability notifications_enabled activation_probability "
    "tenure_days prior_sessions_30d push_reliability"
)


def fatigue_rollout(folder: Path) -> Log:
    """The 90,000 users; sessions as `conversion`, opt-outs as `unsubscribe`, reporting-weighted."""
    users = _columns(folder / "users.csv.gz", USERS)
    ids = users["user_id"].astype(np.uint64)
    sessions = _counted(folder / "engagement_events.csv.gz", "event_reporting_probability", ids)
    optouts = _counted(folder / "optout_events.csv.gz", "optout_reporting_probability", ids)
    batch = LoggedBatch(
        row_id=ids,
        user=ids,
        time=np.zeros(ids.size),
        action=_arm(users),
        propensity=_propensity(users),
        outcomes={"conversion": sessions, "unsubscribe": optouts},
        value=np.ones(ids.size),
        send_cost=np.zeros(ids.size),
        features=np.stack(
            [
                numbers(users["tenure_days"]) / 365.0,
                numbers(users["prior_sessions_30d"]) / 10.0,
                numbers(users["push_reliability"]),
            ],
            axis=1,
        ),
    )
    return log_in_memory(
        "notification fatigue rollout",
        ARMS,
        batch,
        feature_names=("tenure", "prior sessions", "push reliability"),
        named_users=False,
        unprompted=frozenset({"conversion", "unsubscribe"}),
    )


def _columns(path: Path, names: str) -> dict[str, AnyArray]:
    table = open_table(path)
    table.require(names.split())
    chunks = list(table.select({name: name for name in names.split()}, CHUNK_ROWS))
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in names.split()}


def _arm(users: dict[str, AnyArray]) -> Ints:
    schedule = np.array([SCHEDULES.index(name) for name in users["schedule"]], dtype=np.int64)
    ghost = 1 - users["notifications_enabled"].astype(np.int64)
    return np.where(users["randomized_probe"] == 1, 1 + 2 * schedule + ghost, 0)


def _propensity(users: dict[str, AnyArray]) -> Vector:
    """P(schedule) P(in the probe) P(observed state), or the chance of staying outside."""
    inside = numbers(users["probe_inclusion_probability"])
    drawn = numbers(users["schedule_assignment_probability"]) * inside
    drawn *= numbers(users["activation_probability"])
    return np.where(users["randomized_probe"] == 1, drawn, 1.0 - inside)


def _counted(path: Path, probability: str, users: Ids) -> Vector:
    """Events of each user, each counted 1 / its chance of being reported; users sorted or not."""
    events = _columns(path, f"user_id {probability}")
    order = np.argsort(users)
    place = order[np.searchsorted(users[order], events["user_id"].astype(np.uint64))]
    counted = np.bincount(place, 1.0 / numbers(events[probability]), users.size)
    return numbers(counted)

"""Arms through the whole worker: who gets what, what is recorded, what the switches do."""

from typing import Any

import numpy as np
import pytest

from engine.arms import Arm
from engine.decision_log import from_row
from engine.errors import BadInput
from service.assembly import experiment
from service.settings import load_settings
from tests.unit.service.harness import Worker, settings, worker
from tests.unit.service.test_rules import NOON, at_noon, blocked, move

DAY = 86_400.0
FOUR = "holdout:0.25 random:0.25 business_as_usual:0.25"
QUESTIONS: list[dict[str, Any]] = [
    {},
    {"messages": ["receipt"]},
    {"value": 100.0},
    {"deferred": True},
]


def users(arm: Arm, number: int, arms: str = FOUR) -> list[str]:
    """The first users of an arm."""
    arm_of = experiment(settings(arms=arms)).arm_of
    return [name for n in range(40 * number) if arm_of(name := f"u{n}") is arm][:number]


async def batch(running: Worker, names: list[str], **given: Any) -> list[dict[str, Any]]:
    """Each user's answer."""
    asks = [{"user_id": name, "context": {}} | given for name in names]
    response = await running.client.post("/v1/decisions/batch", json={"decisions": asks})
    answers: list[dict[str, Any]] = response.json()["decisions"]
    return answers


async def sample(running: Worker, metric: str) -> float:
    """One number of /metrics."""
    text = (await running.client.get("/metrics")).text
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(metric))


async def test_the_holdout_never_receives_anything_whatever_its_history() -> None:
    """200 users, 40 days, every kind of question and event; the others are sent to all the time."""
    rng = np.random.default_rng(1)
    names = [f"u{n}" for n in range(200)]
    held = set(users(Arm.HOLDOUT, 1000)) & set(names)
    assert 30 < len(held) < 70
    reasons: set[str] = set()
    async with at_noon(arms=FOUR) as running:
        await running.client.put("/v1/messages/receipt", json={"transactional": True})
        for day in range(0, 40, 5):
            move(running, NOON + day * DAY)
            given = QUESTIONS[day % 4]
            for answer in await batch(running, names, **given):
                if answer["user_id"] in held:
                    assert (None, "holdout") == (answer["action"], answer["arm"])
                    reasons.add(answer["reason"])
            for name in rng.choice(names, 60, replace=False).tolist():
                kind = str(rng.choice(["external_send", "unsubscribe", "subscribe", "conversion"]))
                event = {"event_id": f"e{day}", "type": kind, "user_id": name}
                await running.report(event)
        sends = {name: (await running.store.user(name)).sends for name in names}
    assert {"holdout", "unsubscribed"} == reasons
    assert 0 == sum(sends[name] for name in held)
    assert sum(sends.values()) > 300


async def test_each_arm_is_in_answer_record_and_metrics() -> None:
    """Ten users of each arm; the counter is of this process, so what counts is what was added."""
    async with worker(settings(arms=FOUR)) as running:
        for arm in (Arm.HOLDOUT, Arm.RANDOM, Arm.BUSINESS_AS_USUAL, Arm.BANDIT):
            metric = f'forbear_decisions_total{{arm="{arm}",reason='
            before = await sample(running, metric)
            answers = await batch(running, users(arm, 10))
            assert {arm} == {answer["arm"] for answer in answers}
            assert 10 == await sample(running, metric) - before
            stored = await running.store.decision(answers[0]["decision_id"])
            assert stored is not None
            assert arm == from_row(stored.row).arm
            sent = sum(answer["action"] is not None for answer in answers)
            assert {Arm.HOLDOUT: 0, Arm.BUSINESS_AS_USUAL: 10}.get(arm, sent) == sent


@pytest.mark.parametrize("arms", [FOUR, ""])
@pytest.mark.parametrize("shadow", [True, False])
async def test_the_kill_switch_stops_every_arm(arms: str, shadow: bool) -> None:
    async with worker(settings(arms=arms, paused=True, shadow=shadow)) as running:
        answers = await batch(running, [f"u{n}" for n in range(60)])
    assert {(None, "paused")} == {(answer["action"], answer["reason"]) for answer in answers}


async def test_business_as_usual_follows_the_senders_order_under_its_own_caps() -> None:
    (name,) = users(Arm.BUSINESS_AS_USUAL, 1)
    (other,) = users(Arm.BANDIT, 1)
    async with at_noon(arms=FOUR, usual_caps="2/7d") as running:
        await running.client.put("/v1/messages/news", json={})
        for order in (["sale", "news"], ["news", "sale"]):
            answer = (await running.decide(name, messages=order)).json()
            assert (order[0], 1.0) == (answer["action"], answer["propensity"])
        full = ("no_candidate", {"sale": "cap", "news": "cap"})
        assert full == await blocked(running, user_id=name)
        move(running, NOON + 7 * DAY)
        assert (await running.decide(name)).json()["action"] == "news"
        for _ in range(3):  # what caps the usual rule does not cap the bandit
            assert (await running.decide(other)).json()["action"] is not None


async def test_in_shadow_the_law_is_on_record_and_nothing_is_sent_counted_or_taught() -> None:
    async with worker(settings(shadow=True)) as running:
        answer = (await running.decide()).json()
        assert (None, None, "shadow", "shadow") == (
            answer["action"],
            answer["propensity"],
            answer["reason"],
            answer["arm"],
        )
        record = (await running.client.get(f"/v1/decisions/{answer['decision_id']}")).json()
        law = [one["propensity"] for one in record["decision"]["candidates"]]
        assert 1.0 == sum(law) + answer["abstain_propensity"]
        assert sum(law) > 0.5
        click = {"event_id": "c", "type": "click", "user_id": "u1"}
        await running.report(click | {"decision_id": answer["decision_id"]})
        record = (await running.client.get(f"/v1/decisions/{answer['decision_id']}")).json()
        assert {"click": None, "unsubscribe": None} == record["labels"]
        assert 0 == await running.store.entries_added()
        state = await running.store.user("u1")
        assert (0.0, 0, ()) == (state.burden, state.sends, state.history)


async def test_in_shadow_the_other_tools_sends_are_the_users_burden() -> None:
    """So that the law on record is the one it would have been with Forbear in charge."""
    async with at_noon(shadow=True, caps="2/1d") as running:
        for n in range(2):
            event = {"event_id": f"e{n}", "type": "external_send", "user_id": "u1"}
            await running.report(event)
        assert 2.0 == (await running.decide()).json()["burden"]
        assert ("no_candidate", {"sale": "cap"}) == await blocked(running)


async def test_without_a_store_the_fallback_still_names_the_arm() -> None:
    (name,) = users(Arm.HOLDOUT, 1)
    async with worker(settings(arms=FOUR)) as running:
        running.store.away = True
        answer = (await running.decide(name)).json()
    assert ("fallback", "holdout", None) == (answer["reason"], answer["arm"], answer["action"])


async def test_a_repeated_question_names_the_arm_it_was_answered_in() -> None:
    async with worker(settings(arms="random:1")) as running:
        first, again = [await running.decide(idempotency_key="k") for _ in range(2)]
    assert first.json() == again.json()
    assert "random" == again.json()["arm"]


def test_the_assignment_depends_on_secret_and_name_alone() -> None:
    """Two names or secrets agree on 500 users with four even arms by chance: a quarter, 125."""
    names = [f"u{n}" for n in range(500)]

    def dealt(**given: Any) -> list[Arm]:
        arm_of = experiment(settings(arms=FOUR, **given)).arm_of
        return [arm_of(name) for name in names]

    base = dealt(pseudonym_key="one")
    assert base == dealt(pseudonym_key="one", floor=0.2, workers=3)
    for other in (dealt(pseudonym_key="two"), dealt(pseudonym_key="one", experiment="second")):
        assert pytest.approx(125, abs=50) == sum(a is b for a, b in zip(base, other, strict=True))


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("arms", "holdot:0.1", "FORBEAR_ARMS: arm 'holdot' is not known; expected some of"),
        ("arms", "holdout:0.6 random:0.6", "FORBEAR_ARMS: the arms' shares sum to 1.2; expected"),
        ("usual_caps", "often", "FORBEAR_USUAL_CAPS: cap 'often' of 'often' cannot be used"),
        ("shadow", "maybe", "FORBEAR_SHADOW is 'maybe'; expected a valid boolean"),
    ],
)
def test_arms_that_cannot_be_used_stop_the_start_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, given: str, says: str
) -> None:
    monkeypatch.setenv(f"FORBEAR_{name.upper()}", given)
    with pytest.raises(BadInput) as error:
        load_settings()
    assert str(error.value).startswith(says)
    assert "\n" not in str(error.value)

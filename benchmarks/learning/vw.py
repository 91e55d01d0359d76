"""Vowpal Wabbit's contextual bandits, `--cb_explore_adf`, with silence as one more arm.

A send's reward is click - L x unsubscribe - F - c_send / v, in clicks of the user, with L and F
tuned; the cost VW sees is minus that. Silence earns 0, or, in the variants named `+r0`, our abstain
reward: two heads of ours learn beside from the same sends, and what they would pay silence for is
that arm's label. Actions have three features (being a send at all, category, message), crossed with
the user's: the blocks our own heads have. Examples go in as numbers, not as text, and models learn
in batches as ours do; so VW is as fast here as it can be.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import vowpal_wabbit_next as vw
from numpy.typing import NDArray

from benchmarks.learning.features import Features
from benchmarks.learning.ledger import Ledger
from benchmarks.learning.two_heads import TwoHeads, asserted, priors
from engine.context import name_hash
from engine.worlds.chance import Kind, uniforms
from engine.worlds.population import Population
from engine.worlds.world import ABSTAIN_INDEX, Batch, Events, Floats, Ints

_FIXED = ("--cb_explore_adf", "--cb_type=mtr", "--quiet", "--quadratic=sa", "--bit_precision=18")
_WORST = 1.0
"""Upper end of the costs that regcb and squarecb reckon with; larger ones are learned all the same
and predictions are clipped to it."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What VW is told an outcome is worth, in clicks."""

    leave: float
    flat: float

    def reward(self, clicked: bool, left: bool) -> float:
        """Of a send."""
        return float(clicked) - self.leave * left - self.flat


@dataclass(slots=True)
class _Choice:
    """A decision that VW is still to learn from."""

    shared: vw.Example
    offered: list[int]
    place: int
    chance: float
    send: bool
    send_cost: float
    reward: float = 0.0
    """Of silence."""


class VwBandit:
    """One of VW's explorers; `options` names it, `paid` gives silence our abstain reward."""

    def __init__(
        self, world: Population, seed: int, options: Sequence[str], costs: Costs, *, paid: bool
    ) -> None:
        self._send_cost, self._seed, self._costs = world.send_cost, seed, costs
        bounds = ("--cb_min_cost=-1", f"--cb_max_cost={_WORST}")
        wanted = [*_FIXED, f"--random_seed={seed + 1}", *options]
        if any(option.startswith(("--squarecb", "--regcb")) for option in options):
            wanted += bounds
        self._workspace = vw.Workspace(wanted)
        self._features = Features(world)
        self._slots = np.array(
            [name_hash(f"s{i}") for i in range(self._features.size)], dtype=np.uint64
        )
        self._arms = [_action(world, k) for k in range(len(world.messages))] + [_silence()]
        self._ledger: Ledger[_Choice] = Ledger(world)
        self._beside = _beside(world, seed, costs) if paid else None

    def act(self, batch: Batch) -> Ints:
        """Draw from VW's law for everybody."""
        rows = self._features.rows(batch).astype(np.float32)
        offered = [*np.flatnonzero(batch.available).tolist(), len(self._arms) - 1]
        drawn = uniforms(self._seed, batch.users, batch.step, Kind.POLICY)
        choices = [
            self._choice(row, offered, float(u), self._send_cost / v if v else 0.0)
            for row, u, v in zip(rows, drawn, batch.values.tolist(), strict=True)
        ]
        if self._beside:
            self._pay(self._beside, batch, choices)
        for user, choice in zip(batch.users.tolist(), choices, strict=True):
            self._ledger.open(user, batch.step, batch.at, choice)
        sent = [c.offered[c.place] if c.send else ABSTAIN_INDEX for c in choices]
        return np.array(sent, dtype=np.int64)

    def observe(self, events: Events, until: float) -> None:
        """Learn what is known, silence as well."""
        if self._beside:
            self._beside.observe(events, until)
        for choice, clicked, left in self._ledger.close(events, until):
            if choice.send:
                choice.reward = self._costs.reward(clicked, left) - choice.send_cost
            self._learn(choice)

    def _choice(self, row: Floats, offered: list[int], u: float, send_cost: float) -> _Choice:
        shared = _example("s", self._slots[row != 0], row[row != 0], vw.CBLabel(shared=True))
        examples = [shared, *(self._arms[k] for k in offered)]
        law = dict(cast("list[tuple[int, float]]", self._workspace.predict_one(examples)))
        chances = np.array([law[i] for i in range(len(offered))], dtype=np.float64)
        ladder = chances.cumsum()
        place = min(int(np.searchsorted(ladder, u * ladder[-1], side="right")), len(offered) - 1)
        send = place < len(offered) - 1
        return _Choice(shared, offered, place, float(chances[place]), send, send_cost)

    def _pay(self, beside: TwoHeads, batch: Batch, choices: list[_Choice]) -> None:
        """Our abstain reward as the label of silence; sends go to the two heads as well."""
        drawn = beside.decided(batch, np.arange(len(choices)))
        for user, choice, one in zip(batch.users.tolist(), choices, drawn, strict=True):
            if choice.send:
                message = choice.offered[choice.place]
                beside.sent(user, batch, beside.teaching(one.decision, message))
            else:
                choice.reward = one.decision.abstain_reward

    def _learn(self, choice: _Choice) -> None:
        arm = self._arms[choice.offered[choice.place]]
        arm.set_label(vw.CBLabel(label=(-choice.reward, max(choice.chance, 1e-4))))
        self._workspace.learn_one([choice.shared, *(self._arms[k] for k in choice.offered)])
        arm.set_label(vw.CBLabel())


def _beside(world: Population, seed: int, costs: Costs) -> TwoHeads:
    return TwoHeads(world, seed, asserted(world, costs.leave, costs.flat, 1.0), priors(0.1))


def _example(space: str, slots: Any, values: NDArray[Any], label: vw.CBLabel) -> vw.Example:
    example = vw.Example()
    example[space].push_many_features(slots, cast("Any", values.astype(np.float32)))
    example.set_label(label)
    return example


def _action(world: Population, k: int) -> vw.Example:
    message = world.messages[k]
    names = ["send", *(f"{key}:{fact}" for key, fact in message.attributes.items()), message.id]
    slots = np.array([name_hash(name) for name in names], dtype=np.uint64)
    return _example("a", slots, np.ones(len(names)), vw.CBLabel())


def _silence() -> vw.Example:
    return _example(
        "a", np.array([name_hash("abstain")], dtype=np.uint64), np.ones(1), vw.CBLabel()
    )

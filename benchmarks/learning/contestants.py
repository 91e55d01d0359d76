"""Who takes part: every policy by name, how it is made from a setting, and what is tuned of it.

A setting is one number per axis. Costs come first wherever there are any, so that a policy can
start its search from the costs found for another (`starts_from`): first the costs are sought that
suit a team which knows the truth, then those of our heads, then those of each peer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from benchmarks.learning import peers
from benchmarks.learning.checked import Checked
from benchmarks.learning.duolingo import SleepingRecovering
from benchmarks.learning.ledger import DAY, windows_of
from benchmarks.learning.ours import ForbearPolicy
from benchmarks.learning.pacing import Pacing, Priced
from benchmarks.learning.two_heads import TwoHeads, asserted, priors
from benchmarks.learning.vw import Costs, VwBandit
from engine.exploration import Explorer, InverseGap, Thompson
from engine.patience import ConstantPatience, LearnedPatience
from engine.policy import Policy as EnginePolicy
from engine.worlds.policies import Greedy, Never, Random
from engine.worlds.population import Population
from engine.worlds.world import Policy

Setting: TypeAlias = tuple[float, ...]
Make: TypeAlias = Callable[[Population, int, Setting], Policy]


@dataclass(frozen=True, slots=True)
class Axis:
    """One thing that is tuned."""

    name: str
    values: tuple[float, ...]
    start: float


LEAVE: Final = Axis("leave_cost", (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0), 5.0)
FLAT: Final = Axis(
    "flat_cost",
    (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6),
    0.1,
)
GAP: Final = Axis("gap_days", (0.2, 0.5, 1, 2, 3, 4, 5, 6, 7, 10, 14, 21, 30), 4)
BELIEF: Final = Axis("click_rate_before", (0.005, 0.02, 0.1, 0.2, 0.4), 0.1)
CAUTION: Final = Axis("caution", (0.0, 1.0), 0.0)
"""1: with all the ways to hold back that the engine has by default; 0: with none."""
SCALE: Final = Axis("exploration_scale", (0.1, 0.2, 0.35), 0.35)
STEP: Final = Axis("learning_rate", (0.1, 0.5, 2.0, 5.0, 15.0), 0.5)


DEFAULT: Final = "forbear-rho1"
"""The policy as shipped."""

FRONTIER: Final = "patience"
"""The arena where value is held against unsubscribes."""

SMALL: Final = ("patience_tenth", "momentary_tenth")
"""Arenas for a peer that takes 0.5 ms a decision in batches, several alone."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A policy that takes part."""

    make: Make
    axes: tuple[Axis, ...] = ()
    trials: int = 0
    """How many settings may be tried."""
    starts_from: str | None = None
    """Whose tuned setting is the start, as far as the axes are the same."""
    borrows: bool = False
    """Take that setting as it is: the pair then differs in nothing else."""
    raced: bool = True
    """Dropped when far behind (see `contest`)."""
    knows_truth: bool = False
    only: tuple[str, ...] = ()
    """Arenas; empty: all."""


def _flat(world: Population, seed: int, setting: Setting) -> Policy:
    leave, flat, belief, caution, scale = setting
    return TwoHeads(world, seed, asserted(world, leave, flat, caution, scale), priors(belief))


def _gain_only(
    world: Population, seed: int, threshold: float, gap: float, belief: float, scale: float
) -> Policy:
    """Forecast clicks alone; a send costs nothing but the threshold."""
    policy = replace(asserted(world, 0.0, threshold, 0.0, scale), send_cost=0.0)
    return TwoHeads(world, seed, policy, priors(belief), gap)


EXPLORERS: Final[dict[str, tuple[Axis, Callable[[float], list[str]]]]] = {
    "squarecb": (
        Axis("gamma_scale", (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0), 100.0),
        lambda x: ["--squarecb", f"--gamma_scale={x}"],
    ),
    "regcb": (
        Axis("mellowness", (0.0001, 0.001, 0.01, 0.1, 1.0), 0.01),
        lambda x: ["--regcb", f"--mellowness={x}"],
    ),
    "cover": (
        Axis("cover_epsilon", (0.0, 0.01, 0.02, 0.05, 0.1), 0.02),
        lambda x: ["--cover=5", f"--epsilon={x}"],
    ),
    "bag": (Axis("bags", (3.0, 5.0, 10.0), 5.0), lambda x: [f"--bag={x:.0f}"]),
    "softmax": (
        Axis("lambda", (3.0, 10.0, 30.0, 100.0, 300.0), 30.0),
        lambda x: ["--softmax", f"--lambda={x}"],
    ),
    "epsilon": (
        Axis("epsilon", (0.002, 0.01, 0.02, 0.05, 0.1), 0.02),
        lambda x: [f"--epsilon={x}"],
    ),
}


def _vw(options: Callable[[float], list[str]], *, paid: bool) -> Make:
    def make(world: Population, seed: int, setting: Setting) -> Policy:
        leave, flat, step, exploration = setting
        wanted = [*options(exploration), f"--learning_rate={step}"]
        return VwBandit(world, seed, wanted, Costs(leave, flat), paid=paid)

    return make


def _vw_family() -> dict[str, Contestant]:
    family = {}
    for name, (axis, options) in EXPLORERS.items():
        first = name == "squarecb"
        family[f"vw-{name}"] = Contestant(
            _vw(options, paid=False),
            (LEAVE, FLAT, STEP, axis),
            trials=24 if first else 8,
            starts_from="oracle-flat" if first else "vw-squarecb",
        )
        family[f"vw-{name}+r0"] = Contestant(
            _vw(options, paid=True),
            (LEAVE, FLAT, STEP, axis),
            starts_from=f"vw-{name}",
            borrows=True,
        )
    return family


def contestants() -> dict[str, Contestant]:
    """Everybody, those whose tuned costs others start from first."""
    return {
        "never": Contestant(lambda _w, _s, _x: Never(), raced=False),
        "random": Contestant(lambda _w, seed, _x: Random(seed)),
        "oracle-flat": Contestant(
            lambda world, _s, x: Greedy(world, x[0], x[1], scaled=True),
            (LEAVE, FLAT),
            trials=40,
            raced=False,
            knows_truth=True,
        ),
        "always-best": Contestant(
            lambda world, seed, _x: _gain_only(world, seed, 0.0, 0.0, BELIEF.start, SCALE.start)
        ),
        "cap": Contestant(
            lambda world, seed, x: _gain_only(world, seed, 0.0, *x),
            (GAP, BELIEF, SCALE),
            trials=14,
        ),
        "threshold": Contestant(
            lambda world, seed, x: _gain_only(world, seed, x[0], 0.0, *x[1:]),
            (FLAT, BELIEF, SCALE),
            trials=14,
            starts_from="oracle-flat",
        ),
        "flat-tuned": Contestant(
            _flat,
            (LEAVE, FLAT, BELIEF, CAUTION, SCALE),
            trials=30,
            starts_from="oracle-flat",
            raced=False,
        ),
        "duolingo": Contestant(
            lambda world, seed, x: SleepingRecovering(world, seed, *x),
            (
                GAP,
                Axis("gamma", (0.0, 0.017, 0.05, 0.2, 0.5, 1.0), 0.05),
                Axis("tau", (0.0025, 0.01, 0.03, 0.1, 0.3), 0.03),
            ),
            trials=20,
        ),
        **_flat_points(),
        **_vw_family(),
        **_peers(),
        **_ours(),
    }


def _flat_points() -> dict[str, Contestant]:
    """Flat costs from careless to timid, in the patience world: value against unsubscribes."""
    points = ((0, 0.2), (2, 0.1), (5, 0.2), (10, 0.2), (20, 0.3), (40, 0.3), (80, 0.4))

    def made(leave: float, flat: float) -> Contestant:
        return Contestant(
            lambda world, seed, _x: _flat(world, seed, (leave, flat, 0.2, 0.0, SCALE.start)),
            raced=False,
            only=(FRONTIER,),
        )

    return {f"flat-{leave:g}-{flat:g}": made(leave, flat) for leave, flat in points}


def _peers() -> dict[str, Contestant]:
    """Libraries that are installed; the slow one only where everything is small."""
    alpha = Axis("alpha", (0.01, 0.03, 0.1, 0.3, 1.0), 0.1)
    precision = Axis("prior_precision", (1.0, 3.0, 10.0, 30.0), 10.0)
    shrinkage = Axis("shrinkage", (1e-4, 1e-3, 1e-2, 1e-1), 1e-2)
    family = {
        "mabwiser-lints": Contestant(
            peers.mabwiser("LinTS"), (LEAVE, FLAT, alpha), 16, "oracle-flat"
        ),
        "mabwiser-linucb": Contestant(
            peers.mabwiser("LinUCB"), (LEAVE, FLAT, alpha), 16, "oracle-flat"
        ),
        "contextualbandits-bootstrapped-ts": Contestant(
            peers.contextual, (FLAT, shrinkage), 12, "oracle-flat", only=SMALL
        ),
        "bayesianbandits-logistic-ts": Contestant(
            peers.bayesian, (LEAVE, FLAT, precision), 12, "oracle-flat"
        ),
    }
    absent = peers.missing()
    return {name: who for name, who in family.items() if name.split("-")[0] not in absent}


def _ours() -> dict[str, Contestant]:
    """Ours: rho, the price of patience or configured constants, and the explorer; nothing tuned.

    In the frontier's arena also with both costs multiplied, and with a half-life believed wrong.
    """
    gap = InverseGap()
    swept = {f"{DEFAULT}-x{by:g}": _forbear(strength=by, frontier=True) for by in (1.5, 2.0, 3.0)}
    wrong = {
        f"{DEFAULT}-half-life-x{by:g}{checked}": _forbear(
            belief=by, checked=bool(checked), frontier=True
        )
        for by in (0.5, 2.0)
        for checked in ("", "-checked")
    }
    return {
        DEFAULT: _forbear(),
        "forbear-rho0.5": _forbear(rho=0.5),
        "forbear-rho0": _forbear(rho=0.0),
        "forbear-rho1-unpriced": _forbear(priced=False),
        "forbear-rho0.5-unpriced": _forbear(rho=0.5, priced=False),
        "forbear-rho0-unpriced": _forbear(rho=0.0, priced=False),
        "forbear-rho1-inverse-gap": _forbear(explorer=gap),
        "forbear-rho1-unpriced-inverse-gap": _forbear(explorer=gap, priced=False),
        **swept,
        **wrong,
    }


def _forbear(
    *,
    rho: float = 1.0,
    explorer: Explorer | None = None,
    priced: bool = True,
    strength: float = 1.0,
    belief: float = 1.0,
    checked: bool = False,
    frontier: bool = False,
) -> Contestant:
    """`belief` multiplies the half-life believed in; `checked`: until the log says better.

    Slots of a budget have the engine's price, where peers have their tuned flat cost.
    """

    def make(world: Population, seed: int, setting: Setting) -> Policy:
        del setting
        policy = EnginePolicy(
            explorer=explorer or Thompson(),
            patience=LearnedPatience(strength=strength) if priced else ConstantPatience(),
            rho=rho,
            send_cost=world.send_cost,
            half_life=belief * world.half_life * DAY,
        )
        if checked:
            return Checked(world, seed, policy, windows_of(world))
        ours = ForbearPolicy(world, seed, policy, windows=windows_of(world))
        if world.daily_sends is None:
            return ours
        return Priced(world, ours, seed, Pacing(world.daily_sends))

    return Contestant(make, raced=False, only=(FRONTIER,) if frontier else ())


def written(setting: Sequence[float]) -> str:
    """A setting as the CSV has it."""
    return " ".join(f"{number:g}" for number in setting)


def quick() -> dict[str, Contestant]:
    """A few of them, as they come: nothing is tuned, the costs are those of the patience world."""
    everybody = contestants()
    kept = (
        "never",
        "random",
        "oracle-flat",
        "always-best",
        "flat-tuned",
        "vw-squarecb",
        DEFAULT,
        "forbear-rho0",
        "forbear-rho1-unpriced",
    )
    return {
        name: replace(who, trials=0, raced=False) for name, who in everybody.items() if name in kept
    }

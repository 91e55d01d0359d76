"""What `forbear demo` shows: progress while it works, then a table and curves."""

import functools
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from engine.decision import Floats
from engine.worlds.simulation import Outcome
from service.demo.drawing import print_curves, print_table, save_curves
from service.demo.hillstrom import Replay, read, replay
from service.demo.population import Size, compare
from service.destinations import check_destination

UNIT = "days"


def progress_bar(console: Console) -> Progress:
    """The bar that long work shows."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def show_population(size: Size, plot: Path | None) -> dict[str, Outcome]:
    """Run the simulated population and print what was learned."""
    if plot is not None:
        check_destination(plot)
    console = Console()
    console.print(
        f"{size.users} simulated users, {size.days} days, {size.messages} messages, one decision "
        "a day each, over HTTP. Sends wear people out: clicks fall, then they unsubscribe."
    )
    with progress_bar(console) as bar:
        task = bar.add_task("days", total=size.days)
        world, outcomes = compare(
            size, lambda done, total: bar.update(task, completed=done, total=total)
        )
    rows = [
        [
            name,
            f"{outcome.value:,.0f}",
            f"{outcome.clicks:,}",
            f"{outcome.unsubscribes:,}",
            f"{outcome.sends:,}",
            f"{outcome.abstain_share:.0%}",
        ]
        for name, outcome in outcomes.items()
    ]
    columns = ["policy", "value", "clicks", "unsubscribes", "sends", "abstained"]
    title = f"After {size.days} days (value = worth of clicks - cost of sends)"
    print_table(console, title, columns, rows)
    console.print(
        "'always send' knows the true click rates and sends each user his best message every day; "
        "forbear started knowing nothing.\n"
    )
    value = {name: _total(outcome.daily_value) for name, outcome in outcomes.items()}
    print_curves(console, "Value so far", UNIT, value)
    fourths = _by_fourth(outcomes["forbear"])
    print_table(console, "What forbear learned", fourths[0], fourths[1:])
    if plot is not None:
        left = {name: _total(outcome.daily_unsubscribes) for name, outcome in outcomes.items()}
        panels = {"value so far": value, "unsubscribes so far": left}
        save_curves(plot, f"{world.n_users} users, {world.name} world", UNIT, panels)
        console.print(f"Drawn to {plot}")
    return outcomes


def show_hillstrom(path: Path, plot: Path | None, seed: int) -> list[Replay]:
    """Run Hillstrom's log at two prices of a mail and print what was learned."""
    if plot is not None:
        check_destination(plot)
    console = Console()
    customers = read(path)
    console.print(
        f"{len(customers):,} real customers, e-mails assigned at random; outcome: a visit within "
        "two weeks, which also happens unprompted."
    )
    replays = []
    with progress_bar(console) as bar:
        for send_cost in (0.05, 0.12):
            task = bar.add_task(f"a mail costs {send_cost}", total=len(customers))
            advance = functools.partial(bar.advance, task)
            replays.append(replay(customers, send_cost, seed, advance))
    columns = [
        "a mail costs", "best single arm", "its value", "forbear, all rows", "last half",
        "best arm - last half", "abstained, all", "last half",
    ]  # fmt: skip
    print_table(console, "Value of a customer", columns, [_replay_row(one) for one in replays])
    console.print("± is one standard error; rows kept by rejection replay.\n")
    curves = {}
    for one in replays:
        curve = _running_mean(one.kept)
        best = np.full(curve.size, one.arm_values[one.best_arm])
        curves[f"a mail costs {one.send_cost}"] = {
            "forbear": curve,
            f"best arm: {one.best_arm}": best,
        }
        title = f"Mean value of a customer so far, a mail costs {one.send_cost}"
        print_curves(
            console, title, "thousands of rows kept", curves[f"a mail costs {one.send_cost}"]
        )
    if plot is not None:
        save_curves(plot, "Hillstrom's log, rejection replay", "hundreds of rows kept", curves)
        console.print(f"Drawn to {plot}")
    return replays


def _replay_row(one: Replay) -> list[str]:
    late = one.kept[one.kept.size // 2 :]
    best = one.arm_values[one.best_arm]
    half = one.abstained.size // 2
    return [
        f"{one.send_cost}",
        one.best_arm,
        f"{best:.4f}",
        _with_error(one.kept),
        _with_error(late),
        f"{best - late.mean():+.4f}",
        f"{one.abstained.mean():.0%}",
        f"{one.abstained[half:].mean():.0%}",
    ]


def _with_error(rewards: Floats) -> str:
    return f"{rewards.mean():.4f} ± {rewards.std(ddof=1) / np.sqrt(rewards.size):.4f}"


def _running_mean(rewards: Floats) -> Floats:
    """Mean reward so far, at every hundredth row kept."""
    mean = np.cumsum(rewards) / np.arange(1, rewards.size + 1)
    return np.asarray(mean[99::100])


def _total(daily: np.ndarray) -> Floats:
    return np.asarray(np.cumsum(daily), np.float64)


def _by_fourth(outcome: Outcome) -> list[list[str]]:
    """How forbear's behaviour changed over the run, in four parts."""
    parts = [
        [column.sum() for column in np.array_split(daily, 4)]
        for daily in (
            outcome.daily_sends, outcome.daily_clicks, outcome.daily_unsubscribes,
            outcome.daily_value,
        )
    ]  # fmt: skip
    rows = [
        ["part of the run", "sends", "clicks per send", "unsubscribes per 1,000 sends", "value"]
    ]
    for number, (sends, clicks, left, value) in enumerate(zip(*parts, strict=True), start=1):
        per_send = max(int(sends), 1)
        rows.append(
            [
                f"{number} of 4",
                f"{sends:,}",
                f"{clicks / per_send:.3f}",
                f"{1000 * left / per_send:.1f}",
                f"{value:,.0f}",
            ]
        )
    return rows

"""The command `forbear`. Imports wait until a command needs them: help should be instant."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from service.settings import Settings

app = typer.Typer(
    help="Which message now, or none? A self-hosted decision service for outreach.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _settings(**given: object) -> "Settings":
    """The settings; what was given on the command line becomes part of the environment.

    So the processes that a command starts are told the same.
    """
    from service.settings import load_settings, variable

    os.environ |= {variable(name): str(value) for name, value in given.items() if value is not None}
    return load_settings()


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.")] = None,
    workers: Annotated[int | None, typer.Option(help="API processes.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Of the bundled server.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="The team's configuration, taken up whenever it changes.")
    ] = None,
    simulated_clock: Annotated[
        bool | None, typer.Option("--simulated-clock", help="The time is the largest `at` seen.")
    ] = None,
) -> None:
    """Start store, learner and API together: all that one machine needs."""
    from service.serving import run_all

    settings = _settings(
        host=host,
        port=port,
        workers=workers,
        data_dir=data_dir,
        config=config,
        simulated_clock=simulated_clock,
    )
    sys.exit(run_all(settings))


@app.command()
def api(
    fd: Annotated[int | None, typer.Option(help="An inherited listening socket.")] = None,
) -> None:
    """Start one API worker."""
    from service.serving import run_api

    run_api(_settings(), fd)


@app.command()
def learn() -> None:
    """Start the learner; a second one stands by."""
    from service.serving import run_learner

    run_learner(_settings())


@app.command()
def check(file: Annotated[Path, typer.Argument(help="A configuration, in YAML.")]) -> None:
    """Check a configuration: every fault with its line, or what it says; exit 1 on a fault."""
    from service.configuration.command import check_file

    sys.exit(check_file(file))


@app.command()
def import_unsubscribed(
    file: Annotated[Path, typer.Argument(help="One user id a line.")],
    channel: Annotated[
        str | None, typer.Option(help="The channel they have left; every one if left out.")
    ] = None,
) -> None:
    """Bring existing opt-outs in; nothing is learned from them."""
    from service.importing import import_file

    import_file(_settings(), file, channel)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="Ends in .jsonl or .parquet.")],
    trim: Annotated[
        bool, typer.Option("--trim", help="Then drop what was written and is past the retention.")
    ] = False,
) -> None:
    """Write every decision with its labels to a file, users under pseudonyms."""
    from service import exporting

    exporting.export(_settings(), file, trim=trim)


@app.command()
def export_user(
    user: Annotated[str, typer.Argument(help="The user's id.")],
) -> None:
    """Print everything that is stored about one user, as JSON."""
    from service import privacy

    privacy.export_user(_settings(), user)


@app.command()
def erase_user(
    user: Annotated[str, typer.Argument(help="The user's id.")],
) -> None:
    """Delete everything that leads back to one user; an unsubscribe stays in force."""
    from service import privacy

    privacy.erase_user(_settings(), user)


@app.command()
def evaluate(
    log: Annotated[Path, typer.Argument(help="An exported log, or a public data set's file.")],
    policy: Annotated[
        list[str] | None,
        typer.Option(help="never, random, logged, best, always:M, cap:..., repriced:L, stored:N."),
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Compare with this; default: the log.")
    ] = None,
    format: Annotated[  # noqa: A002 (the option's name)
        str, typer.Option(help="decision-log, or a public data set: see service/evaluating.py.")
    ] = "decision-log",
    column: Annotated[
        list[str] | None, typer.Option(help="ROLE=COLUMN, for a log of another shape.")
    ] = None,
    feature: Annotated[list[str] | None, typer.Option(help="Numeric context key to use.")] = None,
    click_worth: Annotated[float, typer.Option(help="Times each row's value.")] = 1.0,
    unsubscribe_cost: Annotated[float, typer.Option(help="Worth lost with a user.")] = 10.0,
    send_cost: Annotated[float | None, typer.Option(help="Default: each row's own.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report page.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write everything as JSON.")] = None,
    gate: Annotated[bool, typer.Option("--gate", help="Exit 3 unless the policy passes.")] = False,
) -> None:
    """Estimate what other policies would have earned on a log, or refuse to."""
    from engine.evaluation.log import Prices
    from service import evaluating

    asked = evaluating.Question(
        log=log,
        format=format,
        policies=policy or [],
        against=against,
        prices=Prices(click_worth, unsubscribe_cost, send_cost),
        columns=column or [],
        features=feature or [],
    )
    sys.exit(evaluating.evaluate(asked, html, json, judge=gate))


@app.command()
def arms(
    log: Annotated[Path, typer.Argument(help="An exported log.")],
    shares: Annotated[
        str | None,
        typer.Option(help="holdout:0.05 random:0.01; default: those of FORBEAR_CONFIG or ARMS."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Leave out what was decided before this time.")
    ] = None,
    click_worth: Annotated[float, typer.Option(help="Times each row's value.")] = 1.0,
    unsubscribe_cost: Annotated[float, typer.Option(help="Worth lost with a user.")] = 10.0,
    send_cost: Annotated[float | None, typer.Option(help="Default: each row's own.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write everything as JSON.")] = None,
) -> None:
    """Compare the arms per user: what Forbear brought against holdout and business as usual."""
    from engine.evaluation.log import Prices
    from service.comparing_arms import compare_arms, known_shares

    prices = Prices(click_worth, unsubscribe_cost, send_cost)
    compare_arms(log, prices, known_shares(_settings(), shares), since, json)


@app.command("half-life")
def half_life(
    log: Annotated[Path, typer.Argument(help="An exported log.")],
    most: Annotated[int, typer.Option(min=1, help="The latest sends that are used.")] = 50_000,
) -> None:
    """Say which half-life of the burden the log speaks for."""
    from service.choosing_half_life import choose_half_life

    choose_half_life(log, _settings().burden_half_life_s, most)


@app.command()
def demo(
    hillstrom: Annotated[
        Path | None, typer.Option(help="Replay this real log instead: Hillstrom's CSV, or .gz.")
    ] = None,
    users: Annotated[int, typer.Option(min=10, help="Simulated users.")] = 300,
    days: Annotated[int, typer.Option(min=4, help="Simulated days.")] = 90,
    seed: Annotated[int, typer.Option(help="Of the population, or of the order of the log.")] = 1,
    plot: Annotated[Path | None, typer.Option(help="Also draw to this PNG file.")] = None,
) -> None:
    """Show the service learn: simulated people over HTTP, or a real log."""
    from service.demo import run
    from service.demo.population import Size

    if hillstrom is not None:
        run.show_hillstrom(hillstrom, plot, seed)
    else:
        run.show_population(Size(users=users, days=days, seed=seed), plot)


def main() -> None:
    """Run the command; what was wrong is said in one sentence."""
    from engine.errors import ForbearError

    try:
        app()
    except ForbearError as error:
        sys.stderr.write(f"forbear: {error}\n")
        sys.exit(2)
    except ConnectionError:
        raise
    except OSError as error:  # a disk that is full, a folder that is closed
        where = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(
            f"forbear: {where}{error.strerror or error}; expected files and a disk that can be "
            "used: free some space, get access, or choose another place\n"
        )
        sys.exit(2)


if __name__ == "__main__":
    main()

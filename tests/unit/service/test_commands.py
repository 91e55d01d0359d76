"""Commands of `forbear`: what cannot be done is said in one sentence, and nothing is done."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from engine.errors import BadInput
from engine.evaluation.log import Prices
from service import cli, comparing_arms, evaluating, exporting, importing, privacy, serving
from service.demo import run as demo
from service.demo.population import Size
from service.settings import Settings, load_settings


def import_a_user(settings: Settings, folder: Path) -> None:
    users = folder / "users.txt"
    users.write_text("u42\n")
    importing.import_file(settings, users, None)


ON_A_STORE: dict[str, Callable[[Settings, Path], None]] = {
    "import-unsubscribed": import_a_user,
    "export": lambda settings, folder: exporting.export(settings, folder / "log.jsonl", trim=False),
    "export-user": lambda settings, _: privacy.export_user(settings, "u42"),
    "erase-user": lambda settings, _: privacy.erase_user(settings, "u42"),
}


@pytest.mark.parametrize("command", ON_A_STORE)
def test_in_the_wrong_folder_a_command_makes_no_store_of_its_own(
    command: str, tmp_path: Path
) -> None:
    elsewhere = load_settings(data_dir=tmp_path / "data", redis_url=None)
    with pytest.raises(
        BadInput, match=r"/data is no data directory; .*in FORBEAR_DATA_DIR; nothing"
    ):
        ON_A_STORE[command](elsewhere, tmp_path)
    assert not (tmp_path / "data").exists()


# -- files that cannot be written


def evaluate_to(html: Path | None, json: Path | None) -> None:
    log = Path("no-such-log.jsonl")
    asked = evaluating.Question(log, "decision-log", (), None, Prices(), (), ())
    evaluating.evaluate(asked, html, json, judge=False)


def plot_to(path: Path) -> None:
    demo.show_population(Size(users=10, days=4, seed=1), path)


WRITES: dict[str, Callable[[Path], None]] = {
    "export": lambda path: exporting.export(load_settings(), path, trim=False),
    "evaluate --html": lambda path: evaluate_to(path, None),
    "evaluate --json": lambda path: evaluate_to(None, path),
    "arms --json": lambda path: comparing_arms.compare_arms(
        Path("no-such-log.jsonl"), Prices(), None, None, path
    ),
    "demo --plot": plot_to,
}


@pytest.mark.parametrize("command", WRITES)
@pytest.mark.parametrize(
    ("place", "why"), [("away/x.jsonl", "its folder does not exist"), ("x.jsonl", "it is a folder")]
)
def test_what_cannot_be_written_is_said_before_the_work(
    command: str, place: str, why: str, tmp_path: Path
) -> None:
    """The work would fail as well, with another sentence: there is no log, and no data."""
    (tmp_path / "x.jsonl").mkdir()
    with pytest.raises(BadInput, match=rf"{place} cannot be written, because {why}; expected"):
        WRITES[command](tmp_path / place)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(28, "No space left on device"), "forbear: No space left on device; expected"),
        (
            PermissionError(13, "Permission denied", "/x"),
            "forbear: /x: Permission denied; expected",
        ),
    ],
)
def test_a_disk_that_fails_is_one_sentence(
    error: OSError, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    told = capsys.readouterr().err
    assert (2, 1) == (ended.value.code, told.count("\n"))
    assert told.startswith(says)


# -- questions that cannot be answered


def test_a_mapping_without_an_outcome_is_refused() -> None:
    with pytest.raises(BadInput, match="no column was named for an outcome; add --column click="):
        evaluating.columns_of(["action=a", "propensity=p"], ())


@pytest.mark.parametrize("worth", [float("nan"), float("inf"), float("1e400")])
@pytest.mark.parametrize("name", ["click", "unsubscribe", "send"])
def test_a_worth_that_is_no_number_is_refused(name: str, worth: float) -> None:
    with pytest.raises(BadInput, match=rf"the worth of an? {name} is (nan|inf); expected a number"):
        Prices(**{name: worth})


@pytest.mark.parametrize(
    ("user", "says"),
    [("", "has 0 characters"), ("u" * 257, "has 257 characters"), ("u\udcff", "is not UTF-8")],
)
@pytest.mark.parametrize("command", [privacy.export_user, privacy.erase_user])
def test_an_id_that_no_user_can_have_is_refused(
    command: Callable[[Settings, str], None], user: str, says: str
) -> None:
    with pytest.raises(BadInput, match=f"the user id .*{says}"):
        command(load_settings(), user)


def test_a_bad_key_is_said_before_anything_starts(tmp_path: Path) -> None:
    chosen = load_settings(data_dir=tmp_path / "data", api_keys=SecretStr("hunter2"), port=0)
    with pytest.raises(BadInput, match="FORBEAR_API_KEYS holds something that is not a key"):
        serving.run_all(chosen)
    assert not (tmp_path / "data").exists()


def test_an_address_of_the_newer_internet_can_be_listened_on() -> None:
    try:
        listening = serving.listen(load_settings(host="::1", port=0))
    except BadInput:
        pytest.skip("this machine has no IPv6")
    with listening:
        assert "::1" == listening.getsockname()[0]

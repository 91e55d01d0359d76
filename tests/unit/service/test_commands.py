"""Commands of `forbear`: what cannot be done is said in one sentence, and nothing is done."""

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import BadInput
from service import exporting, importing, privacy
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

"""The bundled server's data directory: its format, its lock, and where its server listens.

`format` holds a number; another is refused. `lock` is held by flock for exactly as long as a server
runs on the directory, because the server inherits the descriptor. `socket` holds the path on which
that server listens, `pseudonym_key` the secret where no setting gives one.

Assumes a local file system with flock; functions raise OSError where the directory cannot be used.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
from pathlib import Path

from engine.errors import StoreError

FORMAT = 1
"""Which files are in the directory and how they are read."""


def prepare(data_dir: Path) -> None:
    """Create the directory with its format number, or check the number it has."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    mark = data_dir / "format"
    # Looked at before the mark: another start may be writing it at this moment.
    foreign = [p.name for p in data_dir.iterdir() if p.name != "lock" and p.name[0] != "."]
    if mark.exists():
        found = _read(mark, "the number of its format: bring it back from a backup")
        if found != str(FORMAT):
            raise StoreError(
                f"the data directory {data_dir} has format {found!r}, this version of Forbear "
                f"reads format {FORMAT}: run the version that wrote it, or choose another directory"
            )
        return
    if foreign:
        raise StoreError(
            f"the data directory {data_dir} holds other files ({min(foreign)}, ...) and no format "
            "number of Forbear: choose an empty directory or one that Forbear made"
        )
    _write(mark, f"{FORMAT}\n")


def is_prepared(data_dir: Path) -> bool:
    """Whether `prepare` has been here."""
    return (data_dir / "format").exists()


def kept_secret(data_dir: Path) -> str:
    """The directory's own secret, made at first use; only its owner can read it."""
    path = data_dir / "pseudonym_key"
    if not path.exists():
        _write(path, secrets.token_urlsafe(32), once=True)
    return _read(
        path,
        "the secret that this data was written with: bring it back from a backup, or remove the "
        "file where nothing was exported, nobody erased and no arm compared yet",
    )


def _read(path: Path, expected: str) -> str:
    try:
        text = path.read_text().strip()
    except UnicodeDecodeError:
        text = ""
    if not text:
        raise StoreError(f"{path} is empty or not text; expected {expected}")
    return text


def _write(path: Path, text: str, *, once: bool = False) -> None:
    """Write a small file whole and onto the disk, or not at all; `once`: another's stays."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if once:
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(draft)
        else:
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def try_lock(data_dir: Path) -> int | None:
    """Return a descriptor that holds the directory's lock, or None if a server holds it."""
    descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def is_locked(data_dir: Path) -> bool:
    """Whether a server runs on the directory."""
    descriptor = try_lock(data_dir)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def recorded_socket(data_dir: Path) -> Path | None:
    """The socket of the server that runs or ran last; None after an orderly end."""
    record = data_dir / "socket"
    if not record.exists():
        return None
    remedy = "end what uses this directory, remove the file and start again"
    return Path(_read(record, f"the path of a socket: {remedy}"))


def record_socket(data_dir: Path, socket: Path) -> None:
    """Note where the server will listen."""
    _write(data_dir / "socket", f"{socket}\n")


def forget(data_dir: Path, socket: Path) -> None:
    """Remove what a server leaves behind that ended on request."""
    lock = try_lock(data_dir)
    if lock is None:  # the next server runs already, on the same socket
        return
    try:
        (data_dir / "socket").unlink(missing_ok=True)
        shutil.rmtree(socket.parent, ignore_errors=True)
    finally:
        os.close(lock)

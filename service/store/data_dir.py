"""The bundled server's data directory: its format, its lock, and where its server listens.

`format` holds a number; another is refused. `lock` is held by flock for exactly as long as a server
runs on the directory, because the server inherits the descriptor. `socket` holds the path on which
that server listens.

Assumes a local file system with flock; functions raise OSError where the directory cannot be used.
"""

import fcntl
import os
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
        found = mark.read_text().strip()
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
    _write(mark, str(FORMAT))


def is_prepared(data_dir: Path) -> bool:
    """Whether `prepare` has been here."""
    return (data_dir / "format").exists()


def _write(path: Path, text: str) -> None:
    """Write a small file whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text + "\n")
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
    return Path(record.read_text().strip()) if record.exists() else None


def record_socket(data_dir: Path, socket: Path) -> None:
    """Note where the server will listen."""
    _write(data_dir / "socket", str(socket))


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

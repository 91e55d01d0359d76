"""Where a command will write: what cannot be written is said before the work, not after it."""

import os
from pathlib import Path

from engine.errors import BadInput


def check_destination(path: Path) -> None:
    """Refuse a file that could not be written in the end. Limit: a disk may still fill up."""
    if path.is_dir():
        problem = "it is a folder"
    elif not path.parent.is_dir():
        problem = "its folder does not exist"
    elif not os.access(path.parent, os.W_OK):
        problem = "its folder is closed to this user"
    else:
        return
    raise BadInput(
        f"{path} cannot be written, because {problem}; expected the name of a file in a folder "
        "that this user can write to: choose another"
    )

"""The commands that show or erase all that is stored about one user."""

import json

from service.clock import SystemClock
from service.person import checked_id, everything
from service.serving import use_store
from service.settings import Settings
from service.store.protocol import Store


def export_user(settings: Settings, user_id: str) -> None:
    """Print everything that is stored about one user, as JSON."""
    checked_id(user_id)

    async def show(store: Store) -> None:
        now = SystemClock().now()
        found = await everything(store, user_id, now, settings.burden_half_life_s)
        print(json.dumps(found, indent=2, ensure_ascii=False))

    use_store(settings, show)


def erase_user(settings: Settings, user_id: str) -> None:
    """Delete everything that leads back to one user, and say what it was."""
    checked_id(user_id)

    async def erase(store: Store) -> None:
        erased = await store.erase(user_id, SystemClock().now())
        kinds = ", ".join(f"{number} {kind.replace('_', ' ')}" for kind, number in erased.items())
        print(f"Erased: {kinds}.")

    use_store(settings, erase)

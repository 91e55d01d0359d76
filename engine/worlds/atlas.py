"""All worlds by name; each is called with (seed, users, days) and has its own usual size."""

from collections.abc import Callable
from typing import Final

from engine.worlds import (
    budget,
    catalog_change,
    delayed,
    drifting,
    hidden_types,
    irregular,
    many_messages,
    momentary,
    no_fatigue,
    patience,
    rare_events,
    shock,
    spread_values,
    tiring_clicks,
)
from engine.worlds.population import Population

WORLDS: Final[dict[str, Callable[..., Population]]] = {
    "patience": patience.world,
    "no_fatigue": no_fatigue.world,
    "tiring_clicks": tiring_clicks.world,
    "hidden_types": hidden_types.world,
    "rare_events": rare_events.world,
    "drifting": drifting.world,
    "catalog_change": catalog_change.world,
    "delayed": delayed.world,
    "spread_values": spread_values.world,
    "momentary": momentary.world,
    "irregular": irregular.world,
    "many_messages": many_messages.world,
    "shock": shock.world,
    "budget": budget.world,
}

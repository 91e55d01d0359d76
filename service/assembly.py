"""From settings to parts: the only place where a setting becomes an argument of the engine."""

import os
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from engine.errors import BadInput
from engine.exploration import Explorer, InverseGap, Thompson
from engine.learning import Priors
from engine.outcome import Windows
from engine.patience import ConstantPatience
from engine.policy import Policy
from engine.response import Prior
from service.auth import KeyRing, configured_keys
from service.clock import Clock, SimulatedClock, SystemClock
from service.deciding import Decider, Terms
from service.live import Live
from service.services import Services
from service.settings import Settings
from service.store.protocol import Store
from service.store.redis import RedisStore
from service.sweeping import Sweeper

Opening: TypeAlias = Callable[[], Awaitable[Services]]

_KEY_FILE = ".pseudonym.key"


def policy(settings: Settings) -> Policy:
    """How forecasts become actions."""
    explorer: Explorer = InverseGap()
    if settings.exploration == "thompson":
        explorer = Thompson(scale=settings.exploration_scale)
    return Policy(
        explorer=explorer,
        patience=ConstantPatience(settings.unsubscribe_cost, settings.price),
        rho=settings.rho,
        pessimism=settings.pessimism,
        send_cost=settings.send_cost,
        floor=settings.floor,
        floor_harm=settings.floor_harm,
        half_life=settings.burden_half_life_s,
        unprompted=settings.gain_event == "conversion",
    )


def priors(settings: Settings) -> Priors:
    """What the heads believe before their first lesson; workers and learner must agree on it."""
    known = Priors()
    return Priors(
        click=_with_rate(known.click, settings.click_base_rate),
        unsubscribe=_with_rate(known.unsubscribe, settings.unsubscribe_base_rate),
        delays=known.delays,
    )


def _with_rate(prior: Prior, base_rate: float) -> Prior:
    return Prior(base_rate, prior.common, prior.attribute, prior.message)


def terms(settings: Settings) -> Terms:
    """What a deployment set for its decisions, besides the policy."""
    return Terms(
        value=settings.value,
        windows=Windows(
            click=settings.click_window_s,
            unsubscribe=settings.unsubscribe_window_s,
            grace=settings.not_sent_grace_s,
        ),
        confirm_window=settings.confirm_window_s,
        timeout=settings.decide_timeout_ms / 1000.0,
    )


def pseudonym_key(settings: Settings) -> bytes:
    """The configured key, else one that the data directory keeps from its first use on."""
    if settings.pseudonym_key is not None:
        return settings.pseudonym_key.get_secret_value().encode()
    return _kept_key(settings.data_dir / _KEY_FILE)


def _kept_key(path: Path) -> bytes:
    try:
        if not path.exists():
            _keep_new_key(path)
        return path.read_bytes()
    except OSError as error:
        raise BadInput(
            f"the pseudonym key cannot be kept in {path} ({error.strerror}); set "
            "FORBEAR_PSEUDONYM_KEY, or a FORBEAR_DATA_DIR that can be written"
        ) from None


def _keep_new_key(path: Path) -> None:
    """Written aside and linked into place: of two processes at once, one wins and both agree."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(f".{os.getpid()}")
    aside.touch(0o600)
    aside.write_text(secrets.token_hex(32))
    with suppress(FileExistsError):
        os.link(aside, path)
    aside.unlink()


async def open_store(settings: Settings) -> RedisStore:
    """The deployment's store; raises `StoreError` while it cannot be reached."""
    if settings.redis_url is None:
        raise BadInput(
            "REDIS_URL is not set, and this process starts no server of its own; "
            "set it, or use `forbear serve`, which does"
        )
    return await RedisStore.open(
        settings.redis_url.get_secret_value(),
        half_life_s=settings.burden_half_life_s,
        tombstone_secret=pseudonym_key(settings),
        retention_s=int(settings.retention_s),
    )


async def open_services(settings: Settings) -> Services:
    """The parts of one API worker."""
    return assemble(settings, await open_store(settings))


def assemble(settings: Settings, store: Store, clock: Clock | None = None) -> Services:
    """The parts of one API worker around a store."""
    clock = clock or (SimulatedClock() if settings.simulated_clock else SystemClock())
    live = Live(store, policy(settings), priors(settings))
    configured = configured_keys(settings.api_keys.get_secret_value()) if settings.api_keys else {}
    return Services(
        settings=settings,
        store=store,
        clock=clock,
        live=live,
        decider=Decider(store, live, clock, terms(settings)),
        keys=KeyRing(store, configured),
        sweeper=Sweeper(store, min(settings.not_sent_grace_s, settings.confirm_window_s)),
    )

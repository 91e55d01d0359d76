"""From settings to running parts: the one place where they are put together."""

from dataclasses import replace

from numpy.random import Generator

from engine.arms import Experiment, assignment_key, parse_arms
from engine.budget import parse_team_budgets
from engine.errors import BadInput
from engine.exploration import Explorer, InverseGap, Thompson
from engine.learning import Priors
from engine.moments import Kind
from engine.outcome import Windows
from engine.patience import ConstantPatience, LearnedPatience, Patience
from engine.policy import Policy
from engine.quiet_hours import parse_quiet_hours, time_zone
from engine.rules import Rules, parse_caps, parse_tag_caps
from engine.week import parse_days
from service.auth import KeyRing, configured_keys
from service.clock import SimulatedClock, SystemClock
from service.configuration.document import configured
from service.configuration.watched_file import WatchedFile
from service.deciding import Decider
from service.gathering import Gathering
from service.live import Live
from service.rationing import Rationing
from service.services import Services
from service.settings import Settings
from service.store.limits import Kept
from service.store.protocol import Store
from service.store.redis import RedisStore
from service.sweeping import Sweeper
from service.terms import Terms


def priors(settings: Settings) -> Priors:
    """What the heads believe before their first lesson; workers and learner must agree on it."""
    known = Priors()
    return replace(
        known,
        click=replace(known.click, base_rate=settings.click_base_rate),
        unsubscribe=replace(known.unsubscribe, base_rate=settings.unsubscribe_base_rate),
    )


def policy(settings: Settings) -> Policy:
    """How forecasts become actions."""
    return Policy(
        explorer=_explorer(settings),
        patience=_patience(settings),
        rho=settings.rho,
        pessimism=settings.pessimism,
        send_cost=settings.send_cost,
        floor=settings.floor,
        floor_harm=settings.floor_harm,
        half_life=settings.burden_half_life_s,
        unprompted=settings.gain_event == "conversion",
    )


def _patience(settings: Settings) -> Patience:
    if settings.patience == "constant":
        return ConstantPatience(settings.unsubscribe_cost, settings.price)
    keys: dict[str, Kind] = dict.fromkeys(settings.moment_keys.split(), "moment")
    return LearnedPatience(
        horizon=settings.horizon_s,
        gap=settings.decision_gap_s,
        gap_after_send=settings.min_gap_s,
        most_price=settings.most_price,
        keys=keys or None,
    )


def _explorer(settings: Settings) -> Explorer:
    if settings.exploration == "inverse_gap":
        return InverseGap()
    return Thompson(settings.exploration_scale)


def rules(settings: Settings) -> Rules:
    """What must hold before anything is scored."""
    return Rules(
        paused=settings.paused,
        min_gap_s=settings.min_gap_s,
        caps=parse_caps(settings.caps),
        usual_caps=parse_caps(settings.usual_caps),
        tag_caps=parse_tag_caps(settings.tag_caps),
        budgets=parse_team_budgets(settings.budgets),
        week=parse_days(settings.days),
        quiet_hours=parse_quiet_hours(settings.quiet_hours),
        zone=time_zone(settings.time_zone),
    )


def experiment(settings: Settings) -> Experiment:
    """Which users are in which arm."""
    secret = settings.pseudonym_key.get_secret_value() if settings.pseudonym_key else ""
    return Experiment(
        shares=parse_arms(settings.arms),
        key=assignment_key(secret.encode(), settings.experiment),
        shadow=settings.shadow,
    )


def terms(settings: Settings) -> Terms:
    """What decisions depend on besides what was learned, the catalog and the user."""
    return Terms(
        policy=policy(settings),
        value=settings.value,
        rules=rules(settings),
        windows=Windows(
            settings.click_window_s, settings.unsubscribe_window_s, settings.not_sent_grace_s
        ),
        experiment=experiment(settings),
        confirm_window=settings.confirm_window_s,
        timeout=settings.decide_timeout_ms / 1000,
    )


async def open_store(settings: Settings) -> Store:
    """The deployment's store; raises `StoreError` while it cannot be reached."""
    if settings.redis_url is None or settings.pseudonym_key is None:
        raise BadInput(
            "REDIS_URL and FORBEAR_PSEUDONYM_KEY go together, and one of them is not set; expected "
            "the address and one secret text for every process that uses it, kept as long as its "
            "data: set both, or neither to use the bundled server"
        )
    return await RedisStore.open(
        settings.redis_url.get_secret_value(),
        half_life_s=settings.burden_half_life_s,
        tombstone_secret=settings.pseudonym_key.get_secret_value().encode(),
        kept=Kept(
            int(settings.retention_s), int(settings.user_retention_s), int(settings.idempotency_s)
        ),
        max_connections=min(settings.max_requests, 256),
    )


def assemble(settings: Settings, store: Store, rng: Generator | None = None) -> Services:
    """One API worker's parts around a store; `rng` draws its decisions, by default a new one."""
    clock = SimulatedClock() if settings.simulated_clock else SystemClock()
    live = Live(
        store,
        lambda parts: terms(configured(settings, parts)),
        priors(settings),
        needs_file=settings.config is not None,
    )
    known = configured_keys(settings.api_keys.get_secret_value()) if settings.api_keys else {}
    sweeper = Sweeper(store, min(settings.not_sent_grace_s, settings.confirm_window_s))
    rationing = Rationing(store, live)
    decider = Decider(store, live, clock, sweeper, rationing, rng)
    return Services(
        settings=settings,
        store=store,
        clock=clock,
        live=live,
        decider=decider,
        gathering=Gathering(decider),
        keys=KeyRing(store, known),
        sweeper=sweeper,
        rationing=rationing,
        file=WatchedFile(settings.config, store, clock) if settings.config else None,
    )

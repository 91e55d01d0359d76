"""Everything that can be set, in one validated object, from the environment.

Each field `name` is read from `FORBEAR_NAME` (the store's address from `REDIS_URL`, the name that
everybody uses). Times are in seconds, money-like numbers in the unit of `value`. A setting that
cannot be used, or a `FORBEAR_` variable that means nothing, stops the service with one sentence.

What an outreach team decides may be said by the configuration instead, while the service runs; it
comes before the environment, key by key; `configuration/document.py` lists those settings.
"""

import difflib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from engine.arms import parse_arms
from engine.budget import parse_team_budgets
from engine.errors import BadInput
from engine.exploration import Thompson
from engine.history import LONGEST_WINDOW_S
from engine.policy import Policy
from engine.quiet_hours import parse_quiet_hours, time_zone
from engine.rules import parse_caps, parse_tag_caps
from engine.week import parse_days

PREFIX = "FORBEAR_"
HOUR = 3600.0
DAY = 24 * HOUR

Worth = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]
Seconds = Annotated[float, Field(gt=0, le=10 * 365 * DAY)]
Count = Annotated[int, Field(ge=1)]


def _readable_by(parse: Callable[[str], object]) -> Callable[[str], str]:
    """A check that a text can be parsed; it stays the text, which can be handed on."""

    def check(text: str) -> str:
        try:
            parse(text)
        except BadInput as error:
            raise ValueError(str(error)) from None
        return text

    return check


Arms = Annotated[str, AfterValidator(_readable_by(parse_arms))]
Caps = Annotated[str, AfterValidator(_readable_by(parse_caps))]
TagCaps = Annotated[str, AfterValidator(_readable_by(parse_tag_caps))]
Budgets = Annotated[str, AfterValidator(_readable_by(parse_team_budgets))]
Hours = Annotated[str, AfterValidator(_readable_by(parse_quiet_hours))]
Days = Annotated[str, AfterValidator(_readable_by(parse_days))]
Zone = Annotated[str, AfterValidator(_readable_by(time_zone))]


class Settings(BaseSettings):
    """The settings of one deployment; every process of it must be given the same ones."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    # where things are
    data_dir: Path = Field(
        default=Path(".forbear"),
        description="Where the embedded server keeps its data.",
    )
    config: Path | None = Field(
        default=None,
        description="The team's configuration, a YAML file; what it says overrides settings here.",
    )
    redis_url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("redis_url", "REDIS_URL"),
        description="Redis or Valkey to use; without it the bundled server is started.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8711, ge=0, le=65535, description="Port to listen on.")
    workers: Count = Field(1, description="API processes on this machine.")
    simulated_clock: bool = Field(
        default=False, description="The time is the largest `at` seen; for simulations only."
    )

    # what things are worth
    value: Worth = Field(1.0, description="Worth of one click where a request names none.")
    unsubscribe_cost: Worth = Field(
        5.0, description="Constant patience: worth lost when a user unsubscribes."
    )
    send_cost: Worth = Field(0.002, description="Cost of one send where a message names none.")
    patience: Literal["learned", "constant"] = Field(
        "learned", description="Where the price of patience and the cost of a lost user come from."
    )
    horizon_s: Seconds = Field(
        90 * DAY, description="Learned patience: how far ahead a user's value counts."
    )
    decision_gap_s: Seconds = Field(  # far below any half-life a step would round to nothing
        DAY, ge=1, description="Learned patience: the mean time between two decisions about a user."
    )
    most_price: Worth = Field(
        1.0, description="Learned patience: the most that one send may cost in clicks to come."
    )
    moment_keys: str = Field(
        "", description="Context keys that pass (hour, weather), by blanks; guessed if empty."
    )
    price: Worth = Field(0.0, description="Constant patience: what each send costs in later value.")
    rho: Share = Field(1.0, description="Share of the shortfall paid as the abstain reward.")
    gain_event: Literal["click", "conversion"] = Field(
        "click", description="The event that counts as a decision's gain."
    )

    # how it learns and explores
    pessimism: float = Field(
        Policy().pessimism,
        ge=0,
        le=5,
        description="Standard deviations added to the unsubscribe logit.",
    )
    exploration: Literal["thompson", "inverse_gap"] = Field(
        "thompson", description="How propensities follow from forecasts."
    )
    exploration_scale: float = Field(
        Thompson().scale,
        ge=0,
        le=10,
        description="Factor on the click logit's standard deviation.",
    )
    floor: float = Field(
        0.01, ge=0, le=0.5, description="Probability shared among harmless candidates."
    )
    floor_harm: Worth = Field(
        0.05,
        description="Annoyance in clicks up to which the floor and the random arm take a message.",
    )
    click_base_rate: Rate = Field(0.02, description="Click rate believed before any data.")
    unsubscribe_base_rate: Rate = Field(
        0.002, description="Unsubscribe rate per send believed before any data."
    )
    burden_half_life_s: Seconds = Field(4 * DAY, description="Time in which burden halves.")
    publish_interval_s: Seconds = Field(2.0, description="Least time between two snapshots.")

    # how long things stay open
    click_window_s: Seconds = Field(DAY, description="After this, silence means no click.")
    unsubscribe_window_s: Seconds = Field(
        7 * DAY, description="After this, silence means no unsubscribe."
    )
    not_sent_grace_s: Seconds = Field(600.0, description="Nothing is taught before this.")
    confirm_window_s: Seconds = Field(
        DAY, description="A deferred decision without `sent` by then is taken back."
    )
    retention_s: float = Field(
        9 * DAY,
        ge=8 * DAY,
        le=3650 * DAY,
        description="How long decisions and event ids are kept.",
    )
    log_retention_s: Seconds = Field(
        90 * DAY, description="How long the decision log is kept; export what is needed for longer."
    )
    user_retention_s: float = Field(
        400 * DAY,
        ge=33 * DAY,
        le=3650 * DAY,
        description="How long the state of a user nobody hears of is kept; an opt-out stays.",
    )
    idempotency_s: float = Field(
        DAY, ge=60, le=30 * DAY, description="How long an answer can be asked for again by its key."
    )

    # how much is taken on
    max_body_bytes: Count = Field(4 * 1024 * 1024, description="Largest request body.")
    max_requests: Count = Field(1000, description="Requests one worker answers at the same time.")
    decide_timeout_ms: Count = Field(250, description="After this a decision is the fallback.")
    drain_s: float = Field(
        0.0, ge=0, le=15, description="How long /readyz says no before a stopping worker stops."
    )

    # rules of sending, before anything is scored
    paused: bool = Field(default=False, description="Kill switch: every answer is abstain.")
    min_gap_s: float = Field(
        0.0, ge=0, le=LONGEST_WINDOW_S, description="Least time between two sends to one user."
    )
    caps: Caps = Field(
        "", description="Most sends to one user in any such time, by blanks: 3/7d 1/24h."
    )
    tag_caps: TagCaps = Field(
        "", description="The same for messages with a tag: offer:1/7d news:3/7d."
    )
    days: Days = Field(
        "", description="Days of the user's week on which sends are allowed, by blanks: mon tue."
    )
    budgets: Budgets = Field(
        "",
        description="Most sends to everybody in any such time, or most money for them, by blanks: "
        "1000/1d cost:50/7d.",
    )
    quiet_hours: Hours = Field(
        "", description="Time of the user's day in which nothing is sent: 21:00-08:00."
    )
    time_zone: Zone = Field("UTC", description="IANA time zone of users whose request names none.")

    # arms for measurement
    arms: Arms = Field(
        "", description="Shares of users kept apart: holdout:0.05 random:0.01; the rest: bandit."
    )
    experiment: str = Field(
        "forbear", description="Name of the assignment to arms; another deals all users anew."
    )
    usual_caps: Caps = Field(
        "", description="Most sends to a user whose arm is business_as_usual, like the caps."
    )
    shadow: bool = Field(
        default=False, description="Decide and write down, but answer nothing to send."
    )

    # secrets and logs
    api_keys: SecretStr | None = Field(
        default=None, description="Keys besides the stored ones: KEY or KEY=scope,scope, by blanks."
    )
    pseudonym_key: SecretStr | None = Field(
        default=None, description="Turns user ids into pseudonyms in exports and tombstones."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="DEBUG adds one line for every request that went well."
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.simulated_clock and self.workers != 1:
            raise ValueError("workers: a simulated clock needs exactly 1 worker")
        if self.not_sent_grace_s >= min(self.click_window_s, self.unsubscribe_window_s):
            raise ValueError("not_sent_grace_s: expected less than either attribution window")
        waits = (self.click_window_s, self.unsubscribe_window_s, self.confirm_window_s)
        if self.retention_s <= max(waits):
            raise ValueError("retention_s: expected more than the longest window")
        if self.idempotency_s > self.retention_s:  # an erasure finds a record by its decision
            raise ValueError("idempotency_s: expected no more than retention_s")
        if self.log_retention_s < self.retention_s + DAY:
            raise ValueError("log_retention_s: expected retention_s and a day more, or longer")
        if self.user_retention_s < self.retention_s:
            raise ValueError("user_retention_s: expected no less than retention_s")
        return self


def load_settings(**overrides: Any) -> Settings:
    """The settings from the environment; `overrides` win. Raises `BadInput` with one sentence."""
    _refuse_unknown(os.environ)
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise BadInput(_sentence(error)) from None


def variable(field: str) -> str:
    """The environment variable of a field."""
    return "REDIS_URL" if field == "redis_url" else f"{PREFIX}{field.upper()}"


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    known = {variable(field) for field in Settings.model_fields}
    for name in environment:
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
            hint = f"; did you mean {near[0]}?" if near else ": unset it"
            raise BadInput(f"{name} is set, but there is no such setting{hint}")


def _sentence(error: ValidationError) -> str:
    """The first complaint, with the variable's name and, unless it is a secret, what it was."""
    first = error.errors(include_url=False)[0]
    if not first["loc"]:
        field, _, problem = str(first["ctx"]["error"]).partition(": ")
        return f"{variable(field)} does not fit the other settings; {problem}: correct one of them"
    field = str(first["loc"][0]).lower()
    if first["type"] == "value_error":
        return f"{variable(field)}: {first['ctx']['error']}"
    expected = first["msg"].removeprefix("Input should be ")
    return f"{variable(field)} is {first['input']!r}; expected {expected}: correct it"

"""Settings: from the environment, validated, with one sentence for what cannot be used."""

import numpy as np
import pytest
from pydantic import SecretStr

from engine.burden_process import Pace, process
from engine.errors import BadInput
from service.settings import Settings, load_settings, variable


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields:
        monkeypatch.delenv(variable(field), raising=False)


def test_every_setting_has_a_description() -> None:
    assert [] == [name for name, field in Settings.model_fields.items() if not field.description]


def test_the_service_listens_to_this_machine_only_unless_told() -> None:
    assert "127.0.0.1" == load_settings().host


def test_a_setting_is_read_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORBEAR_UNSUBSCRIBE_COST", "7.5")
    monkeypatch.setenv("REDIS_URL", "redis://:secret@store:6379/0")
    settings = load_settings()
    assert (7.5, SecretStr("redis://:secret@store:6379/0")) == (
        settings.unsubscribe_cost,
        settings.redis_url,
    )


def test_an_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORBEAR_PORT", "1")
    assert 2 == load_settings(port=2).port


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORBEAR_RHO", "")
    assert 1.0 == load_settings().rho


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REDIS_URL", "FORBEAR_API_KEYS", "FORBEAR_PSEUDONYM_KEY"):
        monkeypatch.setenv(name, "hunter2")
    assert "hunter2" not in repr(load_settings())


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("FORBEAR_RHO", "2", "FORBEAR_RHO is '2'; expected less than or equal to 1"),
        ("FORBEAR_RHO", "-0.1", "FORBEAR_RHO"),
        ("FORBEAR_VALUE", "nan", "FORBEAR_VALUE is 'nan'; expected a finite number"),
        ("FORBEAR_SEND_COST", "-1", "FORBEAR_SEND_COST"),
        ("FORBEAR_CLICK_BASE_RATE", "0", "FORBEAR_CLICK_BASE_RATE"),
        ("FORBEAR_WORKERS", "two", "FORBEAR_WORKERS is 'two'; expected a valid integer"),
        ("FORBEAR_WORKERS", "0", "FORBEAR_WORKERS"),
        ("FORBEAR_PORT", "70000", "FORBEAR_PORT"),
        ("FORBEAR_EXPLORATION", "greedy", "expected 'thompson' or 'inverse_gap'"),
        (
            "FORBEAR_DECISION_GAP_S",
            "1e-6",
            "FORBEAR_DECISION_GAP_S is '1e-6'; expected greater than or equal to 1",
        ),
        ("FORBEAR_GAIN_EVENT", "visit", "expected 'click' or 'conversion'"),
        ("FORBEAR_CLICK_WINDOW_S", "600", "FORBEAR_NOT_SENT_GRACE_S does not fit"),
        ("FORBEAR_RETENTION_S", "3600", "FORBEAR_RETENTION_S"),
        ("FORBEAR_UNSUBSCRIBE_WINDOW_S", "2592000", "FORBEAR_RETENTION_S does not fit"),
        ("FORBEAR_IDEMPOTENCY_S", "864000", "FORBEAR_IDEMPOTENCY_S does not fit"),
        ("FORBEAR_LOG_RETENTION_S", "777600", "FORBEAR_LOG_RETENTION_S does not fit"),
        ("FORBEAR_USER_RETENTION_S", "86400", "FORBEAR_USER_RETENTION_S"),
        ("FORBEAR_ROH", "1", "there is no such setting; did you mean FORBEAR_RHO?"),
        ("FORBEAR_NONSENSE", "1", "there is no such setting"),
    ],
)
def test_a_bad_setting_is_one_sentence_naming_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, given: str, says: str
) -> None:
    monkeypatch.setenv(name, given)
    with pytest.raises(BadInput) as error:
        load_settings()
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_every_pace_that_can_be_set_can_be_priced() -> None:
    """The least gap of 1 s with the longest half-life and horizon, 3.2e8 s: 3e-9 of either."""
    longest = 3650 * 86400.0
    settings = load_settings(decision_gap_s=1, burden_half_life_s=longest, horizon_s=longest)
    gap = settings.decision_gap_s
    of = process(Pace(gap, gap, settings.burden_half_life_s, settings.horizon_s))
    assert np.all(np.isfinite(np.linalg.inv(of.identity - of.wait)))
    for name in ("burden_half_life_s", "horizon_s"):
        with pytest.raises(BadInput, match=variable(name)):
            load_settings(**{name: longest + 1.0})


def test_a_simulated_clock_needs_one_worker() -> None:
    with pytest.raises(BadInput, match="exactly 1 worker"):
        load_settings(simulated_clock=True, workers=2)


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().rho = 0.5

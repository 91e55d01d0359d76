"""Policies by name, and the best single message without the winner's curse."""

import numpy as np
import pytest

from engine.errors import BadInput
from engine.evaluation.best_single import best_of_other_folds
from engine.evaluation.compare import compare
from engine.evaluation.log import Prices, log_in_memory
from engine.evaluation.readers.hillstrom import hillstrom
from engine.evaluation.settings import Settings
from engine.evaluation.specs import policy_of
from tests.unit.evaluation.data import data
from tests.unit.evaluation.logs import batch_of, sample

BATCH = batch_of(sample(400, rate=0.1))
LOG = log_in_memory("log", ("abstain", "a", "b", "c"), BATCH, feature_names=("sends",))


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("never", "never"),
        ("random", "random"),
        ("logged", "logged"),
        ("best", "best single message"),
        ("always:a:b", "always:a:b"),
        ("stored:target", "target"),
        ("cap:sends:2:always:a", "always:a capped at 2"),
        ("repriced:5", "repriced:5/0"),
        ("repriced:5:0.01", "repriced:5/0.01"),
    ],
)
def test_every_form_names_its_policy(spec: str, name: str) -> None:
    assert name == policy_of(spec, LOG, Prices()).name


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("sometimes", "expected one of never, random"),
        ("always:", "expected one of never, random"),
        ("cap:opens:2:random", r"a feature of the log \(sends\)"),
        ("cap:sends:two:random", "got 'two', expected a number"),
        ("repriced:cheap", "got 'cheap', expected a number"),
    ],
)
def test_a_bad_form_says_what_was_expected(spec: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        policy_of(spec, LOG, Prices())


def test_each_fold_gets_the_best_message_of_the_others() -> None:
    """Arm 2 leads only through fold 0's own rows: fold 0 is given arm 1."""
    earned = np.array([[9.0, 1.0, 9.0], [9.0, 2.0, 0.0], [9.0, 2.0, 0.0]])
    assert best_of_other_folds(earned, np.ones((3, 3))).tolist() == [1, 2, 2]


def test_hillstroms_best_single_message_is_the_mens_mail() -> None:
    log = hillstrom(data("hillstrom/hillstrom.csv.gz"))
    policies = [policy_of(spec, log, Prices()) for spec in ("best", "always:Mens E-Mail")]
    found = compare(log, policies, Settings(model=False))
    values = [found.line(policy.name, "click").value for policy in policies]
    assert values[0] == values[1]

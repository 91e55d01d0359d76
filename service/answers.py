"""A decision as the answer that a sender gets."""

import msgspec

from engine.arms import Arm
from engine.decision import Decision, Reason
from engine.decision_log import annoyance
from service.routes.answering import time_text
from service.schemas import Annoyance, DecisionAnswer

_encode = msgspec.json.Encoder().encode


def answer_body(decision: Decision) -> bytes:
    """The answer; its terms are the chosen message's, else the best candidate's, else null."""
    shown = decision.best if decision.chosen is None else decision.chosen
    columns = decision.forecasts
    return _encode(
        DecisionAnswer(
            decision_id=decision.decision_id,
            user_id=decision.user_id,
            at=time_text(decision.at),
            action=decision.action,
            propensity=decision.propensity,
            abstain_propensity=decision.abstain_propensity,
            reason=decision.reason,
            gain=None if shown is None else float(columns.gain[shown]),
            annoyance=None if shown is None else Annoyance(**annoyance(decision, shown)),
            net=None if shown is None else float(columns.net[shown]),
            abstain_reward=decision.abstain_reward,
            burden=decision.burden,
            arm=decision.arm,
            model_version=decision.model_version,
        )
    )


def fallback_body(user_id: str, now: float, arm: Arm) -> bytes:
    """The answer while the store or the model is out of reach: send nothing, recorded nowhere."""
    return _encode(
        DecisionAnswer(
            decision_id=None,
            user_id=user_id,
            at=time_text(now),
            action=None,
            propensity=None,
            abstain_propensity=None,
            reason=Reason.FALLBACK,
            gain=None,
            annoyance=None,
            net=None,
            abstain_reward=None,
            burden=None,
            arm=arm,
            model_version=None,
        )
    )

"""An audience with known tastes over a real catalogue; the oracle comes with it."""

from .attributes import extract_attributes
from .audience import DEFAULT_WEIGHTS, SHOWS, Audience, Oracle, simulate
from .feedback import FeedbackLoop, feedback_loop

__all__ = [
    "DEFAULT_WEIGHTS",
    "SHOWS",
    "Audience",
    "FeedbackLoop",
    "Oracle",
    "extract_attributes",
    "feedback_loop",
    "simulate",
]

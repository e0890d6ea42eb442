"""An audience with known tastes over a real catalogue; the oracle comes with it."""

from .attributes import extract_attributes
from .audience import DEFAULT_WEIGHTS, SHOWS, Audience, Oracle, simulate

__all__ = ["DEFAULT_WEIGHTS", "SHOWS", "Audience", "Oracle", "extract_attributes", "simulate"]

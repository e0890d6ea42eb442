"""Honest measurement: full ranking, intervals over users, paired tests, and one table for many models."""

from .board import Leaderboard, leaderboard
from .metrics import DEFAULT as DEFAULT_METRICS
from .metrics import available_metrics
from .probing import linear_probe, neighbour_accuracy
from .ranked import evaluate
from .rated import evaluate_ratings
from .report import Report
from .retrieval import retrieval_metrics
from .significance import compare, compare_all, holm

__all__ = [
    "DEFAULT_METRICS",
    "Leaderboard",
    "Report",
    "available_metrics",
    "compare",
    "compare_all",
    "evaluate",
    "evaluate_ratings",
    "holm",
    "leaderboard",
    "linear_probe",
    "neighbour_accuracy",
    "retrieval_metrics",
]

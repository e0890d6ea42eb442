"""Honest measurement: full ranking, intervals over users, paired tests, and one table for many models."""

from .board import Leaderboard, leaderboard
from .content import content_control, content_controls, control_features
from .metrics import DEFAULT as DEFAULT_METRICS
from .metrics import available_metrics
from .missing import missing_modality_curve
from .probing import linear_probe, neighbour_accuracy
from .ranked import evaluate
from .rated import evaluate_ratings
from .report import Report
from .reranking import Reranked, frontier, rerank
from .retrieval import retrieval_metrics
from .significance import compare, compare_all, holm

__all__ = [
    "DEFAULT_METRICS",
    "Leaderboard",
    "Report",
    "Reranked",
    "available_metrics",
    "compare",
    "compare_all",
    "content_control",
    "content_controls",
    "control_features",
    "evaluate",
    "evaluate_ratings",
    "frontier",
    "holm",
    "leaderboard",
    "linear_probe",
    "missing_modality_curve",
    "neighbour_accuracy",
    "rerank",
    "retrieval_metrics",
]

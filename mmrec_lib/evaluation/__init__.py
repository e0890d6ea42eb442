"""Honest measurement: full ranking, intervals over users, paired tests, and one table for many models."""

from .board import Leaderboard, leaderboard
from .content import content_control, content_controls, control_features
from .experiments import (
    AlwaysValid,
    SampleRatio,
    ab_test,
    always_valid,
    experiment_power,
    experiment_size,
    sample_ratio_check,
    sequential_test,
    spending_bounds,
)
from .fairness import UserGaps, exposure_by_group, popularity_groups, popularity_lift, user_gaps
from .interleaving import Interleaved, interleaving_credit, interleaving_test, team_draft
from .metrics import DEFAULT as DEFAULT_METRICS
from .metrics import available_metrics
from .missing import missing_modality_curve
from .novelty import by_novelty
from .off_policy import LoggedFeedback, cross_fitted_rewards, off_policy_difference, off_policy_value
from .probing import linear_probe, neighbour_accuracy
from .ranked import evaluate
from .rated import evaluate_ratings
from .report import Report
from .reranking import Reranked, diversify, frontier, rerank
from .retrieval import retrieval_metrics
from .significance import compare, compare_all, holm
from .slots import Reserved, reserve

__all__ = [
    "DEFAULT_METRICS",
    "AlwaysValid",
    "Interleaved",
    "Leaderboard",
    "LoggedFeedback",
    "Report",
    "Reranked",
    "Reserved",
    "SampleRatio",
    "UserGaps",
    "ab_test",
    "always_valid",
    "available_metrics",
    "by_novelty",
    "compare",
    "compare_all",
    "content_control",
    "content_controls",
    "control_features",
    "cross_fitted_rewards",
    "diversify",
    "evaluate",
    "evaluate_ratings",
    "experiment_power",
    "experiment_size",
    "exposure_by_group",
    "frontier",
    "holm",
    "interleaving_credit",
    "interleaving_test",
    "leaderboard",
    "linear_probe",
    "missing_modality_curve",
    "neighbour_accuracy",
    "off_policy_difference",
    "off_policy_value",
    "popularity_groups",
    "popularity_lift",
    "rerank",
    "reserve",
    "retrieval_metrics",
    "sample_ratio_check",
    "sequential_test",
    "spending_bounds",
    "team_draft",
    "user_gaps",
]

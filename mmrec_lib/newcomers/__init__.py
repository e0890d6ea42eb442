"""People without a history: what to ask them, what their groups say, what to try first.

>>> from mmrec_lib import newcomers
>>> newcomers.QUESTION_LISTS
('popularity', 'entropy', 'entropy0', 'variance', 'coverage', 'greedy')
"""

from .bandits import (
    UCB1,
    Arms,
    BanditRun,
    EpsilonGreedy,
    LinearThompson,
    LinUCB,
    ThompsonSampling,
    audience_arms,
    compare_runs,
    run,
)
from .gaussian import GaussianQuestions
from .groups import GroupPopularity
from .held_out import FoldedIn, gap_closed, reveal
from .onboarding import QUESTION_LISTS, FixedQuestions, Interview, ask_audience, ask_log, choose_questions, interview
from .tree import QuestionTree

__all__ = [
    "QUESTION_LISTS",
    "UCB1",
    "Arms",
    "BanditRun",
    "EpsilonGreedy",
    "FixedQuestions",
    "FoldedIn",
    "GaussianQuestions",
    "GroupPopularity",
    "Interview",
    "LinUCB",
    "LinearThompson",
    "QuestionTree",
    "ThompsonSampling",
    "ask_audience",
    "ask_log",
    "audience_arms",
    "choose_questions",
    "compare_runs",
    "gap_closed",
    "interview",
    "reveal",
    "run",
]

"""Many cheap candidates, few careful scores, and rules: recommending in stages."""

from .pairs import PairTable
from .rankers import NetworkRanker, TreeRanker
from .retrieval import Candidates, Retriever, candidate_recall
from .rules import Ruled, Rules
from .two_stage import TwoStage

__all__ = [
    "Candidates", "NetworkRanker", "PairTable", "Retriever", "Ruled", "Rules", "TreeRanker", "TwoStage",
    "candidate_recall",
]  # fmt: skip

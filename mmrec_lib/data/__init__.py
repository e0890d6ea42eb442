"""What happened: interactions, data sets, media, features; cleaning, splits, quality."""

from .cleaning import drop_duplicates, impute, k_core
from .dataset import Dataset, Features, Media
from .interactions import Interactions
from .quality import QualityReport, quality_report
from .splitting import Split, split

__all__ = [
    "Dataset",
    "Features",
    "Interactions",
    "Media",
    "QualityReport",
    "Split",
    "drop_duplicates",
    "impute",
    "k_core",
    "quality_report",
    "split",
]

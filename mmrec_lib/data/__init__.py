"""What happened: interactions, data sets, media, features; cleaning, splits, quality."""

from .dataset import Dataset, Features, Media
from .interactions import Interactions
from .splitting import Split, split

__all__ = ["Dataset", "Features", "Interactions", "Media", "Split", "split"]

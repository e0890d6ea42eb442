"""Pictures to vectors: opening any file, colours and outlines, a network trained in place, pretrained networks."""

from .augment import Augmentation
from .loading import open_picture

__all__ = ["Augmentation", "open_picture"]

"""One space for several modalities: contrastive heads over frozen encoders, search across modalities, labels for free.

Two encoders that never met have nothing to say to each other: their spaces differ in length and in what each
direction means. :class:`Alignment` learns, from items that have both media, one map a modality into a common space.
"""

from .contrastive import LOSSES, Alignment
from .searching import TEMPLATES, label_vectors, search, zero_shot

__all__ = ["LOSSES", "TEMPLATES", "Alignment", "label_vectors", "search", "zero_shot"]

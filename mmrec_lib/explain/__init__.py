"""Why this item: by clicks, in sentences, and tests of whether an explanation is true to its model."""

from .api import KINDS, explain, kinds
from .explanation import Explanation
from .faithfulness import Faithfulness, faithfulness

__all__ = ["KINDS", "Explanation", "Faithfulness", "explain", "faithfulness", "kinds"]

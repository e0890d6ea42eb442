"""Video to vectors: pictures sampled from a film, pooled; a 3D network trained in place; pretrained transformers."""

from .cnn3d import SmallCNN3D
from .frames import sample_frames
from .pooling import FramePooling
from .transformer import TransformerVideo

__all__ = ["FramePooling", "SmallCNN3D", "TransformerVideo", "sample_frames"]

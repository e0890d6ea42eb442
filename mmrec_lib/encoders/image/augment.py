"""Pictures changed at random in ways that leave the thing what it is: cropped, mirrored, turned, tinted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...errors import ParameterError

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image


@dataclass(frozen=True)
class Augmentation:
    """How much pictures are changed.

    Parameters
    ----------
    crop : (float, float), default (0.6, 1.0)
        Smallest and largest share of the side that is kept, at a random place, and enlarged to the whole.
    flip : float, default 0.5
        Probability of mirroring left and right. Wrong for letters and digits.
    rotate : float, default 15
        Largest angle in degrees, to either side; what comes in from outside is white.
    colour : float, default 0.3
        Brightness, contrast and saturation are each multiplied by a factor from ``1 - colour`` to ``1 + colour``.

    All pictures of a batch are changed by one resampling, each in its own way; transforms of torchvision change a batch
    in one way, or need a loop over pictures.
    """

    crop: tuple[float, float] = (0.6, 1.0)
    flip: float = 0.5
    rotate: float = 15.0
    colour: float = 0.3

    def __post_init__(self) -> None:
        low, high = self.crop
        if not 0 < low <= high <= 1:
            raise ParameterError(f"crop={self.crop!r}: give two shares of the side, 0 < smallest <= largest <= 1")
        for name, value, top in (("flip", self.flip, 1), ("rotate", self.rotate, 180), ("colour", self.colour, 1)):
            if not 0 <= value <= top:
                raise ParameterError(f"{name}={value!r}: give a number from 0 to {top}")

    def batch(self, pictures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Changed copies of pictures ``(n, 3, h, w)`` with values from 0 to 1; all chance comes from ``generator``,
        which lives on the CPU."""
        moved = 1 - self._moved(1 - pictures, generator)  # inverted: what comes in from outside is 0, and so white
        return self._tinted(moved, generator)

    def picture(self, picture: Image, seed: int = 0) -> Image:
        """A changed copy of an RGB picture; the same seed gives the same one."""
        import torch
        from PIL import Image

        pixels = torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)[None] / 255
        changed = self.batch(pixels, torch.Generator().manual_seed(seed))[0]
        return Image.fromarray((changed * 255).round().byte().permute(1, 2, 0).numpy())

    def _moved(self, pictures, generator):
        """Crop, mirror and turn as one affine map of the output's coordinates (-1 to 1) to those of the input."""
        import torch
        import torch.nn.functional as F

        n, _, height, width = pictures.shape
        chance = torch.rand(5, n, generator=generator)
        low, high = self.crop
        scale = low + (high - low) * chance[0]
        mirror = torch.where(chance[1] < self.flip, -1.0, 1.0)
        angle = torch.deg2rad((2 * chance[2] - 1) * self.rotate)
        # the window stays within the centres of the outermost pixels
        inside = 1 - 1 / torch.tensor([[float(width)], [float(height)]])
        shift = (2 * chance[3:] - 1) * (1 - scale) * inside
        cos, sin, shape = scale * angle.cos(), scale * angle.sin(), height / width
        rows = [mirror * cos, -sin * shape, shift[0], mirror * sin / shape, cos, shift[1]]
        maps = torch.stack(rows, dim=1).view(n, 2, 3).to(pictures)
        grid = F.affine_grid(maps, list(pictures.shape), align_corners=False)
        return F.grid_sample(pictures, grid, align_corners=False)

    def _tinted(self, pictures, generator):
        import torch

        factors = 1 + self.colour * (2 * torch.rand(3, len(pictures), 1, 1, 1, generator=generator) - 1)
        brightness, contrast, saturation = factors.to(pictures)
        changed = pictures * brightness
        mean = changed.mean(dim=(1, 2, 3), keepdim=True)
        changed = mean + contrast * (changed - mean)
        grey = changed.mean(dim=1, keepdim=True)
        return (grey + saturation * (changed - grey)).clamp(0, 1)

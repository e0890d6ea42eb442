"""Pictures described without a network: colours, outlines, and repeated details."""

from __future__ import annotations

import numpy as np

from ...errors import MissingPackageError
from ..base import Encoder
from .loading import check_framing, check_whole, open_picture, read, read_all, square

_BINS = 6  # of each colour channel
_HOG_SIDE = 64  # pixels; 8 x 8 cells give 7 x 7 blocks of 2 x 2 cells with 9 directions: 1764 numbers
_SIFT_SIDE = 256  # pixels of the longer side
_MOST_DESCRIPTORS = 100_000  # that the vocabulary is learned from
_NOWHERE = 1e3  # where a word lies that no descriptor may reach


class ColourHistogram(Encoder):
    """Shares of 216 colours: each of red, green and blue in 6 equal steps; they sum to 1 (Swain and Ballard, 1991).

    Pixels count by their opacity, so the empty sheet around a cut-out thing is not taken for a white thing. A picture
    without transparency counts throughout, its background included; nothing says which white is paper.

    Parameters
    ----------
    visible_only : bool, default True
        False: put the picture on white and count every pixel.
    """

    name = "colour-histogram"
    modality = "image"
    reads_files = True
    dim = _BINS**3

    def __init__(self, visible_only: bool = True) -> None:
        self.visible_only = visible_only

    def _open(self, item):
        picture = read(item, 64) if self.visible_only else open_picture(item, 64)
        pixels = np.asarray(picture.convert("RGBA"), np.float32).reshape(-1, 4)
        red, green, blue = (pixels[:, :3] * (_BINS / 256)).astype(np.int64).T
        opacity = pixels[:, 3] if pixels[:, 3].any() else np.full(len(pixels), 255.0)  # nothing visible: the sheet
        counts = np.bincount((red * _BINS + green) * _BINS + blue, opacity, minlength=self.dim)
        return (counts / counts.sum()).astype(np.float32)

    def _encode(self, batch, device):
        return np.stack(batch)


class HOG(Encoder):
    """Histograms of oriented gradients (Dalal and Triggs, 2005): in which directions the edges of each part run.

    The picture becomes a square of 64 x 64 pixels in grey. Each cell of 8 x 8 pixels has a histogram of 9 directions,
    weighted by the strength of the gradient; blocks of 2 x 2 cells are normalised together.

    Parameters
    ----------
    framing : {"pad", "crop", "stretch"}, default "pad"
        See :func:`~mmrec_lib.encoders.image.loading.square`.
    """

    name = "hog"
    modality = "image"
    reads_files = True
    dim = 1764

    def __init__(self, framing: str = "pad") -> None:
        self.framing = check_framing(framing)

    def _open(self, item):
        try:
            from skimage.feature import hog
        except ImportError:
            raise MissingPackageError("scikit-image", "the encoder 'hog'") from None
        grey = np.asarray(square(open_picture(item, _HOG_SIDE), _HOG_SIDE, self.framing).convert("L"))
        return hog(grey, orientations=9, pixels_per_cell=(8, 8), cells_per_block=(2, 2), block_norm="L2-Hys")

    def _encode(self, batch, device):
        return np.stack(batch).astype(np.float32)


class SIFTWords(Encoder):
    """Bag of visual words: how often each of ``dim`` learned kinds of detail occurs.

    Key points and their descriptors are those of SIFT (Lowe, 2004), in Hellinger form (Arandjelovic and Zisserman,
    2012). ``fit`` groups the descriptors of the pictures by k-means into words (Sivic and Zisserman, 2003); a vector
    holds each word's count times its rarity, scaled to length 1. A picture without any key point has zeros.

    Parameters
    ----------
    dim : int, default 256
        Number of words. Where the pictures have fewer key points than that, the rest of the words stays unused.
    points : int, default 200
        Key points of a picture at most, the strongest.
    rarity : bool, default True
        Weigh words by ``log((1 + n) / (1 + pictures with it)) + 1``; False: counts alone.
    most : int, default 20000
        Pictures that ``fit`` looks at, drawn at random where there are more.
    seed : int, default 0

    Labels are not looked at.
    """

    name = "sift"
    modality = "image"
    reads_files = True
    needs_fit = True
    dim = 256

    def __init__(
        self, dim: int = 256, points: int = 200, rarity: bool = True, most: int = 20_000, seed: int = 0
    ) -> None:
        self.dim, self.points = check_whole("dim", dim), check_whole("points", points)
        self.rarity, self.most, self.seed = rarity, check_whole("most", most), check_whole("seed", seed, 0)

    def _open(self, item):
        return sift(item, self.points)[1]

    def _fit(self, items, labels, device) -> None:
        from sklearn.cluster import MiniBatchKMeans

        found, _ = read_all(self._open, items, self.name, self.most, self.seed)
        descriptors = np.concatenate(found)
        rng = np.random.default_rng(self.seed)
        if len(descriptors) > _MOST_DESCRIPTORS:
            descriptors = descriptors[rng.choice(len(descriptors), _MOST_DESCRIPTORS, replace=False)]
        self.words_ = np.full((self.dim, 128), _NOWHERE, np.float32)
        n = min(self.dim, len(np.unique(descriptors, axis=0)))
        if n:
            means = MiniBatchKMeans(n, batch_size=4096, n_init=1, max_iter=30, random_state=self.seed)
            self.words_[:n] = means.fit(descriptors).cluster_centers_
        counts = np.stack([self._counts(one) for one in found])
        self.rarity_ = (np.log((1 + len(found)) / (1 + (counts > 0).sum(axis=0))) + 1).astype(np.float32)

    def _counts(self, descriptors: np.ndarray) -> np.ndarray:
        """How many descriptors are nearest to each word, float32 ``(dim,)``."""
        distance = (self.words_**2).sum(axis=1) - 2 * descriptors @ self.words_.T
        return np.bincount(distance.argmin(axis=1), minlength=self.dim).astype(np.float32)

    def _encode(self, batch, device):
        counts = np.stack([self._counts(descriptors) for descriptors in batch])
        weighed = counts * self.rarity_ if self.rarity else counts
        return weighed / np.maximum(np.linalg.norm(weighed, axis=1, keepdims=True), 1e-12)


def sift(path, points: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Key points of a picture ``(n, 4)`` (x, y, diameter, angle in degrees) and descriptors ``(n, 128)``, float32.

    The picture's longer side is scaled to 256 pixels first. Descriptors are in Hellinger form: roots of shares, so
    that each has length 1.
    """
    try:
        import cv2
    except ImportError:
        raise MissingPackageError("opencv-python-headless", "the encoder 'sift'") from None
    picture = open_picture(path, _SIFT_SIDE).convert("L")
    scale = _SIFT_SIDE / max(picture.size)
    picture = picture.resize([max(1, round(side * scale)) for side in picture.size])
    keys, descriptors = cv2.SIFT_create(nfeatures=points).detectAndCompute(np.asarray(picture), None)
    if descriptors is None:
        return np.zeros((0, 4), np.float32), np.zeros((0, 128), np.float32)
    places = np.array([(*key.pt, key.size, key.angle) for key in keys], np.float32)
    return places, np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-12))

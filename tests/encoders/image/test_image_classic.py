"""Colours, outlines and visual words on pictures whose answer is plain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

import mmrec_lib as mm
from mmrec_lib.encoders.image.classic import HOG, ColourHistogram, SIFTWords, sift


def colour(red, green, blue):
    return (red * 6 + green) * 6 + blue


def test_histogram_by_hand():
    """Two red pixels, one blue, one white: a half and two quarters."""
    picture = Image.fromarray(np.array([[[255, 0, 0], [255, 0, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8))
    vector = ColourHistogram().encode([picture])[0]
    expected = np.zeros(216)
    expected[[colour(5, 0, 0), colour(0, 0, 5), colour(5, 5, 5)]] = 0.5, 0.25, 0.25
    np.testing.assert_allclose(vector, expected)


def test_histogram_counts_by_opacity():
    pixels = np.zeros((1, 2, 4), np.uint8)
    pixels[0] = [[255, 0, 0, 255], [0, 255, 0, 85]]
    picture = Image.fromarray(pixels)
    vector = ColourHistogram().encode([picture])[0]
    np.testing.assert_allclose(vector[[colour(5, 0, 0), colour(0, 5, 0)]], [0.75, 0.25])
    everywhere = ColourHistogram(visible_only=False).encode([picture])[0]
    np.testing.assert_allclose(everywhere[[colour(5, 0, 0), colour(3, 5, 3), colour(4, 5, 4)]].sum(), 1)
    invisible = ColourHistogram().encode([Image.new("RGBA", (4, 4), (0, 0, 0, 0))])[0]
    assert invisible[0] == 1


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 2**32 - 1))
def test_histogram_is_a_distribution(width, height, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 4), np.uint8)
    vector = ColourHistogram().encode([Image.fromarray(pixels)])[0]
    assert vector.min() >= 0
    assert abs(vector.sum() - 1) < 1e-5


def test_hog_knows_directions():
    stripes = Image.fromarray(np.tile(np.array([0, 0, 0, 0, 255, 255, 255, 255], np.uint8), (64, 8)))
    upright, lying = HOG().encode([stripes, stripes.transpose(Image.Transpose.ROTATE_90)])
    strongest = {tuple(v.reshape(-1, 9).sum(axis=0).argsort()[-1:]) for v in (upright, lying)}
    assert len(strongest) == 2
    assert upright @ lying / np.linalg.norm(upright) / np.linalg.norm(lying) < 0.2


@pytest.fixture(scope="module")
def drawings():
    """Six pictures of many small circles, six of many small crosses."""
    rng, made = np.random.default_rng(0), []
    for n in range(12):
        picture = Image.new("RGB", (200, 200), "white")
        draw = ImageDraw.Draw(picture)
        for x, y in rng.integers(15, 185, (25, 2)).tolist():
            if n % 2:
                draw.ellipse((x - 8, y - 8, x + 8, y + 8), fill="black")
            else:
                draw.line((x - 8, y, x + 8, y), fill="black", width=3)
                draw.line((x, y - 8, x, y + 8), fill="black", width=3)
        made.append(picture)
    return made


def test_words_tell_circles_from_crosses(drawings):
    vectors = SIFTWords(dim=16).fit(drawings).encode(drawings)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    report = mm.evaluation.neighbour_accuracy(vectors, [n % 2 for n in range(12)])
    assert report.summary.loc["accuracy", "mean"] == 1


def test_words_without_key_points(drawings):
    blank = Image.new("RGB", (50, 50), "white")
    assert sift(blank)[1].shape == (0, 128)
    assert not SIFTWords(dim=8).fit(drawings).encode([blank]).any()
    assert not SIFTWords(dim=8).fit([blank]).encode([blank]).any()


def test_descriptors_have_length_one(drawings):
    places, descriptors = sift(drawings[0], points=50)
    assert len(places) <= 60
    np.testing.assert_allclose(np.linalg.norm(descriptors, axis=1), 1, rtol=1e-4)


def test_rarity_weighs_and_can_be_left_out(drawings):
    words = SIFTWords(dim=16, rarity=False).fit(drawings)
    counts = words._counts(words._open(drawings[0]))
    np.testing.assert_allclose(words.encode(drawings[:1])[0], counts / np.linalg.norm(counts), rtol=1e-5)

"""The small network and the changed pictures it learns from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from mmrec_lib.encoders.image.augment import Augmentation
from mmrec_lib.encoders.image.cnn import SmallCNN
from mmrec_lib.errors import DataError, ParameterError

NOTHING = {"crop": (1.0, 1.0), "flip": 0.0, "rotate": 0.0, "colour": 0.0}


@pytest.fixture(scope="module")
def squares():
    """40 pictures: red or blue, large or small."""
    made = []
    for n in range(40):
        picture = Image.new("RGB", (48, 48), "white")
        half = 18 if n // 2 % 2 else 7
        picture.paste("red" if n % 2 else "blue", (24 - half, 24 - half, 24 + half, 24 + half))
        made.append(picture)
    return made


def batch(n=4, seed=0):
    return torch.rand(n, 3, 16, 12, generator=torch.Generator().manual_seed(seed))


def change(pictures, seed=0, **settings):
    return Augmentation(**{**NOTHING, **settings}).batch(pictures, torch.Generator().manual_seed(seed))


def test_nothing_to_change():
    torch.testing.assert_close(change(batch()), batch(), atol=1e-5, rtol=0)


def test_mirror():
    torch.testing.assert_close(change(batch(), flip=1.0), batch().flip(3), atol=1e-5, rtol=0)


def test_turned_picture_is_white_outside():
    turned = change(torch.zeros(8, 3, 16, 16), rotate=45.0)
    assert turned[:, :, 8, 8].max() < 1e-5
    assert turned[:, :, 0, 0].max() == 1


def test_quarter_turn_of_a_square():
    pictures = torch.rand(1, 3, 8, 8)
    by_angle = {}
    for seed in range(300):
        chance = torch.rand(5, 1, generator=torch.Generator().manual_seed(seed))[2]
        by_angle[seed] = abs(float((2 * chance - 1) * 180) - 90)
    seed = min(by_angle, key=by_angle.get)
    turned = change(pictures, seed, rotate=180.0)
    sides = [(turned - pictures.rot90(times, (2, 3))).abs().mean() for times in (1, 3)]
    assert min(sides) < 0.05


def test_crop_stays_inside():
    assert (change(torch.full((20, 3, 10, 10), 0.3), crop=(0.3, 0.5)) - 0.3).abs().max() < 1e-5


def test_colour_keeps_range_and_changes_each_picture_in_its_own_way():
    same = batch(1).expand(6, 3, 16, 12)
    changed = change(same, colour=0.8)
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert len(torch.unique(changed.mean(dim=(1, 2, 3)))) == 6


def test_seeded_and_alone():
    before = torch.get_rng_state()
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8))
    first, again, other = (np.asarray(Augmentation().picture(picture, seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (20, 30, 3)
    assert (first != other).any()
    assert (torch.get_rng_state() == before).all()


@pytest.mark.parametrize("setting", [{"crop": (0.0, 1.0)}, {"crop": (0.9, 0.5)}, {"flip": 2}, {"rotate": -1}])
def test_impossible_changes(setting):
    with pytest.raises(ParameterError, match=next(iter(setting))):
        Augmentation(**setting)


def apart(vectors, labels):
    """Mean cosine within labels minus that between labels."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine, same = unit @ unit.T, labels[:, None] == labels[None, :]
    return cosine[same].mean() - cosine[~same].mean()


def test_learns_labels(squares):
    size = np.array([n // 2 % 2 for n in range(40)])
    cnn = SmallCNN(dim=16, size=32, epochs=12, batch_size=20).fit(squares, labels=size)
    assert cnn.history_[-1]["loss"] < 0.8 * cnn.history_[0]["loss"]
    assert apart(cnn.encode(squares), size) > 0.05


def test_learns_without_labels(squares):
    cnn = SmallCNN(dim=16, size=32, epochs=8, batch_size=20).fit(squares)
    assert cnn.history_[-1]["loss"] < cnn.history_[0]["loss"]
    alike = SmallCNN(dim=16, size=32, epochs=8, batch_size=20).fit(squares, labels=["same"] * 40)
    np.testing.assert_array_equal(alike.encode(squares[:3]), cnn.encode(squares[:3]))


def test_without_changes_other_vectors(squares):
    labels = [n % 2 for n in range(40)]
    with_, without = (SmallCNN(dim=8, size=16, epochs=1, augment=a).fit(squares, labels) for a in (True, False))
    assert not np.allclose(with_.encode(squares[:2]), without.encode(squares[:2]))


def test_last_batch_of_one_and_unreadable_files(squares, tmp_path):
    (tmp_path / "bad.png").write_text("no picture")
    cnn = SmallCNN(dim=8, size=16, epochs=1, batch_size=4).fit([*squares[:5], tmp_path / "bad.png"], labels=[0, 1] * 3)
    assert np.isfinite(cnn.encode(squares[:5])).all()


def test_one_picture_is_too_few(squares):
    with pytest.raises(DataError, match="at least two"):
        SmallCNN(size=16, epochs=1).fit(squares[:1])


@pytest.mark.parametrize("setting", [{"size": 50}, {"epochs": 0}, {"learning_rate": 0.0}, {"temperature": -1}])
def test_impossible_settings(setting):
    with pytest.raises(ParameterError, match=next(iter(setting))):
        SmallCNN(**setting)

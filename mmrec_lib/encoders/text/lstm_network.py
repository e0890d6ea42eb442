"""The network of :class:`~mmrec_lib.encoders.text.LSTMEncoder`; apart from it, because torch is loaded with it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Reader(nn.Module):
    """Embedding, one LSTM layer, and a head that predicts a label from the pooled states or a word from each state.

    Inputs are codes ``(n, length)``, filled up with zeros, and ``lengths (n,)`` on the CPU, each at least 1.
    """

    def __init__(self, n_codes: int, n_out: int, embedding_dim: int, dim: int, dropout: float, pooling: str) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_codes, embedding_dim, padding_idx=0)
        self.lstm = nn.LSTM(embedding_dim, dim, batch_first=True)
        self.head = nn.Linear(dim, n_out)
        self.dropout = nn.Dropout(dropout)
        self.pooling = pooling

    def states(self, codes: Tensor, lengths: Tensor) -> Tensor:
        """Hidden states ``(n, length, dim)``, zeros at filled places."""
        packed = pack_padded_sequence(
            self.dropout(self.embedding(codes)), lengths, batch_first=True, enforce_sorted=False
        )
        return pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=codes.shape[1])[0]

    def pooled(self, codes: Tensor, lengths: Tensor) -> Tensor:
        """One vector a text, ``(n, dim)``: of its words alone, never of filled places."""
        states, lengths = self.states(codes, lengths), lengths.to(codes.device)
        if self.pooling == "mean":
            return states.sum(dim=1) / lengths[:, None]
        if self.pooling == "last":
            return states[torch.arange(len(states), device=states.device), lengths - 1]
        filled = torch.arange(codes.shape[1], device=codes.device) >= lengths[:, None]
        return states.masked_fill(filled[..., None], -torch.inf).amax(dim=1)

    def label(self, codes: Tensor, lengths: Tensor) -> Tensor:
        """Scores of the labels, ``(n, n_out)``."""
        return self.head(self.dropout(self.pooled(codes, lengths)))

    def next_word(self, codes: Tensor, lengths: Tensor) -> Tensor:
        """Scores of the word after each place, ``(n, length, n_out)``."""
        return self.head(self.dropout(self.states(codes, lengths)))

"""The second stage: a score for each candidate from the columns of a :class:`PairTable`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ...checks import above, at_least, between, one_of, whole
from ...errors import DataError, MissingPackageError, NotFittedError, ParameterError
from ...training import device as devices
from ...training import loop


class Ranker:
    """Base class: ``fit(table, clicks, ratings, sizes)``, ``predict(table)`` and ``score(table)``.

    ``table`` is float32 ``(rows, columns)``, the candidates of one user after those of another; NaN means "not known".
    """

    name = ""

    def fit(self, table: np.ndarray, clicks: np.ndarray, ratings: np.ndarray, sizes: np.ndarray):
        """Learn, and return self.

        Parameters
        ----------
        table : float32 (rows, columns)
        clicks : bool (rows,)
            Was the candidate clicked later?
        ratings : float (rows,)
            What the click was worth; NaN without a click.
        sizes : int (users,)
            Rows of each user; their sum is the number of rows.
        """
        table, clicks = np.asarray(table, np.float32), np.asarray(clicks, bool)
        if table.ndim != 2 or clicks.shape != (len(table),) or np.sum(sizes) != len(table):
            raise DataError(
                f"table {table.shape}, clicks {clicks.shape}, sizes summing to {np.sum(sizes)}: give a row a candidate"
            )
        if not clicks.any() or clicks.all():
            raise DataError(
                "the candidates of the ranker's training are all clicked, or none is: give the sources larger quotas, "
                "or set aside more clicks (inner_fraction)"
            )
        self.n_columns_ = table.shape[1]
        self._fit(table, clicks, np.asarray(ratings, np.float32), np.asarray(sizes))
        return self

    def predict(self, table: np.ndarray) -> dict[str, np.ndarray]:
        """One array ``(rows,)`` for each task: ``"click"``, where learned ``"rating"``."""
        raise NotImplementedError

    def score(self, table: np.ndarray) -> np.ndarray:
        """Float64 ``(rows,)``: the predictions made one; higher is better."""
        raise NotImplementedError

    def _checked(self, table) -> np.ndarray:
        if not hasattr(self, "n_columns_"):
            raise NotFittedError(f"{type(self).__name__} has not learned yet: call fit first")
        table = np.asarray(table, np.float32)
        if table.ndim != 2 or table.shape[1] != self.n_columns_:
            raise DataError(f"table has shape {table.shape}; the ranker learned from {self.n_columns_} columns")
        return table


class TreeRanker(Ranker):
    """Gradient-boosted trees for ranking: LambdaMART (Burges, 2010) as LightGBM has it (Ke et al., 2017).

    Each tree is fitted to the pairs of a user's candidates that stand in the wrong order, weighted by what their
    exchange would change in NDCG.

    Parameters
    ----------
    trees : int, default 100
    leaves : int, default 15
        Of each tree, at most.
    learning_rate : float, default 0.05
    min_rows : int, default 50
        In a leaf.
    columns : float, default 0.7
        Share of the columns that a tree may look at, drawn for each.
    depth : int, default 20
        Only pairs with one of the first so many places count (``lambdarank_truncation_level``).
    seed : int, default 0
    """

    name = "trees"

    def __init__(
        self, trees: int = 100, leaves: int = 15, learning_rate: float = 0.05, min_rows: int = 50, columns: float = 0.7,
        depth: int = 20, seed: int = 0,
    ) -> None:  # fmt: skip
        self.trees, self.leaves = whole("trees", trees), whole("leaves", leaves, least=2)
        self.learning_rate, self.min_rows = above("learning_rate", learning_rate, 0), whole("min_rows", min_rows)
        self.columns = between("columns", above("columns", columns, 0), 0, 1)
        self.depth, self.seed = whole("depth", depth), whole("seed", seed, least=0)

    def _fit(self, table, clicks, ratings, sizes) -> None:
        params = {
            "objective": "lambdarank", "num_leaves": self.leaves, "learning_rate": self.learning_rate,
            "min_data_in_leaf": self.min_rows, "feature_fraction": self.columns, "seed": self.seed,
            "lambdarank_truncation_level": self.depth, "deterministic": True, "force_row_wise": True, "verbose": -1,
            "num_threads": torch.get_num_threads(),
        }  # fmt: skip
        data = _lightgbm().Dataset(table, label=clicks.astype(np.int32), group=sizes[sizes > 0])
        self._booster = _lightgbm().train(params, data, num_boost_round=self.trees)

    def predict(self, table):
        return {"click": self._booster.predict(self._checked(table))} if len(table) else {"click": np.zeros(0)}

    def score(self, table):
        return self.predict(self._checked(table))["click"]

    def importance(self, names) -> dict[str, float]:
        """Column to its share of all gains by splits, largest first."""
        gains = self._booster.feature_importance("gain")
        order = np.argsort(-gains, kind="stable")
        return {names[i]: float(gains[i] / max(gains.sum(), 1e-12)) for i in order}

    def state(self) -> dict[str, np.ndarray]:
        text = np.frombuffer(self._booster.model_to_string().encode(), np.uint8)  # LightGBM's own text format
        return {"trees": text, "n_columns": np.array([self.n_columns_])}

    def restore(self, arrays: dict[str, np.ndarray]) -> TreeRanker:
        self._booster = _lightgbm().Booster(model_str=arrays["trees"].tobytes().decode())
        self.n_columns_ = int(arrays["n_columns"][0])
        return self


class NetworkRanker(Ranker):
    """One network for two tasks: will it be clicked, and how will it be rated?

    Clicks are learned by the cross-entropy of all candidates, ratings by the squared error (in standard deviations) of
    those that were clicked. The score is ``logit of a click + taste * rating``, the rating in standard deviations.

    Parameters
    ----------
    kind : {"shared", "mmoe"}, default "shared"
        ``"shared"``: one bottom, then a head for each task (Caruana, 1997). ``"mmoe"``: several bottoms (experts), of
        which each task mixes its own by a gate that sees the row (Ma et al., 2018).
    tasks : tuple, default ("click", "rating")
        Both or one of them.
    experts : int, default 4
        Of ``"mmoe"``; each is as wide as the shared bottom divided by their number, so that both kinds are about as
        large.
    width : int, default 64
        Of the shared bottom.
    rating_weight : float, default 0.2
        Of the rating's loss beside that of clicks.
    taste : float, default 0
        0 ranks by clicks alone.
    epochs, batch_size, learning_rate, weight_decay
        Of Adam: 8, 1024, 0.003, 0.0001.
    seed : int, default 0
    device : str, default "auto"
    """

    name = "network"

    def __init__(
        self, kind: str = "shared", tasks: tuple[str, ...] = ("click", "rating"), experts: int = 4, width: int = 64,
        rating_weight: float = 0.2, taste: float = 0.0, epochs: int = 8, batch_size: int = 1024,
        learning_rate: float = 0.003, weight_decay: float = 0.0001, seed: int = 0, device: str = "auto",
    ) -> None:  # fmt: skip
        self.kind = one_of("kind", kind, ("shared", "mmoe"))
        self.tasks = tuple(tasks)
        if not self.tasks or not set(self.tasks) <= {"click", "rating"} or len(set(self.tasks)) < len(self.tasks):
            raise ParameterError(f'tasks={tasks!r}: give ("click", "rating"), or a tuple of one of them')
        self.experts, self.width = whole("experts", experts), whole("width", width, least=8)
        self.rating_weight, self.taste = at_least("rating_weight", rating_weight, 0), at_least("taste", taste, 0)
        self.epochs, self.batch_size = whole("epochs", epochs), whole("batch_size", batch_size)
        self.learning_rate = above("learning_rate", learning_rate, 0)
        self.weight_decay = at_least("weight_decay", weight_decay, 0)
        self.seed, self.device = whole("seed", seed, least=0), device

    def _fit(self, table, clicks, ratings, sizes) -> None:
        known = np.isfinite(table)
        count = np.maximum(known.sum(axis=0), 1)
        self.mean_ = (np.where(known, table, 0).sum(axis=0, dtype=np.float64) / count).astype(np.float32)
        spread = np.sqrt((np.where(known, table - self.mean_, 0) ** 2).sum(axis=0, dtype=np.float64) / count)
        self.scale_ = np.where(spread > 1e-6, spread, 1).astype(np.float32)
        rated = ratings[np.isfinite(ratings)]
        self.rating_ = np.array([rated.mean(), max(rated.std(), 1e-6)] if len(rated) else [0, 1], np.float32)
        if "rating" in self.tasks and (not len(rated) or rated.std() < 1e-6):
            raise DataError('all ratings are equal: there is nothing to learn for the task "rating"')
        device = devices.resolve(self.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self._module = _Towers(table.shape[1], self).to(device)
        standard = (ratings - self.rating_[0]) / self.rating_[1]
        columns = [torch.from_numpy(np.ascontiguousarray(a, dtype=np.float32)) for a in
                   (self._inputs(table), clicks, standard)]  # fmt: skip
        if self.tasks == ("rating",):  # nothing to learn from what was not clicked
            columns = [column[torch.from_numpy(clicks)] for column in columns]

        def batches(epoch):
            order = torch.from_numpy(loop.epoch_rng(self.seed, epoch).permutation(len(columns[0])))
            for rows in order.split(self.batch_size):
                yield [column[rows].to(device) for column in columns]

        loop.fit(
            self._module, batches, self._loss, epochs=self.epochs, learning_rate=self.learning_rate,
            weight_decay=self.weight_decay, seed=self.seed, description="ranker",
        )  # fmt: skip

    def _inputs(self, table: np.ndarray) -> np.ndarray:
        """Standardised columns; what is not known is the mean."""
        return np.clip(np.nan_to_num((table - self.mean_) / self.scale_, nan=0.0), -8, 8)

    def _loss(self, batch) -> Tensor:
        rows, clicks, ratings = batch
        out = self._module(rows)
        loss = rows.new_zeros(())
        if "click" in out:
            loss = loss + functional.binary_cross_entropy_with_logits(out["click"], clicks)
        if "rating" in out:
            rated = torch.isfinite(ratings)
            error = torch.where(rated, out["rating"] - torch.nan_to_num(ratings), 0).square().sum()
            weight = self.rating_weight if "click" in out else 1.0
            loss = loss + weight * error / rated.sum().clamp(min=1)
        return loss

    def _outputs(self, table) -> dict[str, np.ndarray]:
        rows = torch.from_numpy(self._inputs(self._checked(table)))
        device = next(self._module.parameters()).device
        with torch.no_grad():
            parts = [self._module(part.to(device)) for part in rows.split(65_536)]
        return {task: np.concatenate([p[task].cpu().numpy() for p in parts]).astype(float) for task in self.tasks}

    def predict(self, table):
        out = self._outputs(table)
        if "click" in out:
            out["click"] = 1 / (1 + np.exp(-out["click"]))
        if "rating" in out:
            out["rating"] = self.rating_[0] + self.rating_[1] * out["rating"]
        return out

    def score(self, table):
        out = self._outputs(table)
        if "click" not in out:
            return out["rating"]
        return out["click"] + (self.taste * out["rating"] if "rating" in out else 0.0)

    def state(self) -> dict[str, np.ndarray]:
        arrays = {f"weights/{name}": value.cpu().numpy() for name, value in self._module.state_dict().items()}
        arrays |= {"mean": self.mean_, "scale": self.scale_, "rating": self.rating_}
        return arrays | {"n_columns": np.array([self.n_columns_])}

    def restore(self, arrays: dict[str, np.ndarray]) -> NetworkRanker:
        self.mean_, self.scale_, self.rating_ = arrays["mean"], arrays["scale"], arrays["rating"]
        self.n_columns_ = int(arrays["n_columns"][0])
        self._module = _Towers(self.n_columns_, self)
        weights = {n[len("weights/") :]: torch.from_numpy(a) for n, a in arrays.items() if n.startswith("weights/")}
        self._module.load_state_dict(weights)
        self._module.to(devices.resolve(self.device)).eval()
        return self


class _Towers(nn.Module):
    """Bottoms, gates where there are several, and a head for each task."""

    def __init__(self, n_columns: int, given: NetworkRanker) -> None:
        super().__init__()
        n = given.experts if given.kind == "mmoe" else 1
        width = max(given.width // n, 8)
        self.bottoms = nn.ModuleList(
            nn.Sequential(nn.Linear(n_columns, width), nn.ReLU(), nn.Linear(width, 32), nn.ReLU()) for _ in range(n)
        )
        self.gates = nn.ModuleDict({task: nn.Linear(n_columns, n) for task in given.tasks} if n > 1 else {})
        self.heads = nn.ModuleDict(
            {task: nn.Sequential(nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1)) for task in given.tasks}
        )

    def forward(self, rows: Tensor) -> dict[str, Tensor]:
        bottoms = torch.stack([bottom(rows) for bottom in self.bottoms], dim=1)
        out = {}
        for task, head in self.heads.items():
            if self.gates:
                mixed = (self.gates[task](rows).softmax(dim=1)[:, :, None] * bottoms).sum(dim=1)
            else:
                mixed = bottoms[:, 0]
            out[task] = head(mixed)[:, 0]
        return out


RANKERS = {"trees": TreeRanker, "network": NetworkRanker}


def create_ranker(name: str, **params) -> Ranker:
    """A ranker by its name: ``"trees"`` or ``"network"``."""
    one_of("ranker", name, RANKERS)
    try:
        return RANKERS[name](**params)
    except TypeError as error:
        raise ParameterError(f"ranker_params of {name!r}: {error}") from None


def _lightgbm():
    try:
        import lightgbm
    except ImportError:
        raise MissingPackageError("lightgbm", "a ranker of boosted trees", "serve") from None
    return lightgbm

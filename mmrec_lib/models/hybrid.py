"""Hybrids: several recommenders that are fitted together and recommend as one."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
from scipy import sparse

from ..checks import above, at_least, whole
from ..data import split
from ..errors import ParameterError
from ..fusion import late
from .base import Recommender

#: Combinations that look at one person at a time, and at nothing that only users have.
_BY_PERSON = ("weighted", "borda", "votes", "rrf", "cascade")
_SHARED = ("n_users_", "n_items_", "seen_", "popularity_")  # the same for all parts, kept once


class Hybrid(Recommender):
    """Several recommenders whose scores become one (Burke, 2002, lists the kinds of hybrids).

    The parts are fitted on the training interactions, and the combination learns on the validation interactions.
    Without these, a share of the training interactions is set aside at random: the parts are fitted on the rest, the
    combination learns on what was set aside, and the parts are fitted again on everything.

    Parameters
    ----------
    parts : dict, optional
        Registered name of a model to its parameters; or any name to ``{"model": registered name, **parameters}``. The
        order matters to "switch" and "cascade". Default: ``{"ease": {}, "contentknn": {}}``.
    how : str, default "weighted"
        "weighted", "borda", "votes", "rrf" (reciprocal ranks), "stacking", "switch" or "cascade"; see
        :mod:`mmrec_lib.fusion.late`.
    options : dict, optional
        Of the combination, as its class in :mod:`mmrec_lib.fusion.late` describes them.
    inner_fraction : float, default 0.1
        Share of each user's items that is set aside where the combination learns and no validation is given.
    seed : int, default 0
        Of this choice, of the combination, and of the parts that draw and name no seed of their own.

    Attributes
    ----------
    models_ : dict
        The fitted parts by name.
    combination_ : late.Combination
        What was learned about them, ``combination_.weights_`` for example.

    Raises
    ------
    ParameterError, UnknownNameError
        No parts, unknown models, combinations or parameters.
    """

    name = "hybrid"

    def __init__(
        self, parts: Mapping[str, Mapping] | None = None, how: str = "weighted", options: Mapping | None = None,
        inner_fraction: float = 0.1, seed: int = 0,
    ) -> None:  # fmt: skip
        self.parts, self.how, self.options = parts, how, options
        self.inner_fraction = at_least("inner_fraction", above("inner_fraction", inner_fraction, 0), 0, below=1)
        self.seed = whole("seed", seed, least=0)
        models = self._make_parts()
        self._make_combination(models)  # checks the options
        self.needs_features = any(model.needs_features for model in models.values())
        self.scores_new_users = any(model.scores_new_users for model in models.values())

    @property
    def scores_new_items(self) -> bool:
        """Yes, if one of the parts does."""
        parts = self.models_ if hasattr(self, "models_") else self._make_parts()
        return any(model.scores_new_items for model in parts.values())

    @property
    def histories(self) -> str | None:
        """What the weakest of the parts can."""
        kinds = {model.histories for model in getattr(self, "models_", {}).values()}
        if None in kinds or not kinds or self.how not in _BY_PERSON:
            return None
        return "fitted" if "fitted" in kinds else "exact"

    @property
    def reads_values(self) -> bool:
        """Yes, if one of the parts does."""
        return any(model.reads_values for model in getattr(self, "models_", {}).values())

    def _no_histories(self) -> str:
        if self.how not in _BY_PERSON:
            return f"a hybrid with how={self.how!r} cannot score a changed history; {', '.join(_BY_PERSON)} can"
        return next(model._no_histories() for model in self.models_.values() if model.histories is None)

    def _make_parts(self) -> dict[str, Recommender]:
        parts = {"ease": {}, "contentknn": {}} if self.parts is None else self.parts
        if not isinstance(parts, Mapping) or not all(isinstance(params, Mapping) for params in parts.values()):
            raise ParameterError(f"parts={parts!r}: give a dict from the name of each part to its parameters")
        if not parts:
            raise ParameterError("parts={}: name at least one model")
        return {name: self._make_part(name, dict(params)) for name, params in parts.items()}

    def _make_part(self, name: str, params: dict) -> Recommender:
        from . import create

        model = params.pop("model", name)
        if "seed" not in params and "seed" in create(model, **params).get_params():
            params["seed"] = self.seed
        return create(model, **params)

    def _make_combination(self, models: dict[str, Recommender]) -> late.Combination:
        return late.create(self.how, models, self.seed, **(self.options or {}))

    # -- learning ------------------------------------------------------------------------------------------------
    def _fit(self, train, features, valid) -> None:
        self.models_ = self._make_parts()
        self.combination_ = self._make_combination(self.models_)
        if valid is None or not len(valid):
            self._learn_inside(train, features)
            valid = None
        for model in self.models_.values():
            model.fit(train, features=features, valid=valid)
            vars(model).update({name: getattr(self, name) for name in _SHARED})  # equal; one copy is enough
        if valid is None:
            self.combination_.use(self.models_, self.seen_)
        else:
            self.combination_.fit(train, valid)

    def _learn_inside(self, train, features) -> None:
        """Learn the combination from a part of the training interactions, with models that have not seen them."""
        if not self.combination_.learns:
            return
        inner = split(train, how="random", fractions=(1 - self.inner_fraction, self.inner_fraction, 0), seed=self.seed)
        if not len(inner.valid):  # nobody has three items; the parts count equally
            return
        models = self._make_parts()
        for model in models.values():
            model.fit(inner.train, features=features)
        self.combination_.use(models, inner.train.to_csr()).fit(inner.train, inner.valid)

    def _score(self, users: np.ndarray) -> np.ndarray:
        return self.combination_.score(users)

    def _score_histories(self, histories, users):
        parts = {name: _Asked(model, histories, users) for name, model in self.models_.items()}
        combination = copy.copy(self.combination_).use(parts, histories)
        return combination.score(np.arange(histories.shape[0]))

    # -- keeping: the state of part number 0 goes under "part0/", of the combination under "combination/" ------------
    def _state(self) -> dict:
        state = {name: getattr(self, name) for name in _SHARED}
        state |= {f"combination/{name}": value for name, value in self.combination_.state().items()}
        for number, model in enumerate(self.models_.values()):
            state |= {f"part{number}/{k}": v for k, v in model._state().items() if k not in _SHARED}
        return state

    def _restore(self, state: dict) -> None:
        shared = {name: state[name] for name in _SHARED}
        super()._restore(shared)
        self.models_ = self._make_parts()
        for number, model in enumerate(self.models_.values()):
            model._restore(shared | _under(f"part{number}/", state))
        self.combination_ = self._make_combination(self.models_).use(self.models_, self.seen_)
        self.combination_.restore(_under("combination/", state))


class _Asked:
    """A part, asked about histories; the users of the combination are their rows."""

    def __init__(self, model: Recommender, histories: sparse.csr_matrix, users: np.ndarray | None) -> None:
        self.model, self.histories, self.users = model, histories, users

    def score(self, rows: np.ndarray) -> np.ndarray:
        return self.model.score_histories(self.histories[rows], None if self.users is None else self.users[rows])


def _under(prefix: str, state: dict) -> dict:
    return {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}

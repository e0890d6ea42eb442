"""One call for all kinds of explanation."""

from __future__ import annotations

import inspect

from ..data import Dataset, Features, Interactions
from ..errors import ParameterError, UnknownNameError
from ..models import Recommender
from . import counterfactual, factors, gradients, history, modalities, neighbours, paths, weights
from .explanation import Explanation
from .question import ask

#: Name to module with ``obstacle(model, features)`` and ``explain(question, **options)``; "auto" takes the first
#: that the model has.
KINDS = {
    "users": neighbours,  # first: exact, for the one model that asks similar users
    "history": history,
    "paths": paths,
    "modalities": modalities,
    "weights": weights,
    "gradients": gradients,
    "factors": factors,
    "counterfactual": counterfactual,
}


def kinds(model: Recommender, features: Features | None = None) -> list[str]:
    """Kinds of explanation that a fitted model has; some need the item vectors that it learned from."""
    model._check_users([])  # fitted?
    return [name for name, kind in KINDS.items() if kind.obstacle(model, features) is None]


def explain(
    model: Recommender, user: int, item: int, train: Interactions | None = None, features: Features | None = None,
    data: Dataset | None = None, how: str = "auto", **options,
) -> Explanation:  # fmt: skip
    """Why does the model give this user this item?

    Parameters
    ----------
    model : Recommender
        Fitted.
    user, item : int
        Codes. Any item can be asked about, recommended or not.
    train : Interactions, optional
        The clicks that count as the user's. Default: those that the model learned from; others can be explained where
        the model can score a changed history.
    features : Features, optional
        The item vectors that the model learned from; kinds that look at modalities need them.
    data : Dataset, optional
        Gives titles (column ``title`` of the items) to the sentences.
    how : str, default "auto"
        A name of :func:`kinds`, or the first of them.
    **options
        Of the kind, as the function ``explain`` in its module describes them.

    Raises
    ------
    NotFittedError, UnknownUserError, UnknownItemError
    DataError
        A user without clicks, tables that do not fit the model.
    UnknownNameError, ParameterError
        An unknown kind, one that the model does not have (the error says which it has), an unknown option.
    """
    if how != "auto" and how not in KINDS:
        raise UnknownNameError("kind of explanation", how, ["auto", *KINDS])
    known = kinds(model, features)
    name = type(model).__name__
    if not known:
        raise ParameterError(f"{name} has no kind of explanation: {history.obstacle(model, features)}")
    if how == "auto":
        how = known[0]
    if how not in known:
        why = KINDS[how].obstacle(model, features)
        raise ParameterError(f"{name} has no explanation how={how!r}: {why}. It has: {', '.join(known)}")
    kind = KINDS[how]
    allowed = list(inspect.signature(kind.explain).parameters)[1:]
    for option in options:
        if option not in allowed:
            raise ParameterError(f"how={how!r} has no option {option!r}; it has {', '.join(allowed) or 'none'}")
    return kind.explain(ask(model, user, item, train, features, data), **options)

"""Recommenders, from popularity to graphs. ``available()`` lists them, ``create(name, **params)`` makes one."""

from __future__ import annotations

import importlib
import inspect

from ..errors import ParameterError, UnknownNameError
from .base import Recommender, load

# Name to (module, class). Modules load when a model of theirs is first made, so that torch is not imported before.
_REGISTRY = {
    "random": ("baselines", "Random"),
    "popularity": ("baselines", "Popularity"),
    "userknn": ("neighbours", "UserKNN"),
    "itemknn": ("neighbours", "ItemKNN"),
    "rp3beta": ("neighbours", "RP3beta"),
    "slim": ("linear", "SLIM"),
    "ease": ("linear", "EASE"),
    "propensityease": ("debiased", "PropensityEASE"),
    "biasedmf": ("factors", "BiasedMF"),
    "als": ("factors", "ALS"),
    "bpr": ("bpr", "BPR"),
    "multvae": ("autoencoders", "MultVAE"),
    "neumf": ("neural", "NeuMF"),
    "lightgcn": ("graphs", "LightGCN"),
    "lightgat": ("graphs", "LightGAT"),
    "twotower": ("two_tower", "TwoTower"),
    "contentknn": ("content", "ContentKNN"),
    "contentprofile": ("content", "ContentProfile"),
    "sideease": ("linear", "SideEASE"),
    "vbpr": ("side", "VBPR"),
    "deepstyle": ("side", "DeepStyle"),
    "fm": ("side", "FM"),
    "mmgcn": ("multimodal_graphs", "MMGCN"),
    "grcn": ("multimodal_graphs", "GRCN"),
    "lattice": ("multimodal_graphs", "LATTICE"),
    "freedom": ("multimodal_graphs", "FREEDOM"),
    "mgcn": ("multimodal_graphs", "MGCN"),
    "bm3": ("self_supervised", "BM3"),
    "slmrec": ("self_supervised", "SLMRec"),
    "mmvae": ("generative", "MMVAE"),
    "diffmm": ("generative", "DiffMM"),
    "categorypop": ("cold", "CategoryPopularity"),
    "clcrec": ("cold", "CLCRec"),
    "coldmap": ("cold", "ColdMap"),
    "dropoutnet": ("cold", "DropoutNet"),
    "fomaml": ("meta", "FOMAML"),
    "melu": ("meta", "MeLU"),
    "hybrid": ("hybrid", "Hybrid"),
}

__all__ = ["Recommender", "available", "create", "get_class", "load"]


def available() -> list[str]:
    """Names of all recommenders, for :func:`create`."""
    return sorted(_REGISTRY)


def get_class(name: str) -> type[Recommender]:
    """The class behind a name; case, hyphens and underscores do not matter (``"Item-KNN"`` is ``"itemknn"``)."""
    key = str(name).lower().replace("-", "").replace("_", "")
    if key not in _REGISTRY:
        raise UnknownNameError("model", name, _REGISTRY)
    module, cls = _REGISTRY[key]
    return getattr(importlib.import_module(f"{__name__}.{module}"), cls)


def create(name: str, **params) -> Recommender:
    """Make a recommender by name with the given hyperparameters; the rest keep their defaults.

    >>> create("popularity")
    Popularity(half_life_days=None)
    """
    cls = get_class(name)
    known = [p for p in inspect.signature(cls.__init__).parameters if p != "self"]
    for param in params:
        if param not in known:
            raise ParameterError(f"{cls.__name__} has no parameter {param!r}; it has {', '.join(known) or 'none'}")
    return cls(**params)

"""What does a model do when content is missing, and does filling it in help?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from ..data import Features, Split
from ..errors import UnknownNameError
from .content import Kept, Protocol, progress


def missing_modality_curve(
    model,
    split: Split,
    features: Features,
    *,
    modalities: str | Sequence[str] | None = None,
    shares: Sequence[float] = (0, 0.25, 0.5, 0.75, 1),
    fill: str | Sequence[str] = ("mask", "mean", "knn"),
    joint: bool = False,
    options: Mapping[str, Mapping] | None = None,
    part: str = "test",
    metric: str = "ndcg@20",
    ks: int = 20,
    seed: int = 0,
    repeats: int = 1,
    users=None,
    restrict=None,
    candidates=None,
    confidence: float = 0.95,
    n_boot: int = 1000,
    device="auto",
) -> pd.DataFrame:
    """How good is a model when a share of the items lacks a modality, and does filling it in help?

    Entries are removed at random, nested (:func:`mmrec_lib.fusion.missing.drop_modality`), then filled or left masked,
    and the model is trained anew and judged on the same items: they are missing in training and in use.

    Parameters
    ----------
    model, split, features, part, metric, ks, users, restrict, candidates, confidence, n_boot, device
        As in :func:`content_control`.
    modalities, joint
        Which modalities lose entries (default: all), and whether the same items lose all of them.
    shares
        Of the entries, how many are removed.
    fill
        ``"mask"`` (left missing) or names of :func:`mmrec_lib.fusion.missing.available_imputers`. A modality that no
        item has left cannot be filled and stays masked, as does an item without any modality.
    options
        Of the imputers, by name: ``{"ridge": {"alpha": 1}}``.
    seed, repeats
        Of removal, bootstrap and, by repeat, the model's own seed, as in :func:`content_control`.

    Returns
    -------
    DataFrame
        One row for each fill and share: fill, share, mean, ci_low, ci_high. Where a fill changes nothing, the model is
        not trained again. ``.attrs["reports"]`` holds the reports by (fill, share).

    Raises
    ------
    UnknownNameError, ParameterError, UnknownItemError, DataError
        Unknown fill or modality and other wrong arguments, an empty part: before anything is trained.
    """
    from ..fusion import missing

    fills, options = [fill] if isinstance(fill, str) else list(fill), dict(options or {})
    for name in [*fills, *options]:
        if name != "mask" and name not in missing.available_imputers():
            raise UnknownNameError("fill", name, ["mask", *missing.available_imputers()])
    judged = {"users": users, "restrict": restrict, "candidates": candidates}
    judged |= {"confidence": confidence, "n_boot": n_boot, "device": device}
    protocol = Protocol(split, features, part, metric, ks, repeats, seed, **judged)

    def left(share: float, draw: int) -> Features:
        return missing.drop_modality(features, share, modalities, draw, joint)

    def given(how: str, share: float, draw: int) -> Features:
        rest = left(share, draw)
        return rest if how == "mask" else _filled(rest, how, options.get(how, {}))

    gaps = {share: any(_gaps(left(share, seed + repeat)).any() for repeat in range(repeats)) for share in shares}
    reports, rows = {}, []
    for how, share in progress([(how, share) for how in fills for share in shares], type(model).__name__):
        key = how if gaps[share] else "mask", share
        if key not in reports:
            reports[key] = protocol.measure(model, partial(given, *key), f"{how}, {share:g} missing")[0]
        reports[how, share] = reports[key]
        rows.append((how, share, *reports[key].summary.loc[protocol.metric]))
    table = pd.DataFrame(rows, columns=["fill", "share", "mean", "ci_low", "ci_high"])
    table.attrs["reports"] = Kept({(how, share): reports[how, share] for how in fills for share in shares})
    return table


def _gaps(features: Features) -> np.ndarray:
    """Which items lack a modality that others have, and have another to fill it from; bool ``(n_items,)``."""
    there = np.stack([mask for mask in features.mask.values() if mask.any()] or [np.zeros(features.n_items, bool)])
    return there.any(axis=0) & ~there.all(axis=0)


def _filled(features: Features, how: str, options: Mapping) -> Features:
    """Imputed, but for modalities that no item has: they stay masked."""
    from ..fusion import missing

    known = [m for m in features if features.mask[m].any()]
    if not _gaps(features).any():
        return features
    filled = missing.impute(features.only(*known), how, **options)
    return Features(dict(features) | dict(filled), features.mask | filled.mask)

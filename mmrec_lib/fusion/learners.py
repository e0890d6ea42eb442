"""Classifiers of scikit-learn, kept as plain arrays, so that they can be saved without pickle."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import ParameterError


def fit_logistic(features: np.ndarray, labels: np.ndarray, options: dict) -> tuple[np.ndarray, float]:
    """Coefficients and bias on the features as they are."""
    from sklearn.linear_model import LogisticRegression

    features = features.astype(np.float64)
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale == 0] = 1
    model = _make(LogisticRegression, {"max_iter": 1000, **options}).fit((features - mean) / scale, labels)
    coef = model.coef_[0] / scale
    return coef, float(model.intercept_[0] - coef @ mean)


def fit_trees(learner: str, features: np.ndarray, labels: np.ndarray, options: dict) -> tuple[dict, float]:
    """Trees whose sum, plus the bias, is scikit-learn's decision function (boosting) or probability (forest)."""
    from sklearn import ensemble

    if learner == "forest":
        model = _make(ensemble.RandomForestClassifier, {"max_depth": 8, "min_samples_leaf": 20, **options})
        model.fit(features, labels)
        nodes = [tree.tree_ for tree in model.estimators_]
        values = [tree.value[:, 0, 1] / tree.value[:, 0].sum(axis=1) / len(nodes) for tree in nodes]
        return _pad(nodes, values), 0.0
    model = _make(ensemble.GradientBoostingClassifier, {"subsample": 1 / 3, **options}).fit(features, labels)
    nodes = [tree.tree_ for tree in model.estimators_[:, 0]]
    trees = _pad(nodes, [model.learning_rate * tree.value[:, 0, 0] for tree in nodes])
    return trees, float(model.decision_function(features[:1])[0] - tree_scores(features[:1], trees)[0])


def _make(cls, options: dict):
    try:
        return cls(**options)
    except TypeError as error:
        raise ParameterError(f"learner_options: {error}; see scikit-learn's {cls.__name__}") from None


def _pad(nodes, values) -> dict[str, np.ndarray]:
    """Arrays ``(n_trees, n_nodes)``. A leaf, and every node that only fills up, leads to itself."""
    shape = len(nodes), max(tree.node_count for tree in nodes)
    itself = np.tile(np.arange(shape[1], dtype=np.int32), (shape[0], 1))
    trees = {"feature": np.zeros(shape, np.int32), "threshold": np.zeros(shape), "left": itself, "right": itself.copy()}
    trees["value"] = np.zeros(shape)
    for row, (tree, value) in enumerate(zip(nodes, values, strict=True)):
        inner = np.flatnonzero(tree.children_left >= 0)
        trees["feature"][row, inner], trees["threshold"][row, inner] = tree.feature[inner], tree.threshold[inner]
        trees["left"][row, inner], trees["right"][row, inner] = tree.children_left[inner], tree.children_right[inner]
        trees["value"][row, : tree.node_count] = value
    return trees


def tree_scores(features: np.ndarray, trees: Mapping[str, np.ndarray]) -> np.ndarray:
    """Sum of the trees' values for each row of ``features``, float64 ``(n,)``.

    ``trees`` holds arrays ``(n_trees, n_nodes)``: ``feature`` and ``threshold`` (smaller or equal goes left), ``left``
    and ``right`` (numbers of nodes; a leaf leads to itself) and ``value``. The root is node 0.
    """
    features, total = np.ascontiguousarray(features, dtype=np.float32), np.zeros(len(features))
    flat, row = features.ravel(), np.arange(len(features)) * features.shape[1]
    names = ("feature", "threshold", "left", "right", "value")
    for feature, threshold, left, right, value in zip(*(trees[name] for name in names), strict=True):
        children = np.stack([right, left], axis=1).ravel()
        node, before = np.zeros(len(features), np.int64), None
        while before is None or not np.array_equal(node, before):  # until all have come to a leaf
            before = node
            goes_left = flat.take(row + feature.take(node)) <= threshold.take(node)
            node = children.take(2 * node + goes_left)
        total += value.take(node)
    return total

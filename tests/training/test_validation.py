import numpy as np
import pytest

import mmrec_lib as mm
from mmrec_lib.errors import DataError, ParameterError, UnknownNameError
from mmrec_lib.training.validation import Validator, parse_metric


def test_mean_over_users_with_validation_items_and_seen_items_left_out():
    train = mm.data.Interactions([0, 1, 2], [0, 1, 2], n_users=3, n_items=4)
    valid = mm.data.Interactions([0, 1], [1, 3], n_users=3, n_items=4)
    scores = np.array([[9, 5, 1, 0], [5, 9, 1, 0], [0, 0, 0, 0]], np.float32)
    # user 0: item 0 is seen, so item 1 comes first: NDCG 1. User 1: item 1 is seen; 0, 2, 3 in this order: rank 3.
    assert Validator(train.to_csr(), valid, "ndcg@3")(lambda users: scores[users]) == pytest.approx((1 + 0.5) / 2)
    assert Validator(train.to_csr(), valid, "recall@2")(lambda users: scores[users]) == pytest.approx(0.5)


def test_parse_metric():
    assert parse_metric("recall@5") == ("recall", 5)
    with pytest.raises(UnknownNameError):
        parse_metric("rmse@5")
    for bad in ("ndcg", "ndcg@", "ndcg@0", "ndcg@-3"):
        with pytest.raises(ParameterError, match="ndcg@20"):
            parse_metric(bad)


def test_empty_validation_is_refused():
    none = mm.data.Interactions([], [], n_users=2, n_items=2)
    with pytest.raises(DataError, match="valid"):
        Validator(none.to_csr(), none)

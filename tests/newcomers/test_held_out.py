"""Held-out people who tell a part of what they chose."""

import numpy as np
import pytest
from mmrec_testing import Table, events

import mmrec_lib as mm
from mmrec_lib import newcomers
from mmrec_lib.errors import DataError, ParameterError, UnknownNameError


def pairs(part):
    return set(zip(part.user.tolist(), part.item.tolist(), strict=True))


def test_known_and_rest():
    part = events([(u, i) for u, size in ((0, 6), (2, 3), (3, 4)) for i in range(size)], 5, 6)
    known, rest = newcomers.reveal(part, 3, least=1)
    assert known.user_counts().tolist() == [3, 0, 0, 3, 0]  # person 2 would have nothing left
    assert rest.user_counts().tolist() == [3, 0, 0, 1, 0]
    assert not pairs(known) & pairs(rest)
    assert pairs(known) | pairs(rest) == {p for p in pairs(part) if p[0] != 2}
    assert newcomers.reveal(part, 0)[0].shape == (5, 6)
    assert len(newcomers.reveal(part, 0)[0]) == 0


def test_fewer_are_among_more_and_seeds_differ(blocks):
    one, three = (newcomers.reveal(blocks, n, least=4)[0] for n in (1, 3))
    assert pairs(one) < pairs(three)
    assert pairs(newcomers.reveal(blocks, 3, least=4, seed=1)[0]) != pairs(three)


def test_nobody_has_so_many(blocks):
    with pytest.raises(DataError, match="most are 7"):
        newcomers.reveal(blocks, 7, least=1)
    with pytest.raises(ParameterError, match="n=-1"):
        newcomers.reveal(blocks, -1)


def test_folded_in(blocks):
    split = mm.data.split(blocks, "cold-users", seed=0)
    known, rest = newcomers.reveal(split.test, 4)
    model = mm.models.create("ease", l2=5.0).fit(split.train)
    folded = newcomers.FoldedIn(model, known)
    people = np.unique(rest.user)
    np.testing.assert_allclose(folded.score(people), model.score_histories(known.to_csr()[people]))
    told = mm.evaluation.evaluate(folded, rest, train=known, ks=5, metrics="ndcg")["ndcg@5"]
    untold = mm.evaluation.evaluate(model, rest, train=known, ks=5, metrics="ndcg")["ndcg@5"]
    assert told > untold + 0.1


def test_gap_closed():
    def report(*values):
        per_user = mm.evaluation.evaluate(
            Table(np.eye(3)), events([(0, 0), (1, 1), (2, 2)], 3, 3), ks=1, metrics="ndcg"
        )
        per_user.per_user["ndcg@1"] = values
        return per_user

    before, after = report(0.1, 0.1, 0.1), report(0.5, 0.5, 0.5)
    half = newcomers.gap_closed(before, report(0.3, 0.3, 0.3), after, "ndcg@1")
    np.testing.assert_allclose(half, [0.5, 0.5, 0.5])
    spread = newcomers.gap_closed(before, report(0.1, 0.3, 0.5), after, "ndcg@1")
    assert spread["mean"] == pytest.approx(0.5)
    assert spread["ci_low"] < 0.3
    assert spread["ci_high"] > 0.7
    with pytest.raises(UnknownNameError, match="mrr"):
        newcomers.gap_closed(before, before, after, "mrr@1")

"""A log played again: what is learned when, what is judged by what."""

import numpy as np
import pandas as pd
import pytest

import mmrec_lib as mm
from mmrec_lib.errors import DataError, ParameterError
from mmrec_lib.serving import Schedule, refresh, replay

DAY = 86_400


def log(user, item, day, n_items=6):
    return mm.data.Interactions(user, item, time=np.array(day) * DAY, n_users=4, n_items=n_items)


@pytest.fixture
def changing():
    """Item 0 is liked before day 10, item 1 from then on: one visitor a day, two days a period."""
    days = np.arange(18)
    return mm.data.Interactions(days, (days >= 10).astype(int), time=days * DAY, n_users=18, n_items=3)


def popularity():
    return mm.models.create("popularity")


def test_periods_by_hand(changing):
    edges = np.arange(8, 19, 2) * DAY
    never = replay(changing, popularity, edges, given=0, metric="precision", k=1)
    assert never.periods["action"].tolist() == ["full"] + ["none"] * 4
    assert never.periods["mean"].tolist() == [1, 0, 0, 0, 0]
    recent = replay(
        changing, popularity, edges, Schedule(full_every=1, window_days=3), given=0, metric="precision", k=1
    )
    # on day 12 two of three days were like the new ones; on day 10 none
    assert recent.periods["mean"].tolist() == [1, 0, 1, 1, 1]
    assert recent.periods["start"].iloc[1] == pd.Timestamp(10 * DAY, unit="s")
    other = replay(changing, popularity, edges, Schedule(full_every=2), given=0, metric="precision", k=1)
    assert other.periods["action"].tolist() == ["full", "none", "full", "none", "full"]
    assert never.seconds == 0
    assert recent.seconds > 0
    paired = mm.evaluation.compare(recent.report, never.report).loc["precision@1"]
    assert (paired["difference"], paired["n_users"]) == (0.6, 10)


def test_an_old_model(changing):
    edges = [12 * DAY, 14 * DAY]
    old, new = (
        replay(changing, popularity, edges, Schedule(window_days=3), given=0, metric="recall", k=1, until=until)
        for until in (10 * DAY, None)
    )
    assert (old.report["recall@1"], new.report["recall@1"]) == (0, 1)
    with pytest.raises(ParameterError, match="until"):
        replay(changing, lambda: mm.models.create("als"), edges, Schedule(partial=True), until=DAY)
    with pytest.raises(DataError, match="until"):
        replay(changing, popularity, edges, until=0)


def test_people_not_visits_are_counted():
    # person 0 comes twice and is served well once; person 1 once, and well
    events = log([2, 2, 3, 0, 0, 1], [0, 1, 0, 0, 2, 0], [0, 0, 0, 1, 2, 2])
    course = replay(events, popularity, [DAY, 2 * DAY, 3 * DAY], given=0, metric="recall", k=1)
    assert course.visits["value"].tolist() == [1, 0, 1]
    assert course.report.per_user["recall@1"].tolist() == [0.5, 1]
    assert course.report["recall@1"] == 0.75


def test_what_is_given_and_what_is_met_is_not_asked_for():
    # day 1: person 0 meets again 0 (known), then 3, 4, 5: of three the first is given
    events = log([0, 1, 1, 0, 0, 0, 0], [0, 0, 3, 0, 3, 4, 5], [0, 0, 0, 1, 1.1, 1.2, 1.3])
    seen = []

    class Spy(type(popularity())):
        histories = None

        def _score(self, users):
            seen.append(users.tolist())
            return np.zeros((len(users), self.n_items_))

    course = replay(events, Spy, [DAY, 2 * DAY], given=0.5, metric="recall", k=3)
    assert seen == [[0]]
    # left are 1, 2, 4, 5, in the order of their codes
    assert course.visits["value"].tolist() == [0.5]


def test_histories_are_taken_up_at_once(blocks):
    # people of the first half teach, the others come later; their first items tell the group
    late = blocks.user >= 30
    events = mm.data.Interactions(blocks.user, blocks.item, time=blocks.time + late * 10**6, n_users=60, n_items=30)
    now, then = (
        replay(events, lambda: mm.models.create("als", dim=4, alpha=4, l2=2), [10**6, 2 * 10**6], fold_in=fold, k=5)
        for fold in (True, False)
    )
    assert now.report["ndcg@5"] > then.report["ndcg@5"] + 0.2


def test_partial_and_full_take_turns(blocks):
    edges = np.arange(200, 421, 44)
    make = lambda: mm.models.create("als", dim=2, iterations=2)  # noqa: E731
    course = replay(blocks, make, edges, Schedule(full_every=3, partial=True))
    assert course.periods["action"].tolist() == ["full", "partial", "partial", "full", "partial"]
    with pytest.raises(ParameterError, match="sweeps"):  # options reach the model
        replay(blocks, make, edges, Schedule(partial={"sweeps": 0}))


def test_an_alarm_calls_for_learning():
    rng = np.random.default_rng(0)
    days = np.repeat(np.arange(20), 100)
    item = rng.integers(0, 20, len(days)) + 20 * ((days >= 14) & (rng.random(len(days)) < 0.7))
    events = mm.data.Interactions(np.arange(len(days)), item, time=days * DAY)
    course = replay(events, popularity, np.arange(8, 21, 2) * DAY, Schedule(on_alarm=True), given=0)
    # new items come on day 14: seen on day 16, and from day 18 they are as usual as what was learned
    assert course.periods["action"].tolist()[:5] == ["full", "none", "none", "none", "full"]
    assert course.periods["index"].iloc[1:4].max() < 0.1 < 0.25 < course.periods["index"].iloc[4]
    groups = np.arange(40) % 2  # of which nothing has changed
    calm = replay(events, popularity, np.arange(8, 21, 2) * DAY, Schedule(on_alarm=True), given=0, groups=groups)
    assert set(calm.periods["action"].iloc[1:]) == {"none"}


def test_what_people_did_reaches_the_next_bundle(shop, tmp_path):
    als = mm.models.create("als", dim=4, alpha=4, l2=2).fit(shop.interactions)
    old = mm.serving.Bundle.of(als, shop, note="old")
    store = mm.serving.SQLiteStore(":memory:")
    engine = mm.serving.Engine(old, store)
    sent = [("guest", "i0", "like"), ("guest", "i3", "click"), ("u1", "i2", "purchase"), ("u1", "i5", "impression")]
    engine.feedback([mm.serving.Event(*one) for one in sent])
    new = refresh(old, store)
    assert new.users.index.tolist() == [f"u{i}" for i in range(40)] + ["guest"]
    assert new.model.seen_[[40]].indices.tolist() == [0, 3]
    assert new.model.seen_[1, 2] == 1
    assert new.model.seen_.nnz == als.seen_.nnz + (3 if not als.seen_[1, 2] else 2)
    assert als.n_users_ == 40  # the old one is as it was
    loaded = mm.serving.load_bundle(new.save(tmp_path / "bundle"))
    guest = mm.serving.Engine(loaded).recommend("guest", 4)
    assert guest.how == "model"
    assert {shop.items["kind"][hit.item] for hit in guest.items} == {"red"}
    again = refresh(loaded, store)  # the same events once more change nothing
    np.testing.assert_array_equal(again.model.item_factors_, new.model.item_factors_)
    with pytest.raises(ParameterError, match="partial_fit"):
        refresh(mm.serving.Bundle.of(mm.models.create("ease").fit(shop.interactions), shop), store)


def test_errors(changing):
    with pytest.raises(DataError, match="nothing to learn"):
        replay(changing, popularity, [0, DAY])
    with pytest.raises(ParameterError, match="edges"):
        replay(changing, popularity, [DAY, DAY])
    with pytest.raises(ParameterError, match="partial_fit"):
        replay(changing, popularity, [DAY, 2 * DAY], Schedule(partial=True))
    with pytest.raises(DataError, match="nobody"):
        replay(changing, popularity, [17.5 * DAY, 20 * DAY])
    with pytest.raises(DataError, match="times"):
        replay(mm.data.Interactions([0], [0]), popularity, [0, 1])
    with pytest.raises(ParameterError, match="full_every"):
        Schedule(full_every=0)
    with pytest.raises(ParameterError, match="window_days"):
        Schedule(window_days=0)

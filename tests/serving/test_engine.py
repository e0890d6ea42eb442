"""The engine: lists for everybody, whatever has happened since."""

import numpy as np
import pytest

import mmrec_lib as mm
from mmrec_lib.errors import DataError, FeatureError, MediaWarning, ParameterError, StoreError, UnknownItemError
from mmrec_lib.serving import Added, Engine, Event, NewItems, SQLiteStore


def ids(answer):
    return [hit.item for hit in answer.items]


def kinds(answer):
    return {hit.title.split()[0] for hit in answer.items}


def test_a_known_user_gets_what_the_model_says(engine, bundle):
    answer = engine.recommend("u4", 5)
    expected = bundle.model.recommend([4], 5)
    assert ids(answer) == [f"i{i}" for i in expected["item"]]
    np.testing.assert_allclose([hit.score for hit in answer.items], expected["score"], rtol=1e-6)
    assert (answer.how, answer.fallback, answer.items[0].rank) == ("model", False, 1)


def test_an_unknown_user_gets_what_is_popular_until_something_happens(engine, bundle):
    answer = engine.recommend("guest", 4)
    assert answer.how == "popularity"
    assert ids(answer) == [f"i{i}" for i in np.argsort(-bundle.model.popularity_, kind="stable")[:4]]
    engine.feedback([Event("guest", "i1", "like"), Event("guest", "i4", "like")])
    answer = engine.recommend("guest", 4)
    assert answer.how == "history"
    assert kinds(answer) == {"green"}
    assert not {"i1", "i4"} & set(ids(answer))


def test_events_change_the_list_of_a_known_user(engine):
    before = ids(engine.recommend("u4", 10))
    engine.feedback([Event("u4", before[0], "hide"), Event("u4", "i2", "click")])
    after = ids(engine.recommend("u4", 10))
    assert before[0] not in after
    assert "i2" not in after
    assert before[0] in ids(engine.recommend("u4", 24, exclude_seen=False))


def test_an_impression_is_no_wish(engine):
    before = engine.recommend("guest", 5)
    engine.feedback([Event("guest", before.items[0].item, "impression")])
    assert ids(engine.recommend("guest", 5)) == ids(before)


def test_a_history_alone(engine, bundle):
    answer = engine.recommend(k=3, history=["i2", "i5"])
    expected = bundle.model.recommend_for([2, 5], 3)
    assert ids(answer) == [f"i{i}" for i in expected["item"]]


def test_filters(engine):
    assert kinds(engine.recommend("u4", 24, where={"kind": "blue"})) == {"blue"}
    assert kinds(engine.recommend("u4", 24, where={"kind": ["blue", "red"]}, exclude_seen=False)) == {"blue", "red"}
    assert not engine.recommend("u4", 5, where={"kind": "pink"}).items
    assert "i7" not in ids(engine.recommend("u4", 24, exclude=["i7", "no such thing"], exclude_seen=False))
    with pytest.raises(ParameterError, match="'colour'; items have title, kind"):
        engine.recommend("u4", 5, where={"colour": "red"})


def test_diversity_brings_other_kinds_and_keeps_the_first(engine):
    plain, varied = engine.recommend("u4", 4), engine.recommend("u4", 4, diversity=0.7)
    assert varied.items[0].item == plain.items[0].item
    assert len(kinds(varied)) > len(kinds(plain))
    assert ids(engine.recommend("u4", 4, diversity=1e-9)) == ids(plain)


def test_a_model_that_fails_leaves_people_with_a_list(bundle, monkeypatch):
    engine = Engine(bundle)
    monkeypatch.setattr(bundle.model, "score", lambda users: 1 / 0)
    answer = engine.recommend("u4", 3)
    assert answer.fallback
    assert answer.how == "popularity"
    assert len(answer.items) == 3
    assert "ZeroDivisionError" in answer.notes[0]
    monkeypatch.setattr(bundle.model, "score", lambda users: np.full((1, 24), np.nan, np.float32))
    assert engine.recommend("u4", 3).fallback


def test_a_store_that_fails_leaves_people_with_a_list(bundle):
    class Broken(SQLiteStore):
        def of_user(self, user, limit=1000):
            raise StoreError("gone")

    answer = Engine(bundle, Broken(":memory:")).recommend("u4", 3)
    assert len(answer.items) == 3
    assert "since training" in answer.notes[0]


def test_similar_things(engine):
    assert kinds(engine.similar("i3", 5)) == {"red"}
    assert "i3" not in ids(engine.similar("i3", 23))
    with pytest.raises(UnknownItemError, match="'i99'"):
        engine.similar("i99")


def test_search_by_words_and_by_picture(engine, shop):
    assert kinds(engine.search("green", k=8)) == {"green"}
    assert ids(engine.search(shop.media["image"][6], "image", k=1)) == ["i6"]
    with pytest.raises(ParameterError, match="no encoder of 'audio'"):
        engine.search("x.wav", "audio")


def test_a_new_thing_is_recommended_at_once_and_after_a_restart(bundle, shop, tmp_path):
    store = SQLiteStore(tmp_path / "events.sqlite")
    engine = Engine(bundle, store)
    near = engine.add_item("fresh", {"title": "green fresh", "kind": "green"},
                           {"text": "a green thing", "image": shop.media["image"][4]})  # fmt: skip
    assert len(near) == 20
    assert near[0] in {f"i{i}" for i in range(1, 24, 3)}
    for current in (engine, Engine(bundle, store)):
        assert "fresh" in ids(current.recommend("u4", 24))
        hit = next(h for h in current.recommend("u4", 24).items if h.item == "fresh")
        assert hit.new
        assert hit.title == "green fresh"
        assert current.recommend("u4", 8, where={"kind": "green"}).items
        assert "fresh" in ids(current.recommend("u4", 24, where={"kind": "green"}))
        assert "fresh" in ids(current.search("green", k=9))
        assert "fresh" in ids(current.similar("i4", 10))
    engine.feedback([Event("guest", "fresh", "like")])
    assert kinds(engine.recommend("guest", 3)) == {"green"}
    assert engine.explain("guest", "i4")["reasons"][0]["item"] == "fresh"


def test_a_new_things_score_is_the_mean_of_its_neighbours():
    features = mm.data.Features({"v": np.array([[1.0, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]])})
    new = NewItems(features, k=2)
    new.add({"v": np.array([1.0, 0.0])})
    assert sorted(new.neighbours(0)) == [0, 1]
    scores = np.array([[4.0, 2, 100, 100]])
    assert 2 < new.score(scores)[0, 0] < 4
    np.testing.assert_allclose(new._weights.sum(axis=1), 1, rtol=1e-6)


def test_things_that_cannot_be_added(engine):
    with pytest.raises(DataError, match="'i3' is there already"):
        engine.add_item("i3", media={"text": "again"})
    with pytest.raises(FeatureError, match="without any vector"):
        engine.add_item("empty")
    with pytest.raises(FeatureError, match="finite"):
        engine.add_item("odd", vectors={"text": np.ones(3)})
    assert "odd" not in engine.item_codes
    assert len(engine.recommend("u4", 24, exclude_seen=False).items) == 24


def test_a_thing_that_cannot_be_kept_is_not_there(bundle, monkeypatch):
    engine = Engine(bundle)

    def refuse(*args):
        raise StoreError("the disk is full")

    monkeypatch.setattr(engine.store, "add_item", refuse)
    with pytest.raises(StoreError):
        engine.add_item("fresh", {}, {"text": "a green thing"})
    assert "fresh" not in engine.item_codes
    assert len(engine.new) == 0
    assert len(engine.recommend("u4", 30, exclude_seen=False).items) == 24


def test_events_about_unknown_things(engine):
    with pytest.raises(UnknownItemError):
        engine.feedback([Event("guest", "i1"), Event("guest", "i99")])
    assert engine.store.of_user("guest").empty


def test_explanations(engine):
    top = engine.recommend("u4", 1).items[0]
    told = engine.explain("u4", top.item)
    assert told["how"] == "history"
    assert top.title in told["sentence"]
    assert all(reason["item"].startswith("i") for reason in told["reasons"])
    assert engine.explain("u4", top.item, "zh")["sentence"] != told["sentence"]
    assert "most people" in engine.explain("stranger", "i3")["sentence"]


def test_a_model_without_histories_still_knows_its_users(shop, bundle):
    model = mm.models.create("random").fit(shop.interactions)
    engine = Engine(mm.serving.Bundle.of(model, shop))
    engine.feedback([Event("u4", "i0", "like"), Event("guest", "i0", "like")])
    assert engine.recommend("u4", 3).how == "model"
    assert engine.recommend("guest", 3).how == "popularity"
    with pytest.raises(ParameterError, match="no features"):
        engine.add_item("fresh", {}, {"text": "x"})


def test_a_thing_that_comes_while_a_list_is_made(bundle, monkeypatch, caplog):
    store = SQLiteStore(":memory:")
    engine = Engine(bundle, store)
    vectors = {name: bundle.features[name][1] for name in bundle.features}
    honest = engine._scores

    def slow(*args):
        engine.add_item("late", {"kind": "green"}, vectors=vectors)
        return honest(*args)

    monkeypatch.setattr(engine, "_scores", slow)
    hits = engine.recommend("u4", 30, where={"kind": ["green", "blue"]}).items
    assert hits
    assert "late" not in [hit.item for hit in hits]  # it had not been there when the filter looked
    monkeypatch.undo()
    assert "late" in [hit.item for hit in engine.recommend("u4", 30, where={"kind": "green"}).items]
    other = Engine(bundle)  # an engine that had been made before
    other.store = store
    other.catch_up()
    assert other.code("late") == 24
    store.add_item(Added("old", vectors={"image": np.ones(3)}))  # vectors of another encoder, its name unknown
    other.catch_up()
    assert "old" not in other.item_codes
    assert "'old' is left out" in caplog.text


def test_what_other_encoders_made_is_made_anew(bundle, caplog):
    store = SQLiteStore(":memory:")
    Engine(bundle, store).add_item("kept", {}, {"text": "a green thing"})
    kept = store.items()[0]
    assert kept.encoders == {"text": bundle.encoders["text"].fingerprint}
    foreign = {"text": "made by another"}
    wrong = np.roll(kept.vectors["text"], 3)
    store.add_item(Added("remade", vectors={"text": wrong}, media={"text": "a green thing"}, encoders=foreign))
    store.add_item(Added("lost", vectors={"text": wrong}, encoders=foreign))
    store.add_item(
        Added("gone", vectors={"image": wrong}, media={"image": "/no/such/file.png"}, encoders={"image": "?"})
    )
    with pytest.warns(MediaWarning, match="no such file"):
        engine = Engine(bundle, store)
    assert engine.item_ids[24:] == ["kept", "remade"]
    np.testing.assert_allclose(engine.new.vectors["text"][1], kept.vectors["text"], rtol=1e-6)
    for name in ("'lost' is left out", "'gone' is left out", "image of the added thing 'gone'"):
        assert name in caplog.text


@pytest.fixture(scope="module")
def indexed(shop, bundle):
    """An engine over an index of a factor model's items, which looks up three at least."""
    model = mm.models.create("als", dim=4, seed=0).fit(shop.interactions)
    index = mm.serving.create_index("exact").build(model.item_factors_)
    return mm.serving.Bundle.of(model, shop, bundle.features, bundle.encoders, index)


def test_lists_through_an_index_are_the_models(indexed, shop):
    engine = Engine(indexed, candidates=3)
    assert engine.lookup is not None
    plain = Engine(mm.serving.Bundle.of(indexed.model, shop, indexed.features, indexed.encoders), candidates=3)
    assert plain.lookup is None
    for asked in ({"user": "u4"}, {"user": "u4", "where": {"kind": "blue"}}, {"history": ["i2", "i5"]},
                  {"user": "u4", "exclude_seen": False, "exclude": ["i1"]}, {"user": "stranger"}):  # fmt: skip
        one, two = engine.recommend(k=5, **asked), plain.recommend(k=5, **asked)
        assert (ids(one), one.how) == (ids(two), two.how)
        np.testing.assert_allclose([h.score for h in one.items], [h.score for h in two.items], rtol=1e-4)
    assert len(engine.recommend("u4", 24, exclude_seen=False).items) == 24
    for other in (engine, plain):
        other.add_item("fresh", {"kind": "green"}, {"text": "a green thing"})
        other.feedback([Event("u4", "i0", "like")])
    one, two = (e.recommend("u4", 30, where={"kind": "green"}) for e in (engine, plain))
    assert "fresh" in ids(one)
    assert (ids(one), one.how) == (ids(two), "history")


def test_an_index_that_does_not_fit_the_model_is_not_used(indexed, shop):
    log = shop.interactions
    values = np.random.default_rng(0).integers(1, 6, len(log.user))
    rated = mm.data.Interactions(log.user, log.item, values, n_users=40, n_items=24)
    biased = mm.models.create("biasedmf", dim=4, seed=0).fit(rated)
    index = mm.serving.create_index("exact").build(biased.item_factors_)
    assert Engine(mm.serving.Bundle.of(biased, shop, index=index)).lookup is None  # scores have biases besides
    assert Engine(mm.serving.Bundle.of(indexed.model, shop, index=index)).lookup is None  # another model's vectors


def test_a_vector_that_is_no_number_leaves_people_with_a_list(indexed, monkeypatch):
    engine = Engine(indexed)
    monkeypatch.setattr(engine.lookup, "of_user", lambda code: np.full(4, np.nan, np.float32))
    assert engine.recommend("u4", 3).fallback


def test_a_model_in_stages_is_kept_and_served(shop, bundle, tmp_path):
    sources = {"ease": {"quota": 6, "params": {"l2": 2.0}}, "popular": {"quota": 4}}
    staged = mm.serving.TwoStage(sources, ranker_params={"trees": 5}, groups=shop.items["kind"], seed=0)
    staged.fit(shop.interactions, features=bundle.features)
    mm.serving.Bundle.of(staged, shop, bundle.features, bundle.encoders).save(tmp_path / "bundle")
    engine = Engine(mm.serving.load_bundle(tmp_path / "bundle"))
    answer = engine.recommend("u4", 5)
    assert (answer.how, answer.fallback) == ("model", False)
    assert ids(answer) == [f"i{i}" for i in staged.recommend([4], 5)["item"]]
    blue = engine.recommend("u4", 8, where={"kind": "blue"}, exclude_seen=False)
    assert kinds(blue) == {"blue"}
    assert len(blue.items) >= 6  # sought among the blue things, a quota of them
    engine.add_item("fresh", {"kind": "green"}, {"text": "a green thing"})
    scores = engine._scores(4, None, False, 5, np.ones(25, bool))[0]
    assert scores[24] >= scores[np.isfinite(scores)].min()
    assert "resembles" in engine.explain("u4", "i1")["sentence"]

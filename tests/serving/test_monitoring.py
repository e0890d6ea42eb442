"""Shifts that are there are seen, and those that are not are not."""

import json
import threading

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmrec_lib as mm
from mmrec_lib.errors import DataError, ParameterError
from mmrec_lib.serving import Answer, Engine, Hit, ListMonitor, canary, drift, population_stability, shadow
from mmrec_lib.serving.monitoring import stability


def test_stability_by_hand():
    expected = ["a"] * 50 + ["b"] * 50
    observed = ["a"] * 25 + ["b"] * 75
    assert population_stability(expected, observed) == pytest.approx(-0.25 * np.log(0.5) + 0.25 * np.log(1.5))
    # two classes of numbers: below the median, and from it on
    assert population_stability([1, 1, 2, 2], [1, 2, 2, 2], bins=2) == pytest.approx(0.25 * np.log(3))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=1), st.lists(st.integers(-5, 5), min_size=1))
def test_stability_is_never_negative_and_nothing_without_change(one, two):
    assert population_stability(one, one) == pytest.approx(0)
    value = population_stability(one, two)
    assert np.isfinite(value)
    assert value >= -1e-12


def test_drift_tells_shift_from_chance():
    rng = np.random.default_rng(0)
    before = pd.DataFrame({"score": rng.normal(size=2000), "how": rng.choice(["model", "history"], 2000)})
    same = pd.DataFrame({"score": rng.normal(size=300), "how": rng.choice(["model", "history"], 300)})
    shifted = same.assign(score=same["score"] + 1, other=1)
    assert (drift(before, same)["state"] == "ok").all()
    table = drift(before, shifted)
    assert table.loc["score", "state"] == "alarm"
    assert table.loc["how", "state"] == "ok"
    assert table.loc["score", "n"] == 300


def test_chance_is_what_it_is_said_to_be():
    rng = np.random.default_rng(1)
    values = [population_stability(rng.random(1000), rng.random(200)) for _ in range(200)]
    assert np.mean(values) == pytest.approx(9 * (1 / 1000 + 1 / 200), rel=0.15)


def test_wrong_tables():
    with pytest.raises(DataError, match="at least one"):
        population_stability([], [1])
    with pytest.raises(DataError, match="finite"):
        population_stability([1.0, np.nan], [1.0])
    with pytest.raises(DataError, match="in common"):
        drift(pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]}))


def test_lists_are_watched(engine):
    monitor = ListMonitor(24, window=3)
    for user in ("u0", "u1", "u2", "guest"):
        monitor.add(engine.recommend(user, 4))
    assert len(monitor) == 3  # the oldest is gone
    assert monitor.least == 3  # or it would never judge
    figures = monitor.figures()
    shown = {hit.item for user in ("u1", "u2", "guest") for hit in engine.recommend(user, 4).items}
    assert figures["coverage"] == pytest.approx(len(shown) / 24)
    assert figures["fallbacks"] == 0
    assert monitor.table()["how"].tolist() == ["model", "model", "popularity"]


def test_shadow_compares_the_same_people(shop, bundle, engine):
    same = shadow(engine, Engine(bundle), ["u0", "u5", "guest"], k=5)
    assert same.summary["overlap"] == 1
    assert same.per_user["same_first"].all()
    popular = Engine(mm.serving.Bundle.of(mm.models.create("popularity").fit(shop.interactions), shop))
    other = shadow(engine, popular, ["u0", "u5"], k=5)
    assert other.summary["overlap"] < 1
    with pytest.raises(ParameterError, match="empty"):
        shadow(engine, popular, [])


def test_canary_is_steady_and_fair():
    people = [f"u{i}" for i in range(5000)]
    chosen = {u for u in people if canary(u, 0.1)}
    assert len(chosen) / 5000 == pytest.approx(0.1, abs=0.015)
    assert chosen <= {u for u in people if canary(u, 0.3)}
    assert not any(canary(u, 0) for u in people)
    assert all(canary(u, 1) for u in people)


# -- the monitor's judgement ------------------------------------------------------------------------------------------
def answer(items, score=1.0, how="model", fallback=False):
    hits = [Hit(item, rank, score, item) for rank, item in enumerate(items, 1)]
    return Answer(hits, how, fallback)


def crowd(rng, n=400, n_kinds=6, tilt=0.0):
    """Lists of five of 60 items for people with tastes; ``tilt`` moves taste to the first kind."""
    kinds = np.arange(60) % n_kinds
    lists = []
    for taste in rng.dirichlet(np.ones(n_kinds), n):
        weight = (1 - tilt) * taste[kinds] + tilt * (kinds == 0)
        best = np.argsort(-weight * rng.exponential(size=60))[:5]
        lists.append(answer([f"i{i}" for i in best], rng.normal(), rng.choice(["model", "history"])))
    return lists


KIND = {f"i{i}": f"kind {i % 6}" for i in range(60)}


def test_the_stability_of_counts_by_hand():
    found = stability([50, 50, 0], [25, 75, 0])
    assert found.index == pytest.approx(0.25 * np.log(3))
    assert found.by_chance == pytest.approx(1 / 100 + 1 / 100)  # two classes: the third is nowhere
    assert found.spread == pytest.approx(2**0.5 * (1 / 100 + 1 / 100))
    assert stability([8], [3]) == (0, 0, 0)


def test_a_reference_is_what_json_can_hold_and_counts_lists():
    monitor = ListMonitor(4, category={"a": "x", "b": "y"})
    monitor.add(answer(["a", "b"], 1.0))
    monitor.add(answer(["a", "c"], 3.0, how="history"))
    told = json.loads(json.dumps(monitor.summary()))
    assert told["lists"] == 2
    assert told["category"] == {"x": 1.0, "y": 0.5, "None": 0.5}  # half of all places is worth one list
    assert told["how"] == {"model": 1, "history": 1}
    assert sum(told["score"]) == 2
    again = ListMonitor(4, category={"a": "x", "b": "y"}, reference=told, least=1)
    again.add(answer(["a", "b"], 1.0))
    again.add(answer(["a", "c"], 3.0, how="history"))
    found = again.check()
    assert found["how"] == pytest.approx(-(1 + 3 * 2**0.5) * (1 / 2 + 1 / 2))  # nothing, less what chance makes of it
    assert again.state == 0


def test_a_shift_is_an_alarm_told_once():
    told = []
    monitor = ListMonitor(60, 300, category=KIND, first=300, least=100, on_change=told.append)
    rng = np.random.default_rng(0)
    for n, one in enumerate(crowd(rng, 900)):
        monitor.add(one)
        if n % 20 == 0:
            monitor.check()
    assert (monitor.state, told) == (0, [])
    for n, one in enumerate(crowd(rng, 600, tilt=0.7)):
        monitor.add(one)
        if n % 20 == 0:
            monitor.check()
    assert monitor.state == 2
    assert [(change.before, change.after) for change in told] == [("ok", "watch"), ("watch", "alarm")]
    assert told[-1].because[0].startswith("category")
    assert told[-1].figures["category"] >= 0.25
    for n, one in enumerate(crowd(rng, 600)):
        monitor.add(one)
        if n % 20 == 0:
            monitor.check()
    assert [change.after for change in told[2:]] == ["watch", "ok"]


def test_no_alarm_without_a_shift():
    """Of 200 runs of 750 lists each, looked at after every 125, at most four leave "ok" (measured: none)."""
    left = 0
    crowds = [crowd(np.random.default_rng(seed), 50) for seed in range(20)]  # who come again and again
    for seed in range(200):
        rng, people = np.random.default_rng(seed), crowds[seed % 20]
        monitor = ListMonitor(60, 250, category=KIND, first=250, least=100)
        worst = 0
        for n, i in enumerate(rng.integers(0, 50, 1000), 1):
            monitor.add(people[i])
            if n % 125 == 0:
                monitor.check()
                worst = max(worst, monitor.state)
        left += worst > 0
    assert left <= 4


def test_fall_backs_alone_are_an_alarm_and_a_state_is_left_below_its_limit():
    monitor = ListMonitor(
        2, 100, reference={"lists": 9, "edges": [], "score": [], "category": {}, "how": {}}, least=100
    )

    def after(share):
        for n in range(100):
            monitor.add(answer(["a"], fallback=n < 100 * share))
        monitor.check()
        return monitor.state

    assert [after(s) for s in (0, 0.009, 0.01, 0.05, 0.045, 0.03, 0)] == [0, 1, 1, 2, 2, 1, 0]


def test_another_model_is_no_alarm_and_a_hook_that_fails_is_logged(caplog):
    def broken(change):
        raise RuntimeError("nobody answers")

    monitor = ListMonitor(60, 100, category=KIND, first=100, least=50, on_change=broken)
    rng = np.random.default_rng(0)
    for one in crowd(rng, 100) + crowd(rng, 100, tilt=0.9):
        monitor.add(one)
    with caplog.at_level("WARNING", "mmrec.serving"):
        monitor.check()
        monitor.check()
    assert monitor.state == 2
    assert caplog.text.count("lists: alarm after ok") == 1
    assert "on_change failed" in caplog.text
    monitor.restart(60, KIND)
    assert (monitor.state, len(monitor)) == (0, 0)
    for one in crowd(rng, 200, tilt=0.9):
        monitor.add(one)
    monitor.check()
    assert monitor.state == 0


def test_adding_is_cheap_and_safe_while_it_is_checked():
    monitor = ListMonitor(60, 1000, category=KIND, first=100)
    people = crowd(np.random.default_rng(0), 100)
    stop = threading.Event()
    errors = []

    def check():
        try:
            while not stop.is_set():
                monitor.check()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=check)
    thread.start()
    for n in range(3000):
        monitor.add(people[n % 100])
    stop.set()
    thread.join()
    assert errors == []
    assert monitor.added == 3000

"""The benchmark programs on a tiny folder, and the configurations that they keep."""

import importlib
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import mmrec_lib as mm

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
CONFIGS = sorted((BENCHMARKS / "configs").glob("*.yml"))


@pytest.fixture(autouse=True)
def scripts(monkeypatch, tmp_path):
    """The scripts can be imported, and write below ``tmp_path``."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    for name in ("MMREC_BENCHMARKS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, str(tmp_path) if name.startswith("MMREC") else "1")


@pytest.fixture
def run(monkeypatch):
    def run(script, *arguments):
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        runpy.run_path(str(BENCHMARKS / script), run_name="__main__")

    return run


def write_folder(path, shift=0):
    """A benchmark folder: 60 users in 3 groups of 12 items; ``shift`` changes nothing but the test part."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(60):
        own = rng.permutation(12)
        for place, item in enumerate(own[:9]):
            label = 2 if place == 8 else 1 if place == 7 else 0
            group = user + shift if label == 2 else user
            rows.append((user, item + 12 * (group % 3), label))
    path.mkdir()
    table = pd.DataFrame(rows, columns=["userID", "itemID", "x_label"])
    table.to_csv(path / "tiny.inter", sep="\t", index=False)
    return path


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "tiny")


def trials(tmp_path, model):
    return pd.read_csv(tmp_path / "results" / "trials" / "tiny" / f"{model}.csv")


def test_tune_keeps_every_trial_and_the_best_configuration(run, folder, tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "tiny.yml").write_text("popularity: {}\n")
    run("tune.py", "--data", folder, "--models", "ease", "bpr", "--trials", 2, "--metric", "recall@5")
    configs = yaml.safe_load((tmp_path / "configs" / "tiny.yml").read_text())
    assert set(configs) == {"popularity", "ease", "bpr"}  # the other entry is still there
    for model in ("ease", "bpr"):
        table = trials(tmp_path, model)
        assert len(table) == 2
        assert (table["metric"] == "recall@5").all()
        best = table.loc[table["value"].idxmax()]
        assert configs[model]["l2"] == pytest.approx(best["l2"], rel=1e-3)
    assert configs["bpr"]["epochs"] == best["best_epoch"]  # of BPR, the last one looked at
    assert configs["bpr"]["metric"] == "recall@5"
    split = mm.datasets.load_benchmark(folder)[1]
    alone = mm.models.create("bpr", **configs["bpr"]).fit(split.train)
    guided = mm.models.create("bpr", **configs["bpr"]).fit(split.train, valid=split.valid)
    assert np.array_equal(alone.score([0, 1]), guided.score([0, 1]))  # stopped where validation would have stopped it


def test_tune_goes_on_where_it_stopped(run, folder, tmp_path):
    arguments = ("--data", folder, "--models", "ease", "--metric", "recall@5", "--trials")
    run("tune.py", *arguments, 2)
    first = trials(tmp_path, "ease")
    run("tune.py", *arguments, 3)
    pd.testing.assert_frame_equal(trials(tmp_path, "ease").head(2), first)  # seconds too: nothing ran again
    assert len(trials(tmp_path, "ease")) == 3


def test_tune_never_looks_at_test(run, folder, tmp_path, monkeypatch):
    other = write_folder(tmp_path / "other", shift=1)
    found = []
    for where in (folder, other):
        monkeypatch.setenv("MMREC_BENCHMARKS", str(tmp_path / f"out-{where.name}"))
        run("tune.py", "--data", where, "--models", "itemknn", "--trials", 2, "--metric", "ndcg@5")
        found.append(trials(tmp_path / f"out-{where.name}", "itemknn").drop(columns="seconds"))
    pd.testing.assert_frame_equal(*found)


def test_accuracy_on_validation_and_its_table(run, folder, tmp_path):
    run("tune.py", "--data", folder, "--models", "ease", "bpr", "--trials", 2, "--metric", "recall@20")
    run("accuracy_baby.py", folder)
    content = json.loads((tmp_path / "results" / "accuracy_tiny.json").read_text())
    figures = {r["model"]: r for r in content["models"]}
    assert set(figures) == {"ease", "bpr"}
    assert [r["model"] for r in content["as_in_papers"]] == ["bpr"]
    split = mm.datasets.load_benchmark(folder)[1]
    config = yaml.safe_load((tmp_path / "configs" / "tiny.yml").read_text())["ease"]
    model = mm.models.create("ease", **config).fit(split.train)
    judged = mm.evaluation.evaluate(model, split.valid, train=split.train, ks=20)
    assert figures["ease"]["recall@20"]["mean"] == pytest.approx(judged["recall@20"])
    report = importlib.import_module("report")
    text = report.accuracy_baby(content)
    assert report.interval(figures["ease"]["recall@20"]) in text
    assert "best of 2 trials" in text


def test_accuracy_against_other_libraries(run, folder, tmp_path):
    pytest.importorskip("cornac")
    pytest.importorskip("implicit")
    run("accuracy_ml100k.py", "--data", folder, "--trials", 2, "--families", "ease", "itemknn")
    content = json.loads((tmp_path / "results" / "accuracy_tiny.json").read_text())
    assert [(r["family"], r["model"]) for r in content["models"]] == [
        ("ease", "ease"),
        ("ease", "cornac EASE"),
        ("itemknn", "itemknn"),
        ("itemknn", "cornac ItemKNN"),
        ("itemknn", "implicit item-item"),
    ]
    for name in ("ease", "cornac-ease", "implicit-item-item"):
        assert len(trials(tmp_path, name)) == 2  # the same budget for each
    ours, peer = content["models"][:2]
    difference = ours["ndcg@20"]["mean"] - peer["ndcg@20"]["mean"]
    assert content["tests"][0]["difference"] == pytest.approx(difference)
    (tmp_path / "results" / "accuracy_tiny.json").rename(tmp_path / "results" / "accuracy_ml100k.json")
    run("report.py")
    text = (tmp_path / "results" / "accuracy_ml100k.md").read_text()
    assert text.startswith("# Accuracy")
    assert f"{peer['ndcg@20']['mean']:.4f}" in text


def test_cornac_ease_agrees_with_ours(folder):
    pytest.importorskip("cornac")
    from peers.libraries import CornacEASE

    split = mm.datasets.load_benchmark(folder)[1]
    ours = mm.models.create("ease", l2=20.0).fit(split.train).score([0, 7])
    theirs = CornacEASE(lamb=20.0, posB=False).fit(split.train).score(np.array([0, 7]))
    assert np.allclose(ours, theirs, atol=1e-4)


def test_speed_writes_its_rows(run, folder, tmp_path):
    run("speed.py", folder, "--rounds", 1, "--parts", "negatives")
    (row,) = json.loads((tmp_path / "results" / "speed.json").read_text())["rows"]
    assert row["ours"] > 0
    assert row["ratio"] == pytest.approx(row["theirs"] / row["ours"])
    assert row["what"] in importlib.import_module("report").speed({"rows": [row], "threads": 2} | about())


def about():
    return {"about": importlib.import_module("common").about()}


def test_rows_of_the_speed_table():
    speed = importlib.import_module("speed")
    (slow, free) = speed.against("work", {"ours": 2.0, "slow": 8.0, "fast": 1.0}, {"slow": 5})
    assert (slow["ratio"], slow["target"], slow["reached"]) == (4.0, "ratio at least 5", False)
    assert (free["ratio"], free["target"], free["reached"]) == (0.5, "", None)
    counts = {"a": iter([3.0, 1.0, 2.0]), "b": iter([9.0, 9.0, 1.0])}
    assert speed.in_turn({k: lambda v=v: next(v) for k, v in counts.items()}, 3) == {"a": 2.0, "b": 9.0}


@pytest.fixture
def new_in_folder(tmp_path):
    """60 users in 3 groups of 12 items; of each group items 10 and 11 are only in validation, and vectors tell it."""
    rng, rows = np.random.default_rng(0), []
    for user in range(60):
        rows += [(user, 12 * (user % 3) + item, 0) for item in rng.permutation(10)[:7]]
        rows += [(user, 12 * (user % 3) + item, 1) for item in (rows[-1][1] % 12, 10 + user // 3 % 2)]
    rows = pd.DataFrame(rows, columns=["userID", "itemID", "x_label"])
    rows = rows[~((rows["x_label"] == 0) & rows.duplicated(["userID", "itemID"], keep=False))]
    (tmp_path / "tiny").mkdir()
    rows.to_csv(tmp_path / "tiny" / "tiny.inter", sep="\t", index=False)
    vectors = 3 * np.eye(3).repeat(12, 0) + rng.normal(size=(36, 3))
    np.save(tmp_path / "tiny" / "image_feat.npy", vectors.astype(np.float32))
    return tmp_path / "tiny"


def test_new_items_are_searched_for_and_judged(run, new_in_folder, tmp_path):
    run("tune.py", "--data", new_in_folder, "--models", "coldmap", "contentknn", "--trials", 1, "--new-items")
    configs = [yaml.safe_load((tmp_path / "configs" / f"tiny{end}.yml").read_text()) for end in ("", "-new")]
    assert [list(entries) for entries in configs] == [["coldmap"], ["contentknn"]]
    best = configs[0]["coldmap"]
    assert set(best) == {"base_params", "calibration", "l2"}
    assert set(best["base_params"]) == {"alpha", "dim", "l2"}
    models = ("popularity", "contentknn", "coldmap")
    run("cold_items.py", "--data", new_in_folder, "--models", *models)
    content = json.loads((tmp_path / "results" / "cold_items.json").read_text())
    found = content["data"]["tiny"]
    assert (found["part"], found["new"], list(found["models"])) == ("valid", 6, list(models))
    for name in ("contentknn", "coldmap"):  # the vectors tell the group, noise does not
        row = found["models"][name]
        assert row["cold among new"]["mean"] > row["controls"][row["best_control"]] + 0.1
        assert row["gain"]["low"] > 0
    assert "gain" not in found["models"]["popularity"]
    cold = [row["cold"]["mean"] for row in found["slots"]]
    assert cold == sorted(cold)
    assert cold[-1] > cold[0]
    page = importlib.import_module("report").cold_items(content)
    assert "| ColdMap |" in page
    assert "| 4 | 5, 10, 15, 20 |" in page


def test_content_control_trains_only_what_is_not_there(run, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)

    def encode(data, encoders):  # vectors that the choices have nothing to do with, but for those of one modality
        x = rng.normal(size=(data.n_items, 4)).astype(np.float32)
        likes = data.extras["audience"].attributes["theme"].to_numpy(np.float32)
        return mm.data.Features({"text": likes, "image": x}, {"text": likes.any(axis=1), "image": x[:, 0] > 0})

    monkeypatch.setattr(mm.encoders, "encode", encode)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "stamps.yml").write_text("vbpr: {dim: 4, epochs: 1}\n")
    run("content_control.py", "--people", 60, "--models", "vbpr", "contentknn")
    content = json.loads((tmp_path / "results" / "content_control.json").read_text())
    assert list(content["splits"]) == ["random", "cold-items"]
    for how, part in content["splits"].items():
        assert list(part["models"]) == ["contentknn", "vbpr"]  # the order of the table
        assert set(part["references"]) == {"popularity", "ease", "oracle"}
        assert ("none" in part["models"]["vbpr"]) == (how == "random")
        for row in part["models"].values():
            controls = [row[v]["mean"] for v in ("shuffled", "noise", "none") if v in row]
            assert row["gain"]["mean"] == pytest.approx(row["real"]["mean"] - max(controls))
            assert row["p_holm"] >= row["p"]
    trained = [part["models"]["vbpr"]["params"] for part in content["splits"].values()]
    assert trained == [{"dim": 4, "epochs": 4}, {"dim": 4, "epochs": 1}]  # on known things until early stopping
    assert content["splits"]["cold-items"]["models"]["contentknn"]["verdict"] == "uses content"
    text = importlib.import_module("report").content_control(content)
    assert text.count("| Content neighbours |") == 2
    content["splits"]["random"]["models"]["vbpr"]["p"] = 2.0  # would change if it were trained again
    (tmp_path / "results" / "content_control.json").write_text(json.dumps(content))
    run("content_control.py", "--people", 60, "--models", "vbpr", "contentknn", "--splits", "random")
    assert json.loads((tmp_path / "results" / "content_control.json").read_text()) == content


def test_new_things_are_ranked_among_themselves_and_without_early_stopping():
    control = importlib.import_module("content_control")
    data = mm.data.Interactions(np.repeat(np.arange(10), 5), np.arange(50) * 7 % 20, n_users=10, n_items=20)
    cold, random = (mm.data.split(data, how, fractions=(0.5, 0.25, 0.25)) for how in ("cold-items", "random"))
    assert control.competing(cold)["candidates"].tolist() == np.unique(cold.test.item).tolist()
    assert not len(control.without_stopping(cold).valid)
    assert control.competing(random) == {}
    assert control.without_stopping(random) is random


@pytest.mark.parametrize(
    ("low", "high", "word"), [(0.01, 0.02, "better"), (-0.01, 0.02, "as good"), (-0.02, -0.01, "worse")]
)
def test_verdict(low, high, word):
    assert importlib.import_module("report").verdict({"ci_low": low, "ci_high": high}) == word


def test_every_searchable_parameter_exists():
    spaces = importlib.import_module("spaces")
    for table in (spaces.SPACES, spaces.LARGE):
        for model, space in table.items():
            assert set(space) <= set(mm.models.create(model).get_params()), model


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_configurations_make_models(path):
    configs = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert configs
    for name, params in configs.items():
        got = mm.models.create(name, **params).get_params()
        assert {k: got[k] for k in params} == params


def test_there_are_configurations():
    assert {p.stem for p in CONFIGS} >= {"baby", "ml-100k"}


def test_clicks_content_and_both_on_the_stamps(run, tmp_path, monkeypatch):
    vectors = mm.data.Features({m: np.random.default_rng(0).normal(size=(952, 4)) for m in ("text", "audio")})
    monkeypatch.setattr(importlib.import_module("common"), "load_features", lambda data: vectors)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "stamps.yml").write_text("lightgcn: {dim: 4, epochs: 1}\nals: {dim: 4}\n")
    run("accuracy_stamps.py", "--people", 60, "--models", "slim", "lightgcn", "als", "contentknn")
    content = json.loads((tmp_path / "results" / "accuracy_stamps.json").read_text())
    rows = {row["model"]: row for row in content["models"]}
    # one ensemble: the members of the other were not asked for
    assert set(rows) == {"slim", "lightgcn", "als", "contentknn", "ensemble, clicks"}
    best = max(("slim", "lightgcn", "als"), key=lambda name: rows[name]["valid"])
    assert content["rivals"] == {"clicks": best, "content": "contentknn", "ensemble": "ensemble, clicks"}
    assert rows[best]["against"]["clicks"] is None
    lead = rows["contentknn"]["test"]["mean"] - rows[best]["test"]["mean"]
    assert rows["contentknn"]["against"]["clicks"]["difference"] == pytest.approx(lead)
    assert content["oracle"]["mean"] > max(row["test"]["mean"] for row in rows.values())
    ensembles = {n: m for n, _, m in importlib.import_module("accuracy_stamps").contestants(rows, {})}
    assert len(ensembles["ensemble, clicks"].parts) == 1 + 3 + 3  # SLIM has no seed
    assert "| SLIM | clicks |" in importlib.import_module("report").accuracy_stamps(content)


def test_page_of_new_users_is_made_of_its_results():
    report = importlib.import_module("report")
    results = BENCHMARKS / "results"
    content = json.loads((results / "new_users.json").read_text())
    text = report.new_users(content)
    assert text.strip() == (results / "new_users.md").read_text().strip()
    pages = content["interviews"]["12"]["adaptive: reduction"]
    assert f"{pages['share']['low']:.0%}" in text
    assert report.gain_long(content["bandits"]["rows"]["LinUCB, content"]["against"]) in text

"""The command ``mmrec``: what it writes, what it says, and what it says when something is wrong."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import mmrec_lib as mm
from mmrec_lib import cli


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A catalogue of four things: texts, three pictures of which one is damaged, prices."""
    monkeypatch.setenv("MMREC_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "shop"
    (folder / "image").mkdir(parents=True)
    (folder / "interactions.csv").write_text("user,item\nanna,mug\nben,bell\n")
    (folder / "items.csv").write_text(
        "item,title,kind,price\nmug,Blue mug,kitchen,14.5\nbell,Bicycle bell,street,9.9\n"
        "scarf,Wool scarf,wear,32\nhat,,wear,20\n"
    )
    for name, colour in (("mug", "blue"), ("bell", "gold")):
        Image.new("RGB", (40, 40), colour).save(folder / "image" / f"{name}.png")
    (folder / "image" / "scarf.png").write_bytes(b"no picture")
    return folder


def test_encode(shop, tmp_path, capsys):
    out = tmp_path / "features"
    arguments = ["encode", str(shop), "--text", "tfidf", "--image", "colour-histogram", "--out", str(out)]
    assert cli.main(arguments) == 0
    said = capsys.readouterr().out
    assert "damaged: " in said
    assert "scarf.png" in said
    assert "4 items of shop" in said
    summary = json.loads((out / "summary.json").read_text())
    assert summary["modalities"]["image"] | {"damaged": []} == {
        "encoder": "colour-histogram", "dim": 216, "encoded": 2, "without": 1, "damaged": []
    }  # fmt: skip
    assert summary["modalities"]["image"]["damaged"][0]["item"] == "scarf"
    features = mm.encoders.load_features(out)
    assert features.mask["image"].tolist() == [True, True, False, False]
    assert features.mask["text"].tolist() == [True, True, True, False]
    data = mm.datasets.load_folder(shop)
    again = mm.encoders.encode(data, {"text": "tfidf"}, cache=None)
    np.testing.assert_array_equal(again["text"], features["text"])

    assert cli.main(arguments) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("text"))
    assert line.split()[:5] == ["text", "tfidf", str(features.dims["text"]), "0", "3"]  # none new, three from the cache


def test_features_in_another_order(shop, tmp_path):
    out = tmp_path / "features"
    cli.main(["encode", str(shop), "--text", "bow", "--out", str(out)])
    features = mm.encoders.load_features(out)
    other = mm.encoders.load_features(out, pd.Index(["bell", "new", "mug"]))
    np.testing.assert_array_equal(other["text"][[0, 2]], features["text"][[1, 0]])
    assert other.mask["text"].tolist() == [True, False, True]
    assert not other["text"][1].any()


def test_incomplete_folder_of_features(shop, tmp_path):
    out = tmp_path / "features"
    with pytest.raises(mm.errors.DataError, match="no complete folder"):
        mm.encoders.load_features(out)
    cli.main(["encode", str(shop), "--text", "bow", "--out", str(out)])
    (out / "text.mask.npy").unlink()
    with pytest.raises(mm.errors.DataError, match="no complete folder"):
        mm.encoders.load_features(out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text", "minlm"], "Did you mean 'minilm'"),
        (["--audio", "log-mel"], "unknown medium of the data set 'audio'"),
        ([], "at least one encoder"),
        (["--text", "tfidf", "--labels", "colour"], "column 'colour' is missing"),
        (["--text", "hog"], "reads image, not text"),
    ],
)
def test_errors_are_one_line(shop, tmp_path, capsys, arguments, message):
    assert cli.main(["encode", str(shop), *arguments, "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_catalogue_that_does_not_exist(tmp_path, capsys):
    assert cli.main(["encode", str(tmp_path / "no"), "--text", "bow", "--out", str(tmp_path / "out")]) == 1
    assert "no such folder" in capsys.readouterr().err


def test_wrong_usage_and_help(capsys):
    for arguments in ([], ["encode"], ["encode", "shop"], ["sing"]):
        with pytest.raises(SystemExit) as stop:
            cli.main(arguments)
        assert stop.value.code == 2
    with pytest.raises(SystemExit) as stop:
        cli.main(["encode", "--help"])
    assert stop.value.code == 0
    assert "torchrun" in capsys.readouterr().out


def test_list_of_encoders(capsys):
    assert cli.main(["encoders", "audio"]) == 0
    said = capsys.readouterr().out
    assert "log-mel" in said
    assert "minilm" not in said


def test_installed_as_a_command():
    done = subprocess.run(
        [sys.executable, "-m", "mmrec_lib.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"mmrec {mm.__version__}"


# -- projects ------------------------------------------------------------------------------------------------------
@pytest.fixture
def project(tmp_path, monkeypatch):
    """Thirty people of two kinds, twelve things; words alone."""
    monkeypatch.setenv("MMREC_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "project"
    folder.mkdir()
    rng = np.random.default_rng(0)
    pairs = [(u, i) for u in range(30) for i in rng.choice(np.arange(u % 2, 12, 2), 5, replace=False)]
    lines = [f"p{u},t{i}" for u, i in pairs]
    (folder / "interactions.csv").write_text("\n".join(["user,item", *lines]) + "\n")
    kinds = ["cup", "hat"]
    titles = [f"t{i},{kinds[i % 2]} number {i}" for i in range(12)]
    (folder / "items.csv").write_text("\n".join(["item,title", *titles]) + "\n")
    (folder / "mmrec.yml").write_text("encoders: {text: tfidf}\nmodel: {name: ease, l2: 1}\nk: 3\n")
    return folder


def test_train_recommend_and_doctor(project, capsys):
    assert cli.main(["doctor", str(project)]) == 0
    assert "is not there yet" in capsys.readouterr().out
    assert cli.main(["train", str(project), "--compare", "popularity", "random"]) == 0
    said = capsys.readouterr().out
    assert "written to" in said
    table = [line.split() for line in said.splitlines()]
    scores = {row[0]: float(row[2]) for row in table if row and row[0] in ("ease", "popularity", "random")}
    assert scores["ease"] > scores["popularity"] > 0
    bundle = mm.serving.load_bundle(project / "bundle")
    assert bundle.model.get_params() == {"l2": 1}
    assert bundle.model.seen_.nnz == 150  # learned from everything
    assert cli.main(["recommend", str(project), "--like", "t0", "t2", "-k", "3", "--why"]) == 0
    said = capsys.readouterr().out
    assert said.count("cup number") >= 3
    assert "which you liked" in said
    assert cli.main(["recommend", str(project), "p4", "-k", "2"]) == 0
    assert "for p4 (model)" in capsys.readouterr().out
    assert cli.main(["doctor", str(project)]) == 0
    assert "all is well" in capsys.readouterr().out
    (project / "bundle" / "items.parquet").write_bytes(b"x")
    assert cli.main(["doctor", str(project)]) == 1
    assert "items.parquet" in capsys.readouterr().out


def test_evaluate_writes_nothing_and_takes_options(project, capsys):
    before = sorted(p.name for p in project.iterdir())
    arguments = ["evaluate", str(project / "mmrec.yml"), "--model", "als", "--set", "dim=4", "--set", "l2=2.0"]
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("als ")
    assert sorted(p.name for p in project.iterdir()) == before


def test_search_is_on_the_validation_part(project, capsys):
    with open(project / "mmrec.yml", "a") as file:
        file.write("search: {l2: [log, 0.1, 100]}\ntrials: 3\n")
    assert cli.main(["train", str(project)]) == 0
    assert 0.1 <= mm.serving.load_bundle(project / "bundle").model.l2 <= 100


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("trails: 3", "Did you mean 'trials'"),
        ("model: ease", "give name"),
        ("model: {l2: 3}", "model has no name"),
        ("k: many", "a whole number"),
        ("- a list", "expected entries"),
        ("a: [", "cannot be read"),
    ],
)
def test_mistakes_in_the_configuration(project, capsys, text, words):
    (project / "mmrec.yml").write_text(text)
    assert cli.main(["evaluate", str(project)]) == 1
    said = capsys.readouterr().err
    assert "mmrec.yml" in said
    assert words in said


def test_other_mistakes(project, tmp_path, capsys):
    for arguments, words in (
        (["train", str(tmp_path / "nowhere")], "no such file"),
        (["train", str(project), "--set", "l2"], "NAME=VALUE"),
        (["train", str(project), "--model", "esae"], "Did you mean 'ease'"),
        (["recommend", str(project)], "no bundle"),
        (["init", str(project)], "not empty"),
        (["serve", str(project)], "no bundle"),
    ):
        assert cli.main(arguments) == 1, arguments
        assert words in capsys.readouterr().err


def test_init_writes_what_train_reads(tmp_path):
    folder = tmp_path / "example"
    assert cli.main(["init", str(folder), "--items", "30", "--users", "60"]) == 0
    data = mm.datasets.load_folder(folder)
    assert data.n_items == 30
    assert data.media.mask("image").all()
    assert len(data.interactions) > 30
    from mmrec_lib.cli import project

    assert project.read(folder).model["name"] == "sideease"
    assert [p.name for p in tmp_path.iterdir()] == ["example"]


def test_serve_passes_on_what_is_asked(project, tmp_path, monkeypatch, capsys):
    import uvicorn

    started = {}
    monkeypatch.setattr(uvicorn, "run", lambda app, **options: started.update(app=app, **options))
    monkeypatch.setenv("MMREC_API_KEY", "secret")
    assert cli.main(["train", str(project)]) == 0
    events, alerts = tmp_path / "events.sqlite", tmp_path / "alerts.jsonl"
    arguments = ["--port", "8123", "--timeout", "3", "--events", str(events), "--alerts", str(alerts)]
    assert cli.main(["serve", str(project), *arguments]) == 0
    service = started["app"].state.service
    settings = service.settings
    assert (settings.api_key, settings.timeout, settings.alert_file) == ("secret", 3.0, alerts)
    assert (started["host"], started["port"]) == ("127.0.0.1", 8123)
    assert events.exists()
    assert "http://127.0.0.1:8123" in capsys.readouterr().out
    service.store.close()

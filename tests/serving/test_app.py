"""The service as a client meets it."""

import io
import json
import time

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from mmrec_lib.errors import BundleError, StoreError
from mmrec_lib.serving import create_app
from mmrec_lib.serving.app import Settings


@pytest.fixture(scope="module")
def folder(bundle, tmp_path_factory):
    return bundle.save(tmp_path_factory.mktemp("service") / "bundle")


@pytest.fixture
def client(folder, tmp_path):
    with TestClient(create_app(folder, tmp_path / "e.sqlite", Settings(watch=0)), raise_server_exceptions=False) as c:
        yield c


def items(answer):
    assert answer.status_code in (200, 201), answer.text
    return [hit["item"] for hit in answer.json()["items"]]


def picture(colour=(10, 220, 10)):
    out = io.BytesIO()
    Image.new("RGB", (20, 16), colour).save(out, "PNG")
    return out.getvalue()


def test_lists(client, bundle):
    expected = [f"i{i}" for i in bundle.model.recommend([4], 5)["item"]]
    assert items(client.get("/recommend/u4", params={"k": 5})) == expected
    assert items(client.post("/recommend", json={"history": ["i2", "i5"], "k": 2}))
    blue = client.get("/recommend/u4", params={"where": ["kind:blue", "kind:red"], "exclude_seen": False, "k": 24})
    assert {h["title"].split()[0] for h in blue.json()["items"]} == {"blue", "red"}
    assert len(items(client.get("/similar/i3", params={"k": 4}))) == 4
    assert len(items(client.get("/popular"))) == 20


def test_search(client):
    assert {t["title"].split()[0] for t in client.get("/search", params={"q": "green", "k": 8}).json()["items"]} == {
        "green"
    }
    found = client.post("/search", files={"file": ("x.png", picture(), "image/png")}, data={"k": 3})
    assert {t["title"].split()[0] for t in found.json()["items"]} == {"green"}


def test_feedback_changes_the_list(client):
    before = items(client.get("/recommend/guest"))
    sent = {"events": [{"user": "guest", "item": "i1", "kind": "like", "request": "a"}]}
    assert client.post("/feedback", json=sent).json() == {"kept": 1, "repeated": 0}
    assert client.post("/feedback", json=sent).json() == {"kept": 0, "repeated": 1}
    after = client.get("/recommend/guest").json()
    assert after["how"] == "history"
    assert [h["item"] for h in after["items"]] != before


def test_a_new_thing_with_its_picture(client):
    sent = {"id": "fresh", "columns": json.dumps({"title": "green fresh"}), "text": "green"}
    answer = client.post("/items", data=sent, files={"image": ("p.png", picture(), "image/png")})
    assert answer.status_code == 201, answer.text
    assert "fresh" in items(client.get("/recommend/u4", params={"k": 24}))
    assert client.get("/media/fresh/image").content == picture()
    told = client.get("/items/fresh").json()
    assert told["title"] == "green fresh"
    assert told["media"] == ["text", "image"]
    again = client.post("/items", data={"id": "fresh", "text": "x"})
    assert again.status_code == 422
    assert "there already" in again.json()["detail"]


def test_things_and_their_media(client, shop):
    told = client.get("/items/i3").json()
    assert told == {
        "item": "i3",
        "title": "red 3",
        "columns": {"title": "red 3", "kind": "red"},
        "media": ["text", "image"],
    }
    assert client.get("/media/i3/text").text == shop.media["text"][3]
    assert client.get("/media/i3/image").headers["content-type"] == "image/png"
    assert client.get("/media/i23/image").status_code == 404


def test_reasons(client):
    top = items(client.get("/recommend/u4", params={"k": 1}))[0]
    told = client.get(f"/explain/u4/{top}").json()
    assert told["how"] == "history"
    assert told["reasons"]
    assert client.get(f"/explain/u4/{top}", params={"language": "fr"}).status_code == 422


def test_health_and_figures(client):
    client.get("/recommend/u1")
    client.get("/similar/i99")
    told = client.get("/health").json()
    assert (told["status"], told["items"], told["bundle"]["note"]) == ("ok", 24, "for tests")
    figures = client.get("/metrics").text
    assert 'mmrec_request_seconds_count{route="/recommend/{user}",status="200"} 1.0' in figures
    assert 'status="404"' in figures
    assert 'mmrec_lists_total{how="model"} 1.0' in figures


def test_the_page_needs_nothing_from_elsewhere(client):
    page = client.get("/").text
    assert "<html lang" in page
    assert "http://" not in page
    assert "https://" not in page


@pytest.mark.parametrize(
    ("method", "url", "options", "status"),
    [
        ("get", "/recommend/u4?k=0", {}, 422),
        ("get", "/recommend/u4?k=201", {}, 422),
        ("get", "/recommend/u4?k=many", {}, 422),
        ("get", "/recommend/u4?diversity=nan", {}, 422),
        ("get", "/recommend/u4?where=kind", {}, 422),
        ("get", "/recommend/u4?where=colour:red", {}, 422),
        ("get", "/recommend/" + "u" * 300, {}, 422),
        ("get", "/recommend/a%00b", {}, 422),
        ("get", "/similar/i99", {}, 404),
        ("get", "/nowhere", {}, 404),
        ("post", "/recommend", {"content": b"{"}, 422),
        ("post", "/recommend", {"json": {"k": 1000}}, 422),
        ("post", "/recommend", {"json": {"history": ["i99"]}}, 404),
        ("post", "/recommend", {"json": {"histories": []}}, 422),
        (
            "post",
            "/recommend",
            {"content": b'{"history": ["\\ud800"]}', "headers": {"Content-Type": "application/json"}},
            422,
        ),
        ("post", "/feedback", {"json": {"events": []}}, 422),
        ("post", "/feedback", {"json": {"events": [{"user": "a", "item": "i1", "kind": "stare"}]}}, 422),
        ("post", "/feedback", {"json": {"events": [{"user": "a", "item": "i1"}] * 1001}}, 422),
        ("post", "/feedback", {"json": {"events": [{"user": "a", "item": "i1", "value": 1e300}]}}, 422),
        ("post", "/feedback", {"json": {"events": [{"user": "a", "item": "i1", "value": False}]}}, 422),
        ("post", "/recommend", {"json": {"k": "20"}}, 422),
        ("post", "/items", {"data": {"id": "x"}}, 422),
        ("post", "/items", {"data": {"id": "x", "text": "t", "columns": "[1]"}}, 422),
        ("post", "/items", {"data": {"id": "x", "text": "t", "columns": '{"a": {"b": 1}}'}}, 422),
        ("post", "/items", {"data": {"id": "x", "text": "t", "columns": '{"a": NaN}'}}, 422),
        ("post", "/items", {"data": {"id": "x"}, "files": {"image": ("x.png", b"no picture", "image/png")}}, 422),
        ("post", "/items", {"data": {"id": "x"}, "files": {"image": ("x.exe", b"MZ", "image/png")}}, 422),
        ("post", "/search", {"files": {"file": ("x.png", b"", "image/png")}}, 422),
        ("post", "/search", {"files": {"file": ("x.png", b"x", "image/png")}, "data": {"modality": "smell"}}, 422),
    ],
)
def test_what_cannot_be_answered_is_the_callers_to_mend(client, method, url, options, status):
    answer = getattr(client, method)(url, **options)
    assert answer.status_code == status, answer.text
    assert "Traceback" not in answer.text
    assert "mmrec_lib" not in answer.text


def test_a_picture_of_a_hundred_gigapixels(client):
    header = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (300_000).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00"
    answer = client.post("/search", files={"file": ("x.png", header + b"\x00" * 50, "image/png")})
    assert answer.status_code == 422


def test_limits(folder, tmp_path):
    settings = Settings(max_body=2000, watch=0)
    with TestClient(create_app(folder, tmp_path / "e.sqlite", settings)) as client:
        big = {"events": [{"user": "a", "item": "i1"}] * 100}
        assert client.post("/feedback", json=big).status_code == 413

        def chunks():
            for _ in range(10):
                yield b" " * 1000

        assert (
            client.post("/feedback", content=chunks(), headers={"Content-Type": "application/json"}).status_code == 413
        )
        assert client.get("/recommend/u4").status_code == 200


def test_the_key(folder, tmp_path):
    with TestClient(create_app(folder, tmp_path / "e.sqlite", Settings(api_key="sesame", watch=0))) as client:
        assert client.get("/recommend/u4").status_code == 401
        assert client.get("/recommend/u4", headers={"X-API-Key": "sésame".encode("latin-1")}).status_code == 401
        assert client.get("/recommend/u4", headers={"X-API-Key": "sesame"}).status_code == 200
        assert client.get("/health").status_code == 200
        assert client.get("/").status_code == 200
        assert client.post("/reload").status_code == 401


def test_a_slow_part_is_given_up(folder, tmp_path):
    app = create_app(folder, tmp_path / "e.sqlite", Settings(timeout=0.2, watch=0))
    with TestClient(app) as client:
        app.state.service.engine.recommend = lambda *args, **options: time.sleep(2)
        begin = time.perf_counter()
        answer = client.get("/recommend/u4")
        assert time.perf_counter() - begin < 1.5
        assert answer.status_code == 504
        assert "0.2 s" in answer.json()["detail"]


def test_a_defect_tells_the_client_a_number_only(client):
    client.app.state.service.engine.similar = lambda *args: {}["secret"]
    answer = client.get("/similar/i3")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "in the log under" in answer.json()["detail"]


def test_events_that_cannot_be_kept_are_not_acknowledged(client):
    def refuse(events):
        raise StoreError("/var/lib/secret: disk full")

    client.app.state.service.engine.store.add = refuse
    answer = client.post("/feedback", json={"events": [{"user": "a", "item": "i1"}]})
    assert answer.status_code == 503
    assert "secret" not in answer.text


def test_a_new_bundle_is_taken_up_while_requests_run(bundle, tmp_path):
    folder = bundle.save(tmp_path / "bundle")
    app = create_app(folder, tmp_path / "e.sqlite", Settings(watch=0))
    with TestClient(app) as client:
        assert not client.post("/reload").json()["changed"]
        bundle.info["note"] = "newer"
        try:
            bundle.save(folder)
        finally:
            bundle.info["note"] = "for tests"
        assert client.post("/reload").json()["changed"]
        assert client.get("/health").json()["bundle"]["note"] == "newer"
        (folder / "items.parquet").write_bytes(b"x")
        (folder / "bundle.json").write_text((folder / "bundle.json").read_text() + " ")
        assert client.post("/reload").status_code in (422, 503)
        assert client.get("/recommend/u4").status_code == 200  # the old one goes on
    with pytest.raises(BundleError):
        create_app(folder)


def test_scores_are_plain_numbers(client):
    for hit in client.get("/recommend/u4").json()["items"]:
        assert np.isfinite(hit["score"])


def test_a_thing_that_comes_while_a_new_bundle_is_read(bundle, tmp_path, monkeypatch):
    from mmrec_lib.serving import app as module

    folder = bundle.save(tmp_path / "bundle")
    with TestClient(create_app(folder, tmp_path / "e.sqlite", Settings(watch=0))) as client:
        bundle.save(folder)
        make = module.Engine

        def slow(*args):
            made = make(*args)
            client.app.state.service.add_item("late", {}, {"text": "a green thing"})
            return made

        monkeypatch.setattr(module, "Engine", slow)
        (folder / "bundle.json").write_text((folder / "bundle.json").read_text() + " ")
        assert client.post("/reload").json()["changed"]
        assert client.get("/items/late").status_code == 200


def test_ids_with_slashes(client):
    sent = {"id": "birds/robin", "text": "a green thing", "columns": '{"title": "Robin"}'}
    assert client.post("/items", data=sent).status_code == 201
    for robin in ("birds/robin", "birds%2Frobin"):
        assert client.get(f"/items/{robin}").json()["title"] == "Robin"
        assert items(client.get(f"/similar/{robin}", params={"k": 3}))
        assert client.get(f"/explain/u4/{robin}").json()["how"] == "content"
        assert client.get(f"/media/{robin}/text").text == "a green thing"
    assert client.get("/recommend/shop%2Fsomebody").json()["how"] == "popularity"
    assert 'route="/items/{item}"' in client.get("/metrics").text


def test_reload_while_there_is_no_bundle_is_no_defect(bundle, tmp_path):
    folder = bundle.save(tmp_path / "bundle")
    with TestClient(create_app(folder, tmp_path / "e.sqlite", Settings(watch=0))) as client:
        (folder / "bundle.json").rename(tmp_path / "away.json")
        answer = client.post("/reload")
        assert answer.status_code == 422
        assert "ask again" in answer.json()["detail"]
        (tmp_path / "away.json").rename(folder / "bundle.json")
        assert client.post("/reload").json()["changed"] is False


def figure(client, name):
    """One number of /metrics."""
    lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith(name + " ")]
    return float(lines[0].split()[1])


def test_the_lists_are_watched(bundle, tmp_path):
    told, alerts = [], tmp_path / "alerts.jsonl"
    folder = bundle.save(tmp_path / "bundle")
    settings = Settings(watch=0, lists=40, category="kind", look=0, alert_file=alerts)
    with TestClient(create_app(folder, tmp_path / "e.sqlite", settings, told.append)) as client:
        assert np.isnan(figure(client, 'mmrec_stability{what="category"}'))
        for n in range(80):
            client.get(f"/recommend/u{n % 40}", params={"k": 4})
        client.get("/similar/i3")  # not among the lists that are watched
        assert figure(client, "mmrec_watched_lists") == 40
        assert figure(client, 'mmrec_stability{what="category"}') < 0.1
        assert figure(client, "mmrec_state") == 0
        for n in range(40):
            client.get(f"/recommend/u{n % 40}", params={"k": 4, "where": "kind:red"})
        assert figure(client, "mmrec_state") == 2
        assert figure(client, "mmrec_state") == 2
        assert figure(client, "mmrec_coverage") <= 8 / 24
        assert 0 < figure(client, "mmrec_gini") < 1
        assert figure(client, "mmrec_fallback_share") == 0
        assert [(c.before, c.after) for c in told] == [("ok", "alarm")]
        assert [json.loads(line)["after"] for line in alerts.read_text().splitlines()] == ["alarm"]
        (folder / "bundle.json").write_text((folder / "bundle.json").read_text() + " ")
        assert client.post("/reload").json()["changed"]
        assert figure(client, "mmrec_state") == 0


def test_the_lists_are_looked_at_without_a_scrape(folder, tmp_path):
    told = []
    settings = Settings(watch=0, lists=20, category="kind", look=0.05)
    app = create_app(folder, tmp_path / "e.sqlite", settings, told.append)
    with TestClient(app) as client:
        for n in range(60):
            client.get(f"/recommend/u{n % 40}", params={"k": 4} | ({"where": "kind:red"} if n >= 40 else {}))
        until = time.monotonic() + 5
        while not told and time.monotonic() < until:
            time.sleep(0.02)
    assert told[-1].after == "alarm"


def test_a_reference_travels_with_the_bundle(bundle, tmp_path):
    from mmrec_lib.serving import Engine, ListMonitor

    monitor = ListMonitor(24, category=dict(zip(bundle.items.index, bundle.items["kind"], strict=True)))
    engine = Engine(bundle)
    for n in range(40):
        monitor.add(engine.recommend(f"u{n}", 4))
    bundle.info["reference"] = monitor.summary()
    try:
        folder = bundle.save(tmp_path / "bundle")
    finally:
        del bundle.info["reference"]
    settings = Settings(watch=0, lists=40, category="kind", look=0)
    with TestClient(create_app(folder, tmp_path / "e.sqlite", settings)) as client:
        assert "reference" not in client.get("/health").json()["bundle"]
        for n in range(40):
            client.get(f"/recommend/u{n}", params={"k": 4, "where": "kind:red"})
        assert figure(client, "mmrec_state") == 2  # without waiting for first lists

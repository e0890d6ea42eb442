"""Stamps: a tiny folder in their form, and the real ones."""

import io
import subprocess
import sys
import tarfile

import numpy as np
import pytest
import soundfile
from PIL import Image

import mmrec_lib as mm
from mmrec_lib.datasets import stamps
from mmrec_lib.errors import DataError, DownloadError

# a size in points, as some of the real drawings have
RED = '<rect width="40" height="20" fill="#f00"/>'
SVG = f'<svg xmlns="http://www.w3.org/2000/svg" width="30pt" height="15pt">{RED}</svg>'


def thing(root, name, text, picture="png", sound=None):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".txt").write_text(text, encoding="utf-8")
    if picture == "png":
        canvas = Image.new("RGBA", (20, 10), (0, 0, 0, 0))
        canvas.paste((10 * len(name), 80, 200, 255), (4, 2, 16, 8))
        canvas.save(path.with_suffix(".png"))
    elif picture == "svg":
        path.with_suffix(".svg").write_text(SVG, encoding="utf-8")
    for ending in sound or ():
        wave = 0.3 * np.sin(np.arange(8000) * (0.2 + 0.01 * len(name)))
        soundfile.write(path.with_name(path.name + ending), wave, 8000, format="OGG", subtype="VORBIS")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MMREC_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "stamps"
    thing(root, "animals/birds/owl", "An owl.\nde.utf8=Eine Eule.\nzh_CN.utf8=猫头鹰。", sound=[".ogg", "_es.ogg"])
    thing(root, "animals/cat", "A black cat. It purrs.", sound=[".ogg", "_desc.ogg", "_desc_fr.ogg"])
    thing(root, "food/fruit/pear", "Pears!", picture="svg")
    thing(root, "food/two_gifts", "", picture=None)
    (root / "animals/cat_mirror.png").write_bytes((root / "animals/cat.png").read_bytes())
    (root / "animals/cat.dat").write_text("tinter vector")
    return root


def test_catalogue(folder):
    data = mm.datasets.load("stamps", path=folder, audience=False)
    assert data.items.index.tolist() == ["animals/birds/owl", "animals/cat", "food/fruit/pear", "food/two_gifts"]
    assert data.items["title"].tolist() == ["Owl", "Black cat", "Pears!", "two gifts"]
    assert data.items["category"].tolist() == ["animals/birds", "animals", "food/fruit", "food"]
    assert data.items["top_category"].tolist() == ["animals", "animals", "food", "food"]
    assert data.items["text_zh"].iloc[0] == "猫头鹰。"
    assert data.media["text_zh"] == ["猫头鹰。", None, None, None]
    assert data.media["text"] == ["An owl.", "A black cat. It purrs.", "Pears!", None]
    assert data.media["audio"] == [folder / "animals/birds/owl.ogg", folder / "animals/cat.ogg", None, None]
    assert data.media["speech"] == [None, folder / "animals/cat_desc.ogg", None, None]
    assert data.media["image"][:2] == [folder / "animals/birds/owl.png", folder / "animals/cat.png"]
    assert data.media["image"][3] is None
    assert (data.n_users, len(data.interactions)) == (0, 0)


def test_drawings_become_pictures(folder, tmp_path):
    (path,) = mm.datasets.load("stamps", path=folder, audience=False).media["image"][2:3]
    assert path.suffix == ".png"
    assert tmp_path / "cache" in path.parents
    with Image.open(path) as picture:
        assert picture.size == (512, 256)
        assert picture.convert("RGB").getpixel((256, 128)) == (255, 0, 0)
    written = path.stat().st_mtime_ns
    mm.datasets.load("stamps", path=folder, audience=False)
    assert path.stat().st_mtime_ns == written  # drawn once


def test_drawings_stay_without_the_renderer(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    data = mm.datasets.load("stamps", path=folder, n_users=5, list_length=2)
    assert data.media["image"][2] == folder / "food/fruit/pear.svg"


def test_with_an_audience(folder):
    data = mm.datasets.load("stamps", path=folder, n_users=30, list_length=2, n_lists=5, threshold=0.0, seed=4)
    audience = data.extras["audience"]
    assert (data.n_users, data.n_items, len(data.users)) == (30, 4, 30)
    assert len(data.interactions) > 30
    assert audience.attributes["sound"].loc["food/fruit/pear"].eq(0).all()
    again = mm.datasets.load("stamps", path=folder, n_users=30, list_length=2, n_lists=5, threshold=0.0, seed=4)
    assert again.extras["audience"].exposures.equals(audience.exposures)


def test_no_stamps_there(tmp_path):
    with pytest.raises(DataError, match="no stamps there"):
        mm.datasets.load("stamps", path=tmp_path)


def test_text_that_is_not_utf8(folder):
    (folder / "animals/cat.txt").write_bytes("Katze f\xfcr".encode("latin-1"))
    with pytest.raises(DataError, match=r"cat\.txt.*UTF-8"):
        mm.datasets.load("stamps", path=folder)


# -- obtaining ---------------------------------------------------------------------------------------------------
def package(names) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in names:
            info = tarfile.TarInfo(f"./usr/share/tuxpaint/{name}")
            info.size = 7
            tar.addfile(info, io.BytesIO(b"A thing"))
    return out.getvalue()


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """Nothing installed, an empty cache; the commands that are run are recorded."""
    monkeypatch.setenv("MMREC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(stamps, "INSTALLED", tmp_path / "not-installed")
    monkeypatch.setattr(stamps.shutil, "which", lambda program: f"/usr/bin/{program}")


def test_from_the_system_package(nowhere, tmp_path, monkeypatch):
    commands = []

    def run(command, cwd, stdout, **options):
        commands.append(command[:2])
        if command[:2] == ("apt-get", "download"):
            (cwd / "stamps.deb").touch()
        if command[0] == "dpkg-deb":
            names = ["stamps/food/pea.txt", "stamps/food/pea.dat", "stamps/food/pea_desc_es.ogg", "other/pea.txt"]
            stdout.write(package(names))
        return subprocess.CompletedProcess(command, 0, b"", b"")

    monkeypatch.setattr(stamps.subprocess, "run", run)
    found = stamps.catalogue_folder()
    assert [p.relative_to(found).as_posix() for p in found.rglob("*") if p.is_file()] == ["food/pea.txt"]
    n_commands = len(commands)
    assert stamps.catalogue_folder() == found
    assert len(commands) == n_commands  # from the cache
    assert [p.name for p in (tmp_path / "cache/stamps").iterdir() if not p.name.startswith(".lock")] == ["catalogue"]


@pytest.mark.parametrize("root", [True, False])
def test_old_lists_of_packages_are_renewed_by_root(nowhere, tmp_path, monkeypatch, root, capfd):
    commands = []

    def run(command, cwd, stdout, stderr, **options):
        commands.append(" ".join(command[:2]))
        assert stderr == subprocess.PIPE  # what apt says stays out of the notebook
        if command[0] == "dpkg-deb":
            stdout.write(package(["stamps/food/pea.txt"]))
        elif command[1] == "download" and "apt-get update" not in commands:
            return subprocess.CompletedProcess(command, 100, b"", b"E: Unable to locate package")
        elif command[1] == "download":
            (cwd / "stamps.deb").touch()
        return subprocess.CompletedProcess(command, 0, b"", b"")

    monkeypatch.setattr(stamps.subprocess, "run", run)
    monkeypatch.setattr(stamps.os, "geteuid", lambda: 0 if root else 1000)
    monkeypatch.setattr(stamps, "_release", lambda scratch: (_ for _ in ()).throw(DownloadError("no release")))
    if root:
        assert (stamps.catalogue_folder() / "food/pea.txt").is_file()
        assert commands == ["apt-get download", "apt-get update", "apt-get download", "dpkg-deb --fsys-tarfile"]
    else:
        with pytest.raises(DownloadError, match=r"Unable to locate package.*no release"):
            stamps.catalogue_folder()
        assert commands == ["apt-get download"]
    assert capfd.readouterr() == ("", "")


def test_when_every_source_fails(nowhere, tmp_path, monkeypatch):
    failed = subprocess.CompletedProcess([], 100, b"", b"E: no network")
    monkeypatch.setattr(stamps.subprocess, "run", lambda *args, **options: failed)

    def fetch(url, path, sha256):
        raise DownloadError(f"{url}: the server does not answer")

    monkeypatch.setattr(stamps, "fetch", fetch)
    with pytest.raises(DownloadError, match=r"no network.*does not answer.*Remedy"):
        stamps.catalogue_folder()
    assert not [p for p in (tmp_path / "cache/stamps").iterdir() if not p.name.startswith(".lock")]


# -- the real ones -----------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def real():
    return mm.datasets.load("stamps")


def test_counts(real):
    assert (real.n_users, real.n_items) == (2000, 952)
    assert {name: int(real.media.mask(name).sum()) for name in real.media} == {
        "text": 952,
        "text_zh": 775,
        "image": 950,
        "audio": 135,
        "speech": 65,
    }
    assert (real.items["top_category"].nunique(), real.items["category"].nunique()) == (16, 125)
    assert not [path for path in real.media["image"] if path is not None and path.suffix != ".png"]
    assert not real.items.index.str.contains("_mirror|_flip").any()


def test_clicks_are_as_dense_as_in_a_real_shop(real):
    assert 20 <= np.median(real.interactions.user_counts()) <= 40


def test_there_is_room_between_popularity_learning_and_the_oracle(real):
    split = mm.data.split(real, "random")

    def ndcg(model):
        return mm.evaluation.evaluate(model, split.test, train=split.train, ks=(20,)).summary.loc["ndcg@20", "mean"]

    popularity = ndcg(mm.models.create("popularity").fit(split.train))
    collaborative = ndcg(mm.models.create("rp3beta").fit(split.train))
    assert ndcg(real.extras["audience"].oracle) > 1.4 * collaborative > 2 * 1.4 * popularity

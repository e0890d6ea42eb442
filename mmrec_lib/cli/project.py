"""A project: one YAML file that says what is learned from what; ``mmrec init | train | evaluate | recommend``."""

from __future__ import annotations

import difflib
import shutil
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from ..data import Dataset, Features, Interactions, Split, split
from ..errors import DataError, ParameterError

FILE = "mmrec.yml"
_TEXT = """\
# What `mmrec` does in this folder. Paths are relative to this file.
catalogue: .            # folder with interactions.csv, items.csv, and media in image/, audio/, video/
encoders:               # modality: encoder; `mmrec encoders` lists them
  text: minilm
  image: efficientnet-lite0
model:                  # `python -c "import mmrec_lib as mm; print(mm.models.available())"` lists them
  name: sideease
  l2: 100
  content: 10
compare: [popularity, ease]   # what the model must beat
split: random           # random, temporal (needs times), leave-last-out, cold-items
k: 20                   # length of the lists that are judged
seed: 0
bundle: bundle          # folder that `mmrec train` writes and `mmrec serve` reads
# search:               # ranges tried on the validation part; the best is taken (`trials` of them)
#   l2: [log, 10, 1000]
# trials: 20
"""


@dataclass
class Project:
    """The entries of the YAML file, with their defaults."""

    folder: Path
    catalogue: str = "."
    encoders: dict[str, str] = field(default_factory=dict)
    model: dict = field(default_factory=lambda: {"name": "ease"})
    compare: list[str] = field(default_factory=lambda: ["popularity"])
    split: str = "random"
    k: int = 20
    seed: int = 0
    bundle: str = "bundle"
    search: dict = field(default_factory=dict)
    trials: int = 20

    def path(self, name: str) -> Path:
        """Of a file that the project names."""
        return self.folder / name

    @property
    def metric(self) -> str:
        """What is chosen by."""
        return f"ndcg@{self.k}"


def read(path: Path) -> Project:
    """Read ``mmrec.yml``, or the one in a folder. Raises :class:`DataError` and :class:`ParameterError` by entry."""
    file = path / FILE if path.is_dir() else path
    try:
        entries = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise DataError(f"{file}: there is no such file; `mmrec init FOLDER` writes an example") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{file} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(entries, dict):
        raise DataError(f"{file}: expected entries such as `catalogue: .`, got {type(entries).__name__}")
    known = {f.name: f for f in fields(Project) if f.name != "folder"}
    for name, value in entries.items():
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ParameterError(f"{file}: unknown entry {name!r}.{hint} Known: {', '.join(known)}")
        _check_entry(file, name, value)
    return Project(folder=file.parent, **entries)


_FORMS = {
    "encoders": (dict, "modality: encoder"), "model": (dict, "name: ..., and its parameters"),
    "compare": (list, "a list of models"), "search": (dict, "parameter: [log, low, high]"),
    "k": (int, "a whole number"), "seed": (int, "a whole number"), "trials": (int, "a whole number"),
}  # fmt: skip


def _check_entry(file: Path, name: str, value) -> None:
    kind, told = _FORMS.get(name, (str, "text"))
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ParameterError(f"{file}: {name} is {value!r}; give {told}")
    if name == "model" and not isinstance(value.get("name"), str):
        raise ParameterError(f"{file}: model has no name; give `name: ease`, say")


# -- a folder to begin with ------------------------------------------------------------------------------------------
def init(folder: Path, n_items: int = 200, n_users: int = 400, seed: int = 0) -> Path:
    """Write a working example: real pictures, sentences and sounds of the stamps, and simulated people.

    Raises :class:`DataError` where the folder holds something already.
    """
    from .. import datasets

    if folder.exists() and (folder.is_file() or any(folder.iterdir())):
        raise DataError(f"{folder} is not empty: name a new folder")
    data = datasets.load("stamps", n_users=n_users, seed=seed)
    rng = np.random.default_rng(seed)
    with_picture = np.flatnonzero(data.media.mask("image"))
    chosen = np.sort(rng.choice(with_picture, min(n_items, len(with_picture)), replace=False))
    scratch = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        _write_example(data, chosen, scratch)
        if folder.exists():
            folder.rmdir()
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _write_example(data: Dataset, chosen: np.ndarray, folder: Path) -> None:
    for medium in ("image", "audio"):
        (folder / medium).mkdir(parents=True)
    names = [data.items.index[i].replace("/", "-") for i in chosen]
    for name, code in zip(names, chosen, strict=True):
        for medium in ("image", "audio"):
            file = data.media[medium][code]
            if file is not None:
                shutil.copyfile(file, folder / medium / f"{name}{file.suffix}")
    items = data.items.iloc[chosen][["title", "category"]].assign(text=[data.media["text"][i] for i in chosen])
    items.set_axis(pd.Index(names, name="item")).to_csv(folder / "items.csv")
    events = data.interactions.to_frame()
    events = events[events["item"].isin(chosen)]
    place = dict(zip(chosen, names, strict=True))
    table = pd.DataFrame({
        "user": [f"person-{u}" for u in events["user"]], "item": events["item"].map(place), "value": events["value"],
        "time": events["time"],
    })  # fmt: skip
    table.to_csv(folder / "interactions.csv", index=False)
    (folder / FILE).write_text(_TEXT, encoding="utf-8")


# -- learning and judging --------------------------------------------------------------------------------------------
@dataclass
class Prepared:
    """Data, vectors and the split of a project."""

    data: Dataset
    encoders: dict
    features: Features | None
    split: Split


def prepare(project: Project) -> Prepared:
    """Load the catalogue, encode its media (cached), divide the interactions."""
    from .. import datasets
    from .. import encoders as encoding

    folder = project.path(project.catalogue)
    data = datasets.load_folder(folder) if folder.is_dir() else datasets.load(project.catalogue)
    made = {name: encoding.create(encoder, _medium(name)) for name, encoder in project.encoders.items()}
    features = encoding.encode(data, made) if made else None
    return Prepared(data, made, features, split(data, how=project.split, seed=project.seed))


def _medium(name: str) -> str | None:
    return name if name in ("text", "image", "audio", "video") else None


def make(spec: str | dict, seed: int, **changes):
    """A recommender from its name, or from a dict with its name and parameters."""
    from .. import models

    params = {} if isinstance(spec, str) else {k: v for k, v in spec.items() if k != "name"}
    name = spec if isinstance(spec, str) else spec["name"]
    params |= changes
    if "seed" not in params and "seed" in models.create(name, **params).get_params():
        params["seed"] = seed
    return models.create(name, **params)


def search(project: Project, prepared: Prepared) -> dict:
    """The model's parameters, those of ``search:`` chosen on the validation part."""
    from ..training import search as tune

    if not project.search:
        return {}
    space = {name: tuple(rng) if rng and rng[0] in ("float", "log", "int", "logint") else rng
             for name, rng in project.search.items()}  # fmt: skip
    found = tune(
        lambda **params: make(project.model, project.seed, **params), prepared.split, space, project.trials,
        metric=project.metric, seed=project.seed, features=prepared.features,
    )  # fmt: skip
    return dict(found.best_params)


def judge(project: Project, prepared: Prepared, chosen: dict) -> tuple[pd.DataFrame, object, object]:
    """Fit on the training part and judge on the test part: a table, the report and the fitted model.

    The table has a row for the model and each of ``compare``: metrics, and the difference of the model from it with a
    paired interval and p value.
    """
    from .. import evaluation

    parts, reports, fitted = prepared.split, {}, None
    specs = {"model": project.model, **{name: name for name in project.compare}}
    for name, spec in specs.items():
        model = make(spec, project.seed, **(chosen if name == "model" else {}))
        model.fit(parts.train, features=prepared.features, valid=parts.valid)
        fitted = model if name == "model" else fitted
        reports[name] = evaluation.evaluate(
            model, parts.test, train=Interactions.concat([parts.train, parts.valid]), ks=project.k,
            metrics=("recall", "ndcg", "coverage"),
        )  # fmt: skip
    rows = {}
    for name, report in reports.items():
        row = dict(report.summary["mean"])
        if name != "model":
            paired = evaluation.compare(reports["model"], report, project.metric, "t").loc[project.metric]
            row |= {"model better by": paired["difference"], "from": paired["ci_low"], "to": paired["ci_high"],
                    "p": paired["p_t"]}  # fmt: skip
        rows[project.model["name"] if name == "model" else name] = row
    return pd.DataFrame(rows).T, reports["model"], fitted


def train(project: Project):
    """Search, judge, learn from everything, and write the bundle: the table and the bundle's folder."""
    from ..serving import Bundle

    prepared = prepare(project)
    chosen = search(project, prepared)
    table, report, judged = judge(project, prepared, chosen)
    # as many epochs as were best when there was something to validate on
    epochs = {"epochs": judged.best_epoch_} if hasattr(judged, "best_epoch_") else {}
    model = make(project.model, project.seed, **chosen, **epochs)
    model.fit(prepared.data.interactions, features=prepared.features)
    bundle = Bundle.of(
        model, prepared.data, prepared.features, prepared.encoders, report=report, params=model.get_params(),
        compared=table.round(6).to_dict("index"),
    )  # fmt: skip
    return table, bundle.save(project.path(project.bundle))

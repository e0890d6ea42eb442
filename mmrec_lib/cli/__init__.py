"""The command ``mmrec``: from a catalogue to vectors, a model, a report and a service."""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

from .. import __version__
from ..errors import MediaWarning, MMRecError, ParameterError
from . import coursework

_MEDIA = ("text", "image", "audio", "video")
_DAMAGED_SHOWN = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the result is its exit status: 0 done, 1 an error that is explained, 2 wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except MMRecError as error:
        print(f"mmrec: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("mmrec: interrupted; what was finished is kept, the same command goes on from there", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mmrec", description="Recommend from clicks and content.")
    parser.add_argument("--version", action="version", version=f"mmrec {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    encode = commands.add_parser(
        "encode",
        help="turn the texts, pictures, sounds and films of a catalogue into vectors",
        description="Turn the media of a catalogue into vectors, one file a modality. Vectors are cached: stop it at "
        "any moment and start it again, and it goes on where it was. Under torchrun several processes share the work.",
        epilog="ENCODER is a name of `mmrec encoders`, or a model of the Hugging Face hub (org/model) or its folder.",
    )
    encode.add_argument("catalogue", type=Path, help="folder with interactions.csv, items.csv and media, or 'stamps'")
    for medium in _MEDIA:
        encode.add_argument(f"--{medium}", metavar="ENCODER", help=f"encoder of {medium}")
    encode.add_argument("--metadata", metavar="ENCODER", help="encoder of the columns of items.csv")
    encode.add_argument(
        "--labels", metavar="COLUMN", help="column of items.csv that encoders trained in place learn from"
    )
    encode.add_argument("--out", type=Path, required=True, help="folder to write: <modality>.npy, masks and a summary")
    encode.add_argument("--cache", type=Path, help="folder of vectors that exist already (default: the library's)")
    encode.add_argument("--batch-size", type=_batch_size, default="auto", help="items at once (default: auto)")
    encode.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps (default: auto)")
    encode.set_defaults(run=_encode)
    _project_commands(commands)
    coursework.add_commands(commands)
    table = commands.add_parser("encoders", help="list the encoders")
    table.add_argument("modality", nargs="?", help="only those of one modality")
    table.set_defaults(run=_encoders)
    return parser


def _project_commands(commands) -> None:
    example = commands.add_parser(
        "init", help="write a working example: catalogue and configuration",
        description="Write a folder with 200 real pictures, sentences and sounds, simulated people, and mmrec.yml. "
        "Then `mmrec train FOLDER` and `mmrec serve FOLDER`.",
    )  # fmt: skip
    example.add_argument("folder", type=Path, help="a new folder")
    example.add_argument("--items", type=int, default=200, help="number of things (default: 200)")
    example.add_argument("--users", type=int, default=400, help="number of people (default: 400)")
    example.set_defaults(run=_init)
    for name, told, run in (
        ("train", "learn from a catalogue, judge it, and write a bundle", _train),
        ("evaluate", "learn on one part of the clicks and judge on another; nothing is written", _evaluate),
    ):
        command = commands.add_parser(
            name, help=told, description=f"{told.capitalize()}. Everything is said in mmrec.yml; the options change it."
        )
        _project_argument(command)
        command.add_argument("--model", help="another model, with its defaults")
        command.add_argument(
            "--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the model (repeatable)"
        )
        command.add_argument("--compare", nargs="*", metavar="MODEL", help="what the model is compared with")
        command.set_defaults(run=run)
    recommend = commands.add_parser("recommend", help="a list for a person, from a bundle")
    _project_argument(recommend)
    recommend.add_argument("user", nargs="?", help="id of a person (default: whoever is first)")
    recommend.add_argument("--like", nargs="+", default=[], metavar="ITEM", help="somebody new who likes these things")
    recommend.add_argument("-k", type=int, default=10, help="length of the list (default: 10)")
    recommend.add_argument("--why", action="store_true", help="say why each thing is there")
    recommend.set_defaults(run=_recommend)
    serve = commands.add_parser(
        "serve", help="an HTTP service and a page to try it, from a bundle",
        description="Serve a bundle: open the address that is printed in a browser; /docs describes the interface. A "
        "new bundle in the same place is taken up without a dropped request. The key, if any, is read from the "
        "environment variable MMREC_API_KEY.",
    )  # fmt: skip
    _project_argument(serve)
    serve.add_argument("--host", default="127.0.0.1", help="address to listen at (default: this machine only)")
    serve.add_argument("--port", type=int, default=8000, help="(default: 8000)")
    serve.add_argument("--events", type=Path, help="file of events (default: events.sqlite beside the bundle)")
    serve.add_argument("--timeout", type=float, default=5.0, help="seconds until a request is given up (default: 5)")
    serve.add_argument(
        "--alerts", type=Path, help="file that gets a line of JSON when the lists that are given have changed"
    )
    serve.set_defaults(run=_serve)
    doctor = commands.add_parser("doctor", help="look for what is wrong: packages, device, catalogue, bundle")
    _project_argument(doctor)
    doctor.set_defaults(run=_doctor)


def _project_argument(command) -> None:
    command.add_argument(
        "project", nargs="?", type=Path, default=Path(), help="folder with mmrec.yml, or the file (default: here)"
    )


def _batch_size(text: str) -> int | str:
    return text if text == "auto" else int(text)


def _encoders(options) -> int:
    from .. import encoders

    print(encoders.available(options.modality).astype(object).fillna("").to_string())
    return 0


# -- projects ------------------------------------------------------------------------------------------------------
def _init(options) -> int:
    from . import project

    folder = project.init(options.folder, options.items, options.users)
    print(f"{folder}: a catalogue and {project.FILE}. Next:\n  mmrec train {folder}\n  mmrec serve {folder}")
    return 0


def _project(options):
    """The project, with what the options change."""
    import yaml

    from . import project

    plan = project.read(options.project)
    if getattr(options, "model", None):
        plan.model = {"name": options.model}
    for pair in getattr(options, "set", []):
        name, sign, value = pair.partition("=")
        if not sign:
            raise ParameterError(f"--set {pair}: give NAME=VALUE, as in --set l2=100")
        plan.model[name] = yaml.safe_load(value)
    if getattr(options, "compare", None) is not None:
        plan.compare = options.compare
    return plan


def _train(options) -> int:
    from . import project

    plan = _project(options)
    table, folder = project.train(plan)
    _show(table, plan)
    print(f"learned from everything and written to {folder}; `mmrec serve {options.project}` shows it")
    return 0


def _evaluate(options) -> int:
    from . import project

    plan = _project(options)
    prepared = project.prepare(plan)
    _show(project.judge(plan, prepared, project.search(plan, prepared))[0], plan)
    return 0


def _show(table, plan) -> None:
    print(table.astype(float).round(4).to_string(na_rep=""))
    print(f"on interactions that nothing was learned from or chosen by; differences of {plan.metric} are paired")


def _engine(options):
    from ..serving import Engine, load_bundle

    plan = _project(options)
    return Engine(load_bundle(plan.path(plan.bundle)))


def _recommend(options) -> int:
    engine = _engine(options)
    user = options.user or (None if options.like else next(iter(engine.user_codes)))
    answer = engine.recommend(user, options.k, history=options.like)
    who = user if user is not None else "somebody who likes " + ", ".join(options.like)
    print(f"for {who} ({answer.how}):")
    for hit in answer.items:
        print(f"{hit.rank:3}  {hit.score:9.4f}  {hit.item}  {hit.title}")
        if options.why:
            print(f"     {engine.explain(user or '', hit.item, history=options.like)['sentence']}")
    return 0


def _serve(options) -> int:
    import os

    from ..errors import MissingPackageError

    try:
        import uvicorn

        from ..serving.app import Settings, create_app
    except ImportError as error:
        raise MissingPackageError(error.name or "uvicorn", "the service", "serve") from None
    plan = _project(options)
    key = os.environ.get("MMREC_API_KEY") or None
    settings = Settings(api_key=key, timeout=options.timeout, alert_file=options.alerts)
    app = create_app(plan.path(plan.bundle), options.events, settings)
    print(f"{app.state.service.engine.bundle!r} at http://{options.host}:{options.port} (Ctrl+C ends it)", flush=True)
    uvicorn.run(app, host=options.host, port=options.port, log_level="warning", timeout_graceful_shutdown=10)
    return 0


def _doctor(options) -> int:
    from . import doctor

    return doctor.examine(options.project)


# -- encode --------------------------------------------------------------------------------------------------------
def _encode(options) -> int:
    from .. import encoders
    from ..data import Features
    from ..encoders import distributed

    wanted = {name: getattr(options, name) for name in (*_MEDIA, "metadata") if getattr(options, name)}
    if not wanted:
        raise ParameterError("name at least one encoder, as in --text minilm; `mmrec encoders` lists them")
    start = time.perf_counter()
    data = _catalogue(options.catalogue)
    labels = _labels(data, options.labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MediaWarning)  # the summary names what was damaged
        parts = encoders.encode_all(
            data,
            wanted,
            labels=labels,
            batch_size=options.batch_size,
            device=options.device,
            cache=options.cache or "default",
        )
    if distributed.rank_and_world()[0] == 0:
        features = Features({n: p.vectors for n, p in parts.items()}, {n: p.mask for n, p in parts.items()})
        encoders.save_features(options.out, features, data.items.index, _described(data, wanted, parts))
        _summary(options, data, wanted, parts, time.perf_counter() - start)
    return 0


def _catalogue(path: Path):
    from .. import datasets

    if not path.exists() and str(path) in datasets.available():
        extra = {"audience": False} if str(path) == "stamps" else {}
        return datasets.load(str(path), **extra)
    return datasets.load_folder(path)


def _labels(data, column: str | None) -> list | None:
    from ..errors import MissingColumnError

    if column is None:
        return None
    if column not in data.items:
        raise MissingColumnError("items", column, list(data.items.columns), "Name another with --labels.")
    return data.items[column].tolist()


def _described(data, wanted: dict, parts: dict) -> dict:
    modalities = {
        name: {
            "encoder": wanted[name],
            "dim": part.vectors.shape[1],
            "encoded": int(part.mask.sum()),
            "without": int((~part.mask).sum()) - len(part.damaged),
            "damaged": [
                {"item": str(data.items.index[d.item]), "file": d.name, "reason": d.reason} for d in part.damaged
            ],
        }
        for name, part in parts.items()
    }
    return {"catalogue": data.name, "n_items": data.n_items, "library": __version__, "modalities": modalities}


def _summary(options, data, wanted: dict, parts: dict, seconds: float) -> None:
    rows = [("modality", "encoder", "dim", "new", "from cache", "without", "damaged", "seconds")]
    for name, part in parts.items():
        without = int((~part.mask).sum()) - len(part.damaged)
        numbers = (part.vectors.shape[1], part.n_encoded, part.n_cached, without, len(part.damaged))
        rows.append((name, wanted[name], *map(str, numbers), f"{part.seconds:.1f}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        text = [cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))]
        print("  ".join(text))
    damaged = [d for part in parts.values() for d in part.damaged]
    for d in damaged[:_DAMAGED_SHOWN]:
        print(f"damaged: {d.name}: {d.reason}")
    if len(damaged) > _DAMAGED_SHOWN:
        print(f"... and {len(damaged) - _DAMAGED_SHOWN} more, all named in {options.out / 'summary.json'}")
    print(f"{data.n_items:,} items of {data.name}: vectors in {options.out}, {seconds:.1f} s")


if __name__ == "__main__":
    sys.exit(main())

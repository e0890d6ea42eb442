"""The command ``mmrec``: ``mmrec encode CATALOGUE --text minilm --image efficientnet-lite0 --out features/``."""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

from . import __version__
from .errors import MediaWarning, MMRecError, ParameterError

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
    table = commands.add_parser("encoders", help="list the encoders")
    table.add_argument("modality", nargs="?", help="only those of one modality")
    table.set_defaults(run=_encoders)
    return parser


def _batch_size(text: str) -> int | str:
    return text if text == "auto" else int(text)


def _encoders(options) -> int:
    from . import encoders

    print(encoders.available(options.modality).astype(object).fillna("").to_string())
    return 0


# -- encode --------------------------------------------------------------------------------------------------------
def _encode(options) -> int:
    from . import encoders
    from .data import Features
    from .encoders import distributed

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
    from . import datasets

    if not path.exists() and str(path) in datasets.available():
        extra = {"audience": False} if str(path) == "stamps" else {}
        return datasets.load(str(path), **extra)
    return datasets.load_folder(path)


def _labels(data, column: str | None) -> list | None:
    from .errors import MissingColumnError

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

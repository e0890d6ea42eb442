"""What a person perceives in a thing: attributes measured on the raw media, never on a model's embeddings.

Each component of taste has its own table of attributes, and each table is read from one source only:

========== ============================ ==============================================
component  measured on                  shown to a model by
========== ============================ ==============================================
category   the catalogue's folders      text and image
look       pixels                       image only
sound      the waveform                 audio only
theme      words, relative to category  text only
quality    drawn at random              no medium
========== ============================ ==============================================
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from ..data import Dataset
from ..errors import DataError, FeatureError

#: Components of taste that rest on attributes, and the modality that the attributes are measured on.
MEASURED = {"category": None, "look": "image", "sound": "audio", "theme": "text"}
_VERSION = 1  # of the measurements; raise it when a formula changes, so that cached tables are measured anew

LOOK = ("red_green", "yellow_blue", "lightness", "colourfulness", "contrast", "aspect", "fill", "edges")
SOUND = ("loudness", "brightness", "noisiness", "duration", "modulation")

#: Words that make the theme of a sentence. Length, naming and exclamation are measured besides.
THEME_WORDS = {
    "colour": "red green blue yellow orange brown black white pink purple silver golden gold grey gray colorful "
    "colored striped spotted checkered",
    "size_and_age": "big little large small tiny great tall long giant old new young baby mini huge lesser double",
    "place": "american european canadian japanese african asian indian chinese spanish german french english british "
    "us uk euro united states african australian arctic antarctic north south eastern western language",
    "feast": "happy christmas easter birthday party halloween hanukkah new year celebrate gift candy yum balloon "
    "dreidel festival holiday smile luck",
    "material": "wooden wood glass metal gold silver paper plastic stone stones brick leather straw iron steel toy",
    "action": "can move moves go goes play playing dance dancing stop turn jump fly flying run running eat eating swim "
    "lands crossing open opened sitting standing sleeping",
    "number": "one two three four five six seven eight nine ten pair half first dozen number both",
    "to_you": "you your our we us my i",
}


def extract_attributes(dataset: Dataset, cache: str | Path | None = None) -> dict[str, pd.DataFrame]:
    """Measure the attributes of all items on catalogue, pixels, waveforms and words.

    Parameters
    ----------
    dataset
        Uses ``items["category"]`` (path with slashes, or a plain name) and the media text, image, audio; whatever is
        missing gives no table.
    cache
        Folder that keeps the measurements of pictures and sounds (decoding takes some seconds). The key covers this
        code's version and name, size and modification time of every file. Default: no cache.

    Returns
    -------
    dict of DataFrame
        Component to table with one row per item. A row of NaN means: the item has no such medium.

    Raises
    ------
    DataError
        A picture or sound cannot be decoded; the message names the file.
    """
    tables = {}
    if "category" in dataset.items:
        tables["category"] = category_attributes(dataset.items["category"])
    if "text" in dataset.media:
        top = dataset.items["category"].str.split("/").str[0] if "category" in dataset.items else None
        tables["theme"] = theme_attributes(dataset.media["text"], top)
    if "image" in dataset.media:
        tables["look"] = _measure(dataset.media["image"], measure_picture, LOOK, "look", cache)
    if "audio" in dataset.media:
        tables["sound"] = _measure(dataset.media["audio"], measure_sound, SOUND, "sound", cache)
    return {name: table.set_index(dataset.items.index) for name, table in tables.items()}


def check_attributes(attributes: Mapping[str, pd.DataFrame], n_items: int) -> None:
    """Raise :class:`FeatureError` unless each table has one row per item and rows that are whole or NaN throughout."""
    for name, table in attributes.items():
        if len(table) != n_items:
            raise FeatureError(f"attributes[{name!r}] has {len(table)} rows, the catalogue {n_items} items")
        values = table.to_numpy(float)
        finite = np.isfinite(values)
        half = np.flatnonzero(finite.any(axis=1) & ~finite.all(axis=1))
        if len(half) or np.isinf(values).any():
            raise FeatureError(
                f"attributes[{name!r}]: row {half[0] if len(half) else '?'} is known in part or infinite; "
                "a row must be finite, or NaN throughout where the item has no such medium"
            )


# -- category ------------------------------------------------------------------------------------------------------
def category_attributes(category: pd.Series) -> pd.DataFrame:
    """One column per top category and, at half the weight, one per full path, 0/1."""
    category = category.fillna("").astype(str).reset_index(drop=True)
    top = pd.get_dummies(category.str.split("/").str[0], dtype=float)
    full = 0.5 * pd.get_dummies(category, dtype=float)
    return pd.concat([top, full.loc[:, [c for c in full if "/" in c]]], axis=1)


# -- theme of the sentence -----------------------------------------------------------------------------------------
def theme_attributes(texts: list[str | None], category: pd.Series | None = None) -> pd.DataFrame:
    """Word classes, length, proper names and exclamation of each sentence, relative to the item's category.

    The mean of the category is subtracted, so that the theme is nothing that the category (and with it the picture)
    already tells.
    """
    table = pd.DataFrame([_theme(text) for text in texts])
    if category is not None:
        table = table - table.groupby(category.to_numpy()).transform("mean")
    return table


def _theme(text: str | None) -> dict[str, float]:
    if text is None:
        return dict.fromkeys([*THEME_WORDS, "length", "named", "exclaims"], np.nan)
    words = re.findall(r"[^\W\d_]+", text)
    lower = {word.lower() for word in words}
    row = {name: float(bool(lower & known)) for name, known in _WORD_SETS.items()}
    row["length"] = float(np.log1p(len(words)))
    row["named"] = float(any(word[0].isupper() and len(word) > 1 for word in words[2:]))
    row["exclaims"] = float("!" in text)
    return row


_WORD_SETS = {name: frozenset(words.split()) for name, words in THEME_WORDS.items()}


# -- look ----------------------------------------------------------------------------------------------------------
def measure_picture(path: str | Path) -> tuple[float, ...]:
    """Colour and shape of a picture, in the order of :data:`LOOK`.

    Colours are means over the visible pixels (weighted by opacity); colourfulness is that of Hasler and Suesstrunk
    (2003); ``aspect`` is log(width / height) of the visible part, ``fill`` its covered share, ``edges`` the mean
    gradient of the lightness on white.
    """
    from PIL import Image

    with Image.open(path) as picture:
        picture = picture.convert("RGBA")
    picture.thumbnail((96, 96))
    pixels = np.asarray(picture, dtype=float) / 255
    rgb, alpha = pixels[..., :3], pixels[..., 3]
    if alpha.max() < 0.05:  # nothing visible: judge the white sheet
        rgb, alpha = np.ones_like(rgb), np.ones_like(alpha)
    weight = alpha / alpha.sum()
    red_green = rgb[..., 0] - rgb[..., 1]
    yellow_blue = rgb[..., :2].mean(axis=-1) - rgb[..., 2]
    lightness = rgb @ (0.299, 0.587, 0.114)
    means = [float((weight * channel).sum()) for channel in (red_green, yellow_blue, lightness)]
    deviations = [
        float(np.sqrt((weight * (channel - mean) ** 2).sum()))
        for channel, mean in zip((red_green, yellow_blue, lightness), means, strict=True)
    ]
    colourfulness = np.hypot(*deviations[:2]) + 0.3 * np.hypot(*means[:2])
    visible = alpha > 0.05
    rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    on_white = lightness * alpha + (1 - alpha)
    gradients = [np.abs(np.diff(on_white, axis=axis)).mean() if on_white.shape[axis] > 1 else 0.0 for axis in (0, 1)]
    return (
        *means,
        float(colourfulness),
        deviations[2],
        float(np.log(width / height)),
        float(alpha.sum() / (width * height)),
        float(sum(gradients)),
    )


# -- sound ---------------------------------------------------------------------------------------------------------
def measure_sound(path: str | Path) -> tuple[float, ...]:
    """Loudness and timbre of a sound, in the order of :data:`SOUND`.

    ``loudness``: root mean square in dB; ``brightness``: log2 of the spectral centroid in Hz; ``noisiness``: spectral
    flatness in dB (0 for white noise); ``duration``: log2 of seconds; ``modulation``: standard deviation over time of
    the frames' level in dB.
    """
    import soundfile

    wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    wave = wave.mean(axis=1)[: 30 * rate]
    if not len(wave):
        raise ValueError("the sound is empty")
    size = max(64, 2 ** int(np.log2(0.046 * rate)))
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(wave, (0, max(0, size - len(wave)))), size)[:: size // 2]
    power = np.abs(np.fft.rfft(frames * np.hanning(size), axis=1)) ** 2
    spectrum = power.mean(axis=0)[1:] + 1e-10
    frequency = np.fft.rfftfreq(size, 1 / rate)[1:]
    centroid = float((spectrum * frequency).sum() / spectrum.sum())
    level = 10 * np.log10(np.maximum((frames**2).mean(axis=1), 1e-8))
    return (
        float(10 * np.log10((wave**2).mean() + 1e-8)),
        float(np.log2(centroid)),
        float(10 * (np.log10(spectrum).mean() - np.log10(spectrum.mean()))),
        float(np.log2(len(wave) / rate)),
        float(level.std()),
    )


# -- measuring many files, once ------------------------------------------------------------------------------------
def _measure(paths, measure, columns: tuple[str, ...], name: str, cache) -> pd.DataFrame:
    kept = None if cache is None else Path(cache) / f"{name}-{_fingerprint(paths, columns)}.parquet"
    if kept is not None and kept.exists():
        return pd.read_parquet(kept)
    rows = np.full((len(paths), len(columns)), np.nan)
    for row, path in enumerate(tqdm(paths, desc=f"measuring {name}", disable=None)):
        if path is None or str(path).endswith(".svg"):  # a drawing that could not be rendered cannot be measured
            continue
        try:
            rows[row] = measure(path)
        except (OSError, RuntimeError, ValueError, SyntaxError) as error:
            raise DataError(f"{path}: cannot be read ({error}); replace the file, or give None for this item") from None
    table = pd.DataFrame(rows, columns=list(columns))
    if kept is not None:
        _write_parquet(table, kept)
    return table


def _fingerprint(paths, columns) -> str:
    digest = hashlib.sha256(repr((_VERSION, columns)).encode())
    for path in paths:
        stat = os.stat(path) if path is not None and Path(path).exists() else None
        digest.update(repr((str(path), stat and (stat.st_size, stat.st_mtime_ns))).encode())
    return digest.hexdigest()[:16]


def _write_parquet(table: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    os.close(handle)
    try:
        table.to_parquet(scratch)
        os.replace(scratch, path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise

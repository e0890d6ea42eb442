"""Assignment 3, encoders: personal things and people, and the public checks."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import lru_cache
from types import SimpleNamespace

import numpy as np
import pandas as pd

from .. import datasets, encoders, evaluation, models, simulation
from ..data import Dataset, Features, Interactions, Media, Split, split
from ..encoders.audio import open_sound, spectra
from ..encoders.image.loading import read
from ..errors import MediaWarning
from .checking import Assignment, Failed, call, close, shown

assignment = Assignment("a3", "Encoders", hours=(5, 6))

N_THINGS, N_PEOPLE = 300, 300
#: Things that students' catalogues are drawn from, with and without a sound: few, so that vectors of one student's
#: pictures are in the cache for the next.
_POOL = (90, 310)
NEIGHBOURS = (5, 10, 20, 50)


# -- personal data ---------------------------------------------------------------------------------------------------
def shop(seed: int) -> Dataset:
    """A small shop: 300 of the stamps, none of whose sentences is said twice, and 300 simulated people."""
    full = datasets.load("stamps", n_users=1)
    attributes = full.extras["audience"].attributes
    seen = full.media.mask("image") & ~full.items["text_en"].duplicated().to_numpy()
    heard = full.media.mask("audio")
    lots = np.random.default_rng(0)
    pool = [lots.permutation(np.flatnonzero(seen & who))[:n] for who, n in zip((heard, ~heard), _POOL, strict=True)]
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(np.concatenate(pool), N_THINGS, replace=False))
    media = Media({m: [full.media[m][i] for i in rows] for m in ("text", "image", "audio")})
    nobody = Interactions([], [], time=[], n_users=0, n_items=N_THINGS)
    data = Dataset(nobody, pd.DataFrame(index=pd.Index([], name="user")), full.items.iloc[rows], media)
    measured = {name: table.iloc[rows].reset_index(drop=True) for name, table in attributes.items()}
    people = simulation.simulate(data, N_PEOPLE, attributes=measured, seed=seed)
    return Dataset(people.interactions, people.users, data.items, media, "stamps", extras={"audience": people})


def vectors(data: Dataset, known: np.ndarray) -> Features:
    """Vectors of sentences (TF-IDF of the known things), pictures (EfficientNet-Lite0) and sounds (log-mel)."""
    text = encoders.create("tfidf", dim=128).fit([data.media["text"][i] for i in known])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MediaWarning)  # a few sounds are silent throughout, and masked
        return encoders.encode(data, {"text": text, "image": "efficientnet-lite0", "audio": "log-mel"})


@assignment.personal
def personal(seed: int) -> dict:
    """Things, people, clicks and ready vectors of one student."""
    data = shop(seed)
    kind = data.items["top_category"]
    label = kind.where(kind.map(kind.value_counts()) >= 12, "other").to_numpy(str)
    order = np.random.default_rng([seed, 1]).permutation(N_THINGS)
    train, valid, test = (np.sort(part) for part in np.split(order, [180, 240]))
    return {
        "data": data,
        "texts": list(data.media["text"]),
        "label": label,
        "train": train,
        "valid": valid,
        "test": test,
        "features": vectors(data, train),
        "split": split(data, "random", seed=0),
    }


# -- checks ----------------------------------------------------------------------------------------------------------
@assignment.task(1, "TF-IDF by hand", points=9, needs=["idf_weights", "tfidf"])
def by_hand(space) -> None:
    """Rarity, counts and lengths on three texts, then the student's own texts against the library."""
    known = ["A red apple.", "A red car."]
    idf = call(space["idf_weights"], known)
    _words(idf, ["red", "appl", "car"], "idf_weights")
    what = 'idf_weights(["A red apple.", "A red car."])'
    rare = 1 + np.log(3 / 2)
    plus = "the 1 in front of the logarithm is missing"
    counts = "both counts of the fraction get one more, (1 + n) / (1 + n_w)"
    close(idf["car"], rare, f'{what}["car"]', wrong={rare - 1: plus, 1 + np.log(2): counts, np.log(2): counts})
    close(idf["red"], 1.0, f'{what}["red"]', wrong={0.0: plus})
    twice = call(space["idf_weights"], ["Red, red, red!", "A car."])
    hint = "n_w counts the texts that hold the word, not how often it stands there"
    close(twice["red"], rare, 'idf_weights(["Red, red, red!", "A car."])["red"]', wrong={1 + np.log(3 / 4): hint})

    given = {"red": 1.0, "appl": rare, "car": rare}
    texts = ["A fast car, a red car.", "An otter."]
    right = np.array([[1, 0, 2 * rare], [0, 0, 0]])
    length = np.linalg.norm(right[0])
    typical = [
        (right, "scale each row to length 1"),
        (_unit([[1, 0, rare], [0, 0, 0]]), "a word that stands twice counts twice"),
        (_unit([[rare, 0, 2 * rare], [0, 0, 0]]), "rarity comes from `idf`, the known texts, not from the new texts"),
        (_unit([[1, 0, 2], [0, 0, 0]]), "multiply the counts by `idf`"),
        (right / right.sum(), "the length is the root of the sum of squares, not the sum"),
    ]
    got = call(space["tfidf"], texts, given)
    close(got, right / length, 'tfidf(["A fast car, a red car.", "An otter."], idf)', typical, atol=1e-6)

    work = space.work
    texts = [work.texts[i] for i in work.train]
    library = encoders.create("tfidf", dim=None).fit(texts)
    idf = call(space["idf_weights"], texts)
    _words(idf, library.words_, "idf_weights of your training texts")
    close([idf[word] for word in library.words_], library.idf_, "idf_weights of your training texts")
    idf = dict(zip(library.words_, library.idf_, strict=True))
    close(call(space["tfidf"], work.texts, idf), library.encode(work.texts), "tfidf of all your texts", atol=1e-6)


@assignment.task(2, "Colours of a cut-out", points=7, needs=["colour_histogram"])
def colours(space) -> None:
    """Four pixels, a picture of which nothing is visible, and pictures of the student's things."""
    function = space["colour_histogram"]
    pixels = np.array([[[255, 0, 0, 255], [255, 0, 0, 255]], [[0, 0, 255, 51], [255, 255, 255, 0]]], np.uint8)
    typical = [
        (_bins({180: 0.5, 5: 0.25, 215: 0.25}), "a pixel counts by its opacity, the fourth number"),
        (_bins({180: 2 / 3, 5: 1 / 3}), "a pixel that is there to one fifth counts one fifth"),
        (_bins({180: 510, 5: 51}), "divide by the sum of the weights, so that the result sums to 1"),
        (_bins({180: 2, 5: 0.2}), "divide by the sum of the weights, so that the result sums to 1"),
        (_bins({180: 2 / 4, 5: 0.2 / 4}), "divide by the sum of the weights, not by the number of pixels"),
        (_bins({0: 1.0}), "bytes overflow: turn the pixels into int before you multiply"),
    ]
    try:
        got = call(function, pixels)
    except Failed as failed:
        more = ". Bytes hold 0 to 255 only: turn the pixels into int before you multiply"
        raise Failed(f"{failed}{more * ('OverflowError' in str(failed))}") from None
    close(got, _bins({180: 510 / 561, 5: 51 / 561}), "colour_histogram of the four pixels", typical)
    nothing = pixels.copy()
    nothing[..., 3] = 0
    got = call(function, nothing)
    close(got, _bins({180: 0.5, 5: 0.25, 215: 0.25}), "colour_histogram of a picture of which nothing is visible")
    paths = [space.work.data.media["image"][i] for i in space.work.test[:5]]
    for path, right in zip(paths, encoders.create("colour-histogram").encode(paths), strict=True):
        picture = np.asarray(read(path, 64).convert("RGBA"))
        close(call(function, picture), right, f"colour_histogram of {path.name}", atol=1e-6)


@assignment.task(3, "A sound", points=9, needs=["log_mel", "sound_vector"])
def sound(space) -> None:
    """Frames, window, power and decibels of a noise, silence within and throughout, and a sound of the student's."""
    rate = 22_050
    filters = spectra.mel_filters(rate, 8)
    wave = np.random.default_rng(0).normal(0, 0.1, 2000)
    right = spectra.log_mel(wave, rate, bands=8)
    got = call(space["log_mel"], wave, filters)
    shape = np.shape(got)
    if shape == (2, 8):
        raise Failed("log_mel of 2,000 samples has 2 frames, expected 3: the last frame is cut off; fill it with zeros")
    if shape == (8, 3):
        raise Failed("log_mel of 2,000 samples has shape (8, 3), expected (3, 8): a row is a frame, a column a band")
    power = 10 ** (right / 10)
    typical = [
        (spectra.spectrogram(wave) @ filters, "go to decibels, 10 log10"),
        (2 * right, "power has 10 log10; 20 would be for amplitudes"),
        (np.log(power), "decibels are 10 log10, not the natural logarithm"),
        (right + 10 * np.log10(np.sum(np.hanning(1025)[:-1]) ** 2 / 4), "the factor 4 / sum(window) ** 2 is missing"),
        (_amplitudes(wave, filters), "the power is the square of the absolute value"),
        (_without_window(wave, filters), "multiply each frame by the Hann window"),
    ]
    close(got, right, "log_mel(noise of 2,000 samples, filters)", typical, atol=0.02)
    paused = np.concatenate([wave, np.zeros(3000)])
    quiet = spectra.log_mel(paused, rate, bands=8)
    close(call(space["log_mel"], paused, filters), quiet, "log_mel of a sound with a pause", atol=0.02)
    short = call(space["log_mel"], wave[:300], filters)
    close(short, spectra.log_mel(wave[:300], rate, bands=8), "log_mel of 300 samples", atol=0.02)

    got = call(space["sound_vector"], np.zeros(5000), filters)
    if got is not None:
        raise Failed(f"sound_vector of a silent wave gives {shown(got)}, expected None: silence is no sound to compare")
    mean, deviation = right.mean(axis=0), right.std(axis=0)
    typical = [
        (np.r_[deviation, mean], "the means come first"),
        (np.r_[mean, right.std(axis=0, ddof=1)], "take std with its default, ddof=0"),
    ]
    got = call(space["sound_vector"], wave, filters)
    close(got, np.r_[mean, deviation], "sound_vector(noise of 2,000 samples, filters)", typical, atol=0.02)
    work = space.work
    heard = int(np.flatnonzero(work.features.mask["audio"])[0])
    got = call(space["sound_vector"], open_sound(work.data.media["audio"][heard]), spectra.mel_filters(rate))
    title = work.data.items["title"].iloc[heard]
    close(got, work.features["audio"][heard], f"sound_vector of {title!r}", rtol=1e-3, atol=0.1)


@assignment.task(4, "From tokens to a sentence", points=5, needs=["mean_pool"])
def pooling(space) -> None:
    """Padding without influence, and a sentence without a token."""
    states = np.array([[[2.0, 0], [4, 6], [99, 99]], [[1, 1], [7, 7], [7, 7]], [[5, 5], [5, 5], [5, 5]]])
    mask = np.array([[True, True, False], [True, False, False], [False, False, False]])
    right = np.array([[3.0, 3], [1, 1], [0, 0]])
    everything = states.mean(axis=1)
    third = np.where(mask[..., None], states, 0).sum(axis=1) / 3
    typical = [
        (everything, "the mean runs over the padding as well; only real tokens count"),
        (third, "divide by the number of real tokens, not by the number of places"),
        (states[:, 0], "this is the first token; take the mean of the real ones"),
    ]
    close(call(space["mean_pool"], states.copy(), mask.copy()), right, "mean_pool of three sentences", typical)
    broken = np.where(mask[..., None], states, np.nan)
    got = np.asarray(call(space["mean_pool"], broken, mask.copy()), float)
    if np.isnan(got).any():
        raise Failed("mean_pool gives nan where the padding holds nan: 0 times nan is nan, use np.where, not a product")
    close(got, right, "mean_pool with nan in the padding")


@assignment.task(5, "Search", points=8, needs=["search", "recall_at_k"])
def searching(space) -> None:
    """Cosine and not the scalar product, absent items, recall by hand."""
    queries, items = np.array([[3.0, 4]]), np.array([[30.0, 0], [0, 1], [0, 0]])
    has = np.array([True, True, False])
    typical = [
        ([[0, 1]], "this is the order of the scalar product; divide by both lengths"),
        ([1, 0], "one row for each query"),
    ]
    close(call(space["search"], queries, items, has, k=2), [[1, 0]], "search((3, 4), items, has, k=2)", typical)
    turned = call(space["search"], -queries, items, has, k=2)
    hint = "an item without a vector must never be found, though its row of zeros has the cosine 0"
    close(turned, [[0, 1]], "search((-3, -4), items, has, k=2)", [([[2, 0]], hint), ([[1, 0]], "best first")])
    rng = np.random.default_rng(1)
    queries, items, has = rng.normal(size=(7, 4)), rng.normal(size=(30, 4)), np.arange(30) % 3 > 0
    items *= rng.uniform(0.1, 10, (30, 1))
    cosine = np.where(has, _unit(queries) @ _unit(items).T, -np.inf)
    got = call(space["search"], queries, np.where(has[:, None], items, 0), has, k=5)
    close(got, np.argsort(-cosine, axis=1)[:, :5], "search of 7 queries among 30 items")

    found, own = np.array([[1, 0], [2, 0]]), np.array([0, 2])
    function = space["recall_at_k"]
    hint = "only the first k of `found` count"
    close(call(function, found, own, k=1), 0.5, "recall_at_k([[1, 0], [2, 0]], [0, 2], k=1)", {1.0: hint})
    hint = "each query has one item of its own: do not divide by k"
    close(call(function, found, own, k=2), 1.0, "recall_at_k([[1, 0], [2, 0]], [0, 2], k=2)", {0.5: hint, 2: hint})


@assignment.task(6, "A linear probe", points=11, needs=["standardise", "probe"])
def probing(space) -> None:
    """A scaler and a penalty that never saw the test rows."""
    X = np.array([[1.0, 5, 0], [3, 5, 2], [100, 6, 4], [50, 7, 4]])
    right = np.array([[-1.0, 0, -1], [1, 0, 1], [98, 1, 3], [48, 2, 3]])
    scaled = X / np.array([np.sqrt(2), 1, np.sqrt(2)])
    typical = [
        ((X - X.mean(0)) / X.std(0), "all rows decided on mean and deviation; only the rows `train` may"),
        (scaled - scaled[:2].mean(0), "take std with its default, ddof=0"),
    ]
    close(call(space["standardise"], X.copy(), np.array([0, 1])), right, "standardise(X, train=[0, 1])", typical)

    (X, y, parts, penalties), (expected, by_test, by_train, leaky) = puzzle(14)
    got = call(space["probe"], X.copy(), y.copy(), *parts, penalties)
    _keys(got, ("C", "accuracy", "right"), "probe")
    mistakes = {
        "the penalty was chosen by the test rows; choose it by `valid`": by_test,
        "the penalty was chosen by the training rows; choose it by `valid`": by_train,
        "the scaler has seen all rows; give `standardise` the training rows": leaky,
    }
    for hint, typical in mistakes.items():
        if (got["C"], round(float(got["accuracy"]), 6)) == (typical["C"], round(typical["accuracy"], 6)):
            raise Failed(f"probe on made-up data: C = {got['C']} with accuracy {got['accuracy']:.3f}: {hint}")
    close(got["C"], expected["C"], 'probe(...)["C"] on made-up data')
    close(got["accuracy"], expected["accuracy"], 'probe(...)["accuracy"] on made-up data')
    close(got["right"], expected["right"], 'probe(...)["right"] on made-up data')

    work, penalties = space.work, (0.01, 0.1)
    X, parts = work.features["text"][:, :24], (work.train, work.valid, work.test)
    got = call(space["probe"], X, work.label, *parts, penalties)
    expected = fitted(X, work.label, *parts, penalties)
    one = 1.01 / len(work.test)  # a rounding error may turn one thing round
    close(got["accuracy"], expected["accuracy"], 'probe(...)["accuracy"] on your sentences', atol=one)


@assignment.task(7, "A loss that brings partners together", points=8, needs=["info_nce"])
def contrast(space) -> None:
    """Two pairs by hand, lengths, the temperature, and numbers that are too large."""
    function, same = space["info_nce"], np.eye(2)
    right = np.log(1 + np.exp(-1))
    typical = {
        -right: "a loss has a minus in front of the logarithm",
        2 * right: "the mean over all 2n terms, not the sum of both directions",
        4 * right: "the mean over all 2n terms, not the sum",
    }
    close(call(function, same, same, 1.0), right, "info_nce of the unit vectors with themselves", typical)
    one = np.array([[1.0, 0], [1, 0]])
    rows, columns = np.log(2), (right + right + 1) / 2
    typical = {rows: "one direction only: rows choose among columns", columns: "one direction only: columns"}
    close(call(function, same, one, 1.0), (rows + columns) / 2, "info_nce where both rows of V are (1, 0)", typical)
    long = np.array([[3.0, 0], [0, 5]])
    raw = np.log1p(np.exp(-np.array([3.0, 5]))).mean()
    got = call(function, long, same, 1.0)
    close(got, right, "info_nce of longer vectors", {raw: "scale all rows to length 1 first"})
    warm = np.log1p(np.exp(-2))
    typical = {np.log1p(np.exp(-0.5)): "divide by the temperature, do not multiply", right: "use the temperature"}
    close(call(function, same, same, 0.5), warm, "info_nce at temperature 0.5", typical)
    with np.errstate(all="ignore"):
        got = call(function, same, one, 0.001)
    hint = "e to a large number overflows: subtract the largest entry before you take the exponential"
    if not np.isfinite(np.asarray(got, float)).all():
        raise Failed(f"info_nce at temperature 0.001 gives {shown(got)}: {hint}")
    close(got, (np.log(2) + 500) / 2, "info_nce at temperature 0.001", atol=0.5)


@assignment.task(8, "Absent is not zero", points=8, needs=["scale_present", "similarity"])
def absent(space) -> None:
    """Means over what is there, cosines over what two things share."""
    loud = np.array([[4.0, 1], [0, 0], [0, 0], [2, 1]])
    has = np.array([True, False, False, True])
    right = np.array([[1.0, 0], [0, 0], [0, 0], [-1, 0]])
    everything = (loud - loud.mean(0)) / loud.std(0)
    typical = [
        (everything, "zeros were counted as measurements; mean and deviation over the rows that have one"),
        (np.where(has[:, None], everything, 0), "mean and deviation over the rows that have one"),
        (loud - np.array([3.0, 1]), "rows without a vector stay exactly 0"),
    ]
    close(call(space["scale_present"], loud.copy(), has.copy()), right, "scale_present(loudness, has)", typical)
    text = np.array([[1.0, 0], [0.8, 0.6], [0, 2], [0, 0]])
    audio = np.array([[5.0, 0], [0.2, np.sqrt(0.96)], [0, 0], [1, 1]])
    given = {"text": text, "audio": audio}
    has = {"text": np.array([True, True, True, False]), "audio": np.array([True, True, False, True])}
    total = _unit(text) @ _unit(text).T + _unit(audio) @ _unit(audio).T
    shared = sum(np.outer(mask, mask) for mask in has.values())
    right = total / np.maximum(shared, 1)
    typical = [
        (total / 2, "divide by the number of modalities that both have, not by the number of all"),
        (total, "the mean of the cosines, not their sum"),
        (
            _unit(np.hstack([text, audio])) @ _unit(np.hstack([text, audio])).T,
            "a cosine for each modality, then a mean",
        ),
    ]
    copies = {m: x.copy() for m, x in given.items()}, {m: x.copy() for m, x in has.items()}
    close(call(space["similarity"], *copies), right, "similarity of four things", typical, atol=1e-6)
    work = space.work
    audio = np.asarray(call(space["scale_present"], work.features["audio"], work.features.mask["audio"]), float)
    there = audio[work.features.mask["audio"]]
    close(there.mean(), 0.0, "the mean of your sounds, scaled", atol=1e-4)


@assignment.task(9, "The interval of a difference", points=6, needs=["paired_interval"])
def interval(space) -> None:
    """People who differ widely and agree on the difference, and 400 people against the normal formula."""
    function = space["paired_interval"]
    got = call(function, np.array([0.2, 0.6, 1.0]), np.array([0.1, 0.5, 0.9]))
    if np.shape(got) != (3,):
        raise Failed(f"paired_interval gives {shown(got)}; expected three numbers: difference, low, high")
    difference, low, high = (float(x) for x in got)
    close(difference, 0.1, "the difference of three people who all gain 0.1", {-0.1: "a minus b"})
    if high - low > 1e-6:
        raise Failed(
            f"the interval of three people who all gain 0.1 is [{low:.3g}, {high:.3g}], expected [0.1, 0.1]: "
            "a and b were drawn apart; draw people, and take both scores of each"
        )
    rng = np.random.default_rng(2)
    a = rng.beta(1, 6, 400)
    b = np.clip(a + rng.normal(-0.01, 0.05, 400), 0, 1)
    d = a - b
    first, again = (np.asarray(call(function, a, b, n_boot=2000, seed=3), float) for _ in range(2))
    if not np.array_equal(first, again):
        raise Failed("the same seed gives two intervals: draw with np.random.default_rng(seed), made anew in each call")
    close(first[0], d.mean(), "the difference of 400 people")
    width, right = first[2] - first[1], 2 * 1.96 * d.std() / np.sqrt(400)
    for typical, hint in {
        2 * 1.645 * d.std() / 20: "this is an interval of 90 %; take the quantiles 0.025 and 0.975",
        2 * 1.96 * d.std(): "these are quantiles of the people's differences; take those of the bootstrap means",
        2 * d.std() / 20: "this is one standard error to either side; take the quantiles 0.025 and 0.975",
    }.items():
        if abs(width / typical - 1) < 0.08:
            raise Failed(f"the interval of 400 people is {width:.4f} wide, expected about {right:.4f}: {hint}")
    close(width, right, "the width of the interval of 400 people", rtol=0.1)
    close(first[1], d.mean() - right / 2, "the lower end of the interval of 400 people", rtol=0, atol=0.1 * right)


@assignment.task(10, "Which encoder serves your people?", points=8, needs=["compare_encoders"])
def encoders_compared(space) -> None:
    """The student's own comparison, and one on clicks for which validation and test prefer different settings."""
    for work, whose in ((space.work, "your data"), (opposed(space.work), "clicks that were dealt out differently")):
        got = call(space["compare_encoders"], work)
        _keys(got, ("k", "text", "image", "difference", "ci_low", "ci_high"), "compare_encoders")
        _keys(got["k"], ("text", "image"), 'compare_encoders(...)["k"]')
        right, by_test = compared(work), compared(work, choose="test")
        for m in ("text", "image"):
            hint = {}
            if by_test["k"][m] != right["k"][m]:
                hint = {by_test["k"][m]: "this k was chosen on the test part; choose it on `valid`"}
            close(got["k"][m], right["k"][m], f'compare_encoders(work)["k"]["{m}"] on {whose}', hint)
        for name in ("text", "image", "difference"):
            hint = {-right[name]: "image minus text"} if name == "difference" else {}
            close(got[name], right[name], f'compare_encoders(work)["{name}"] on {whose}', hint, atol=2e-4)
        for name in ("ci_low", "ci_high"):
            what = f'compare_encoders(work)["{name}"] on {whose}'
            close(got[name], right[name], what, rtol=0, atol=0.12 * (right["ci_high"] - right["ci_low"]))


# -- what the checks (and the hidden tests) compare with -------------------------------------------------------------
@lru_cache(maxsize=8)
def puzzle(seed: int):
    """Made-up data of a probe: validation, test and training prefer different penalties, and test rows lie apart.

    Returns (vectors, labels, the three parts, the penalties to try) and what four ways of fitting give: the right one,
    the penalty chosen on test, chosen on training rows, and a scaler of all rows.
    """
    penalties = (0.0001, 0.003, 0.1, 10.0)
    for draw in range(200):
        rng = np.random.default_rng([seed, draw])
        y = rng.integers(0, 3, 120)
        X = rng.normal(size=(120, 25))
        X[:, :3] += 0.8 * np.eye(3)[y]
        X[:, 3:6] *= 20
        parts = np.split(rng.permutation(120), [50, 85])
        X[parts[2], 6:12] += 4
        found = [fitted(X, y, *parts, penalties, choose=k) for k in (1, 2, 0)]
        found.append(fitted(X, y, *parts, penalties, scale=np.arange(120)))
        told = {(one["C"], round(one["accuracy"], 6)) for one in found}
        if len(told) == len(found) and len({one["accuracy"] for one in found}) == len(found):
            return (X, y, parts, penalties), found
    raise AssertionError("no data were found on which the mistakes differ")


def fitted(X, y, train, valid, test, penalties, choose: int = 1, scale=None) -> dict:
    """A probe; ``choose`` names the part that chooses (0, 1, 2), ``scale`` the rows of the scaler: the mistakes."""
    from sklearn.linear_model import LogisticRegression

    seen = X[train if scale is None else scale]
    deviation = seen.std(axis=0)
    X = (X - seen.mean(axis=0)) / np.where(deviation > 1e-8, deviation, 1)
    tried = {C: LogisticRegression(C=C, max_iter=1000).fit(X[train], y[train]) for C in penalties}
    rows = (train, valid, test)[choose]
    best = max(tried, key=lambda C: tried[C].score(X[rows], y[rows]))
    right = tried[best].predict(X[test]) == y[test]
    return {"C": best, "accuracy": float(right.mean()), "right": right}


def judged(work, modality: str, k: int, part: str):
    """Report of content neighbours on one modality; kept with the work, since every check asks for it."""
    kept = work.__dict__.setdefault("_judged", {})
    if (modality, k, part) not in kept:
        kept[modality, k, part] = _judge(work, modality, k, part)
    return kept[modality, k, part]


def _judge(work, modality: str, k: int, part: str):
    model = models.create("contentknn", k=k).fit(work.split.train, features=work.features.only(modality))
    return evaluation.evaluate(model, getattr(work.split, part), train=work.split.train, metrics="ndcg", ks=20)


def compared(work, choose: str = "valid") -> dict:
    """What ``compare_encoders`` returns; ``choose="test"`` is the mistake."""
    k = {m: max(NEIGHBOURS, key=lambda k: judged(work, m, k, choose)["ndcg@20"]) for m in ("text", "image")}
    reports = {m: judged(work, m, k[m], "test") for m in k}
    row = evaluation.compare(reports["image"], reports["text"], "ndcg@20").loc["ndcg@20"]
    scores = {m: report["ndcg@20"] for m, report in reports.items()}
    return {"k": k, **scores, **{name: float(row[name]) for name in ("difference", "ci_low", "ci_high")}}


def opposed(work) -> SimpleNamespace:
    """The same shop with held-out clicks dealt out so that validation likes few neighbours and the test part many."""
    kept = work.__dict__
    if "_opposed" not in kept:
        kept["_opposed"] = _oppose(work)
    return kept["_opposed"]


def _oppose(work) -> SimpleNamespace:
    held = Interactions.concat([work.split.valid, work.split.test])
    both = SimpleNamespace(features=work.features, split=Split(work.split.train, held, held, how="random"))
    few, many = (judged(both, "image", k, "test").per_user["ndcg@20"] for k in (NEIGHBOURS[0], NEIGHBOURS[-1]))
    gain = (few - many).reindex(np.arange(work.data.n_users)).fillna(0).to_numpy()
    middle = np.median(gain[np.unique(held.user)])
    early = gain[held.user] > middle
    parts = Split(work.split.train, held.select(early), held.select(~early), how="random")
    return SimpleNamespace(features=work.features, split=parts, data=work.data)


# -- small helpers ---------------------------------------------------------------------------------------------------
def _unit(x) -> np.ndarray:
    x = np.asarray(x, float)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def _bins(shares: dict[int, float]) -> np.ndarray:
    found = np.zeros(216)
    found[list(shares)] = list(shares.values())
    return found


def _frames(wave) -> np.ndarray:
    padded = np.pad(wave, (0, 2048 - len(wave)))
    return np.stack([padded[start : start + 1024] for start in (0, 512, 1024)])


def _amplitudes(wave, filters) -> np.ndarray:
    weight = np.hanning(1025)[:-1]
    found = np.abs(np.fft.rfft(_frames(wave) * weight)) * 4 / weight.sum() ** 2
    return 10 * np.log10(np.maximum(found @ filters, 1e-8))


def _without_window(wave, filters) -> np.ndarray:
    found = np.abs(np.fft.rfft(_frames(wave))) ** 2 * 4 / np.hanning(1025)[:-1].sum() ** 2
    return 10 * np.log10(np.maximum(found @ filters, 1e-8))


def _words(idf, words, what: str) -> None:
    if not isinstance(idf, Mapping):
        raise Failed(f"{what} gives {shown(idf)}; expected a dictionary from word to number")
    close({str(word) for word in idf}, set(words), f"the words of {what}")


def _keys(got, names, what: str) -> None:
    if not isinstance(got, Mapping) or any(name not in got for name in names):
        raise Failed(f"{what} gives {shown(got)}; expected a dictionary with {', '.join(map(repr, names))}")

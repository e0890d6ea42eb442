"""Open Bandit Dataset (Saito et al., NeurIPS 2021 datasets and benchmarks): what a fashion shop showed, with what
probability, and what was clicked; the sample of it that the package ``obp`` carries."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..checks import one_of
from ..errors import DataError
from . import download

_WHEEL = "obp-0.4.1-py3-none-any.whl"
_WHEEL_SHA256 = "87dec9caf4283c25ab13036532e0a24566f1c7bdcad1653a8ded43b2f5ef8208"
_WHEEL_FOLDER = "obp/dataset/obd"
CAMPAIGNS, POLICIES = ("all", "men", "women"), ("random", "bts")
_FILES = {  # file of the log and of the items' columns to their SHA-256
    ("random", "all"): ("7168295b6e0a9eabcf3392320a5dd434e542b68e705d5cd9491499af589812f1",
                        "eba04cc23d5f130a93ff174c5392986882b94c3839433cb8143870eaa6221358"),
    ("random", "men"): ("ede6d08c6877f99cd3770f7d09e26c738e6aa6de4445ccccfb1356ba5d06b1eb",
                        "6d855c2b7e917d0448d71bbe62c023147495882c0fdc8c41e86fef86abf9fe09"),
    ("random", "women"): ("e65f3bd3beb17664fa69cc129bf7bf852a775f8ffa630506e505fc905315bb34",
                          "b1ca4905f97703d196004f2ad4552c1e90c2afad8b50688d333b0d2dc0b33147"),
    ("bts", "all"): ("0ad874e4dbf6902f0845dd478ad8dde5ef6903583d3ffaace78411bdad064106",
                     "5d4359ba1cfa3ae88f0f1bae66bd633859fe6323817183632ee57b83539d9153"),
    ("bts", "men"): ("db6d1f7ed2d591ba521533e45286d4c1fba7fe57a8ad2e80342210335f43c527",
                     "3b411ed6b0471316321a6b93f4f756bb25888eac6218cd71d0b603d41d85732d"),
    ("bts", "women"): ("e5d1b49a39b608585a2f3014a3f54970430cd37a495c1b73fceb85cdf428a5b8",
                       "a56295bad066a558eb783055afd9279f5f4e209a4776eafc22151c53f0ac89d4"),
}  # fmt: skip


def load_open_bandit(policy: str = "random", campaign: str = "all") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ten thousand rows of a log with propensities, for :class:`~mmrec_lib.evaluation.LoggedFeedback`.

    ``LoggedFeedback.from_table(log, user=None, context=[...])`` reads the first table as it is. The first time the
    package file ``obp==0.4.1`` is obtained with pip and checked (not installed), then the cache is read.

    Parameters
    ----------
    policy : {"random", "bts"}, default "random"
        Who chose: nobody (every item with the same probability), or Bernoulli Thompson sampling.
    campaign : {"all", "men", "women"}, default "all"
        Two policies ran in each of three campaigns, at the same time, on visitors assigned at random.

    Returns
    -------
    log : DataFrame
        One row for each item shown, in the order of time: time (UTC), item (code), position (1 to 3), click (0 or 1),
        propensity (of this item at this place), user_feature_0 to user_feature_3 (hashed, strings), affinity_0 and
        further, one an item (how often this visitor clicked on it before).
    items : DataFrame
        One row an item (80, 34 or 46): item_feature_0 (a number), item_feature_1 to item_feature_3 (hashed, strings).

    Raises
    ------
    ParameterError, DownloadError
    """
    one_of("policy", policy, POLICIES)
    one_of("campaign", campaign, CAMPAIGNS)
    folder = download.cache_dir() / "open-bandit" / policy / campaign
    _obtain(folder, policy, campaign)
    return _read(folder)


def _obtain(folder: Path, policy: str, campaign: str) -> None:
    wanted = dict(zip(("log.csv", "items.csv"), _FILES[policy, campaign], strict=True))

    def complete() -> bool:
        return all(download.is_intact(folder / name, sha256) for name, sha256 in wanted.items())

    if complete():
        return
    with download.locked(folder):
        if not complete():  # nobody was quicker
            # the wheel (1.3 MB) stays, since the other campaigns are in it as well
            wheel = download.fetch_from_pip("obp==0.4.1", _WHEEL, _WHEEL_SHA256, folder.parents[1])
            inside = f"{_WHEEL_FOLDER}/{policy}/{campaign}"
            members = {f"{inside}/{campaign}.csv": "log.csv", f"{inside}/item_context.csv": "items.csv"}
            download.extract(wheel, members, folder)


def _read(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    log = pd.read_csv(folder / "log.csv", index_col=0)
    items = pd.read_csv(folder / "items.csv", index_col=0).set_index("item_id").rename_axis("item")
    names = {"timestamp": "time", "item_id": "item", "propensity_score": "propensity"}
    missing = [c for c in (*names, "position", "click") if c not in log]
    if missing:
        raise DataError(f"{folder / 'log.csv'} lacks the column {missing[0]}: delete the folder and load again")
    log = log.rename(columns=lambda c: names.get(c, c.replace("user-item_affinity", "affinity")))
    return log.assign(time=pd.to_datetime(log["time"], format="ISO8601", utc=True)), items

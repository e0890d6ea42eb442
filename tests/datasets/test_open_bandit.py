"""Open Bandit sample: the real files."""

import numpy as np
import pandas as pd
import pytest

import mmrec_lib as mm
from mmrec_lib.datasets import download, open_bandit
from mmrec_lib.errors import DataError, DownloadError, ParameterError

SIZES = {"all": 80, "men": 34, "women": 46}


@pytest.mark.parametrize("campaign", open_bandit.CAMPAIGNS)
@pytest.mark.parametrize("policy", open_bandit.POLICIES)
def test_logs_are_what_the_card_says(policy, campaign):
    log, items = mm.datasets.load_open_bandit(policy, campaign)
    n = SIZES[campaign]
    assert len(log) == 10_000
    assert list(log)[:5] == ["time", "item", "position", "click", "propensity"]
    assert list(items.index) == list(range(n))
    assert list(log["item"].sort_values().unique()) == list(range(n))
    assert set(log["position"]) == {1, 2, 3}
    assert set(log["click"]) == {0, 1}
    assert [c for c in log if c.startswith("affinity_")] == [f"affinity_{i}" for i in range(n)]
    assert log["time"].is_monotonic_increasing
    assert log["time"].dt.date.astype(str).unique().tolist() == [f"2019-11-{day}" for day in range(24, 31)]
    if policy == "random":
        np.testing.assert_allclose(log["propensity"], 1 / n)


def test_the_log_can_be_judged_as_it_is():
    log, items = mm.datasets.load_open_bandit("random", "men")
    logged = mm.evaluation.LoggedFeedback.from_table(log, user=None, context=["user_feature_0"], n_actions=len(items))
    even = np.full(34, 1 / 34)
    table = mm.evaluation.off_policy_value(logged, even, ["ips", "snips"], n_boot=0)
    np.testing.assert_allclose(table["mean"], log["click"].mean())  # the policy that was logged


def test_unknown_names():
    with pytest.raises(ParameterError, match="policy='thompson'"):
        mm.datasets.load_open_bandit("thompson")
    with pytest.raises(ParameterError, match="campaign='children'"):
        mm.datasets.load_open_bandit("random", "children")


def test_another_file_is_not_believed(tmp_path, monkeypatch):
    monkeypatch.setenv("MMREC_CACHE", str(tmp_path))

    def refuse(*args):
        raise DownloadError("pip download obp==0.4.1 failed")

    monkeypatch.setattr(download, "fetch_from_pip", refuse)
    folder = tmp_path / "open-bandit" / "bts" / "men"
    folder.mkdir(parents=True)
    (folder / "log.csv").write_text(",timestamp,item_id\n0,2019-11-24,3\n")
    with pytest.raises(DownloadError, match="obp"):
        mm.datasets.load_open_bandit("bts", "men")


def test_a_log_without_propensities(tmp_path):
    pd.DataFrame({"timestamp": ["2019-11-24"], "item_id": [0], "position": [1], "click": [0]}).to_csv(
        tmp_path / "log.csv"
    )
    pd.DataFrame({"item_id": [0], "item_feature_0": [0.5]}).to_csv(tmp_path / "items.csv")
    with pytest.raises(DataError, match="propensity_score"):
        open_bandit._read(tmp_path)

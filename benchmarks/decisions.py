"""Two figures of part 6 that are no accuracy: how long re-ranking takes, and how often an interval holds the truth.

    python benchmarks/decisions.py

A determinantal point process (fast greedy) over 200 candidates for each of 1,000 people; and doubly robust estimates of
a policy's value from 100 simulated logs, with a reward model that is fitted on each log anew (cross-fitted).
"""

from __future__ import annotations

import time

import numpy as np

import mmrec_lib as mm
from mmrec_lib.evaluation import LoggedFeedback, cross_fitted_rewards, off_policy_value, rerank
from mmrec_lib.simulation.logging_policy import list_probabilities


def reranking(users: int = 1000, items: int = 2000, candidates: int = 200, k: int = 20, rounds: int = 5) -> list[float]:
    """Seconds of each round, the first, which loads torch, left out."""
    rng = np.random.default_rng(0)
    scores = rng.random((users, items), np.float32)
    features = mm.data.Features({"content": rng.normal(size=(items, 64))})
    seconds = []
    for _ in range(rounds + 1):
        begin = time.perf_counter()
        rerank(scores, np.arange(users), "dpp", k, candidates, 0.7, features)
        seconds.append(time.perf_counter() - begin)
    return seconds[1:]


def doubly_robust(logs: int = 100, rows: int = 300, people: int = 40, actions: int = 5) -> int:
    """In how many logs the 95 % interval holds the value that the simulation knows."""
    rng = np.random.default_rng(0)
    context = rng.standard_normal((people, 3))
    taste = context @ rng.standard_normal((3, actions))
    rewards = 1 / (1 + np.exp(1 - taste))
    logging = list_probabilities(0.7 * rng.standard_normal((people, actions)), 1)
    target = list_probabilities(taste, 1)
    value, held = (target * rewards).sum(axis=1).mean(), 0
    for log in range(logs):
        user = rng.integers(people, size=rows)
        action = (logging[user].cumsum(axis=1) < rng.random((rows, 1))).sum(axis=1)
        reward = rng.random(rows) < rewards[user, action]
        logged = LoggedFeedback(
            action, reward, logging[user, action], context=context[user], n_actions=actions
        )  # each row a visit of its own
        model = cross_fitted_rewards(logged, model="ridge", alpha=10, seed=log)
        row = off_policy_value(logged, target[user], "dr", reward_model=model, n_boot=200, seed=log).iloc[0]
        held += row["ci_low"] <= value <= row["ci_high"]
    return int(held)


def main() -> None:
    """Print both."""
    seconds = reranking()
    print(f"DPP, 1,000 people, 200 candidates, lists of 20: {min(seconds):.2f} to {max(seconds):.2f} s")
    print(f"doubly robust: the interval holds the truth in {doubly_robust()} of 100 logs")


if __name__ == "__main__":
    main()

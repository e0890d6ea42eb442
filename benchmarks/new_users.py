"""What can be done for people without a history? Questions, fold-in, bandits, transfer and demographics.

    python benchmarks/new_users.py [--people 3000] [--only interviews histories bandits transfer demographics]

The stamps with their simulated audience, people held out whole (60 % train, 15 % validation, 25 % test). Questions are
asked about one random half of the things and lists are made of the other half, so that asking cannot use up what is to
be found. Everything that is chosen (settings of interviewers and policies) is chosen on validation people. Demographics
are those of ml-100k. Writes ``results/new_users.json``; ``report.py`` makes the page of it.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when numpy and torch load

import argparse
from functools import cached_property

import common
import numpy as np
import pandas as pd

import mmrec_lib as mm
from mmrec_lib import newcomers
from mmrec_lib.data import Features
from mmrec_lib.evaluation import compare, evaluate

METRIC = "ndcg@20"
KNOWN = 20  # interactions that the interviews are measured against
PARTS = ("interviews", "histories", "bandits", "transfer", "demographics")


class World:
    """The audience, its division, and what is known of held-out people."""

    def __init__(self, people: int) -> None:
        self.data = mm.datasets.load("stamps", n_users=people)
        self.audience = self.data.extras["audience"]
        self.features = mm.encoders.encode(self.data, common.ENCODERS)
        self.split = mm.data.split(self.data, "cold-users", (0.6, 0.15, 0.25), seed=0)
        half = np.random.default_rng(0).permutation(self.data.n_items)
        self.pool, self.ranked = np.sort(half[: len(half) // 2]), np.sort(half[len(half) // 2 :])
        self.configs = common.read_configs("stamps")
        self.ask = newcomers.ask_audience(self.audience, seed=0)

    def fit(self, name: str, features: Features | None = None, train=None, **params):
        params = self.configs.get(name, {}) | params
        return mm.models.create(name, **params).fit(train or self.split.train, features=features or self.features)

    @cached_property
    def shuffled(self) -> Features:
        order = np.random.default_rng(0).permutation(self.data.n_items)
        return Features(
            {m: self.features[m][order] for m in self.features},
            {m: self.features.mask[m][order] for m in self.features},
        )

    def held_out(self, part: str, least: int = 5):
        """What 20 interactions tell, and the things of the ranked half among the rest."""
        known, rest = newcomers.reveal(getattr(self.split, part), KNOWN, least)
        return known, rest.select(np.isin(rest.item, self.ranked))


def judge(model, test, known=None, candidates=None, n_boot: int = 1000):
    return evaluate(model, test, train=known, metrics="ndcg", ks=20, candidates=candidates, n_boot=n_boot)


# -- interviews -------------------------------------------------------------------------------------------------------


def interviewers(world: World) -> dict[str, list]:
    """Name to the variants among which validation chooses."""
    train, pool = world.split.train, world.pool
    als = world.fit("als")
    plain = newcomers.GaussianQuestions().fit(train)
    lists = {how: newcomers.choose_questions(train, 60, how, pool) for how in newcomers.QUESTION_LISTS}
    fixed = {f"list: {how}": [newcomers.FixedQuestions(items, r) for r in (als, plain)] for how, items in lists.items()}
    trees = [newcomers.QuestionTree(5, least, s).fit(train, pool) for least in (10, 20, 40) for s in (5.0, 20.0)]
    aims = {
        f"adaptive: {aim}": [
            newcomers.GaussianQuestions(aim, noise, content).fit(train, world.features, pool)
            for noise in (0.02, 0.05)
            for content in (0.0, 1.0)
        ]
        for aim in ("reduction", "prospects")
    }
    return fixed | {"adaptive: tree": trees} | aims


def interviews(world: World) -> dict:
    """NDCG after five questions, of one thing and of twelve, and the share of the gap to 20 interactions closed."""
    als, found = world.fit("als"), {}
    known, test = world.held_out("test")
    before = judge(world.fit("popularity"), test, None, world.ranked)
    after = judge(newcomers.FoldedIn(als, known), test, known, world.ranked)
    oracle = judge(world.audience.oracle, test, known, world.ranked)
    rows = {"popularity": before, "20 interactions": after, "oracle": oracle}
    found["references"] = {name: common.one_line(report, METRIC) for name, report in rows.items()}
    valid = world.held_out("valid")[1]
    choice = interviewers(world)
    for screen in (1, 12):
        for name, variants in choice.items():
            if screen > 1 and name == "adaptive: tree":
                continue
            best = max(
                variants, key=lambda v, s=screen: judge(asked(world, v, valid, s), valid, None, world.ranked)[METRIC]
            )
            talk = asked(world, best, test, screen)
            report = judge(talk, test, None, world.ranked)
            row = common.one_line(report, METRIC) | {"share": share_closed(before, report, after)}
            found.setdefault(str(screen), {})[name] = row | {"yes": talk.yes_rate().tolist(), "chosen": describe(best)}
            print(screen, name, row, flush=True)
    static = max((n for n in choice if n.startswith("list")), key=lambda n: found["12"][n]["mean"])
    return found | {"best_list": static}


def asked(world: World, interviewer, test, screen: int):
    return newcomers.interview(interviewer, world.ask, np.unique(test.user), 5, screen)


def describe(interviewer) -> str:
    if isinstance(interviewer, newcomers.FixedQuestions):
        return f"read by {interviewer.reader.name}"
    names = ("depth", "min_people", "smoothing", "noise", "content")
    return ", ".join(f"{n} {getattr(interviewer, n):g}" for n in names if hasattr(interviewer, n))


def share_closed(before, report, after) -> dict:
    row = newcomers.gap_closed(before, report, after, METRIC)
    return {"mean": row["mean"], "low": row["ci_low"], "high": row["ci_high"]}


# -- the first clicks -------------------------------------------------------------------------------------------------


def histories(world: World) -> dict:
    """NDCG after 1 to 20 clicks, of models that fold them in; meta-learning with true and with shuffled content."""
    ridge = {"parts": {"contentprofile": {"l2": 10_000.0}, "popularity": {}}}
    models = {
        "itemknn": world.fit("itemknn"),
        "ease": world.fit("ease"),
        "als": world.fit("als"),
        "sideease": world.fit("sideease"),
        "contentprofile": world.fit("contentprofile"),
        "ridge and popularity": world.fit("hybrid", **ridge),
        "melu": world.fit("melu", **MELU),
        "fomaml": world.fit("fomaml", **FOMAML),
        "ridge and popularity, shuffled": world.fit("hybrid", world.shuffled, **ridge),
        "melu, shuffled": world.fit("melu", world.shuffled, **MELU),
    }
    part = world.split.test
    known, test = newcomers.reveal(part, KNOWN, 5)
    rows, reports = {}, {}
    for k in (1, 2, 5, 10, 20):
        few = newcomers.reveal(part, k, 5 + KNOWN - k)[0]
        for name, model in models.items():
            reports[name, k] = judge(newcomers.FoldedIn(model, few), test, known)
            rows.setdefault(name, {})[k] = common.one_line(reports[name, k], METRIC)
        print(k, {name: round(row[k]["mean"], 3) for name, row in rows.items()}, flush=True)
    rows["popularity"] = {0: common.one_line(judge(world.fit("popularity"), test, known), METRIC)}
    pairs = [("melu", "ridge and popularity"), ("melu", "als"), ("melu", "melu, shuffled"), ("melu", "fomaml")]
    tests = {f"{a} - {b}": {k: difference(reports[a, k], reports[b, k]) for k in (1, 5, 20)} for a, b in pairs}
    return {"rows": rows, "tests": tests}


#: Chosen on validation people among a few.
MELU = {"hidden": 64, "epochs": 20}
FOMAML = {"epochs": 15, "learning_rate": 0.01, "components": 32, "local_rate": 0.3}


def difference(a, b) -> dict:
    row = compare(a, b, METRIC, test="t").iloc[0]
    return {"difference": row["difference"], "ci_low": row["ci_low"], "ci_high": row["ci_high"]}


# -- bandits ----------------------------------------------------------------------------------------------------------


def bandits(world: World, rounds: int = 100, n_arms: int = 200, components: int = 16) -> dict:
    """Regret of policies that begin with nothing; their settings are chosen on validation people."""
    shelf = np.sort(np.random.default_rng(1).choice(world.data.n_items, n_arms, replace=False))
    factors = mm.models.create("als", **world.configs["als"] | {"dim": components}).fit(world.split.train).item_factors_
    contexts = {
        "content": newcomers.bandits.arm_contexts(world.features, shelf, components),
        "noise": np.column_stack([np.random.default_rng(0).normal(size=(n_arms, components)), np.ones(n_arms)]),
        "vectors of ALS": np.column_stack([standard(factors[shelf]), np.ones(n_arms)]),
    }
    arms = {
        part: newcomers.audience_arms(world.audience, np.unique(getattr(world.split, part).user), shelf)
        for part in ("valid", "test")
    }
    linear = [newcomers.LinUCB(alpha, l2) for alpha in (0.1, 0.2, 0.4) for l2 in (1.0, 5.0, 20.0)]
    drawn = [newcomers.LinearThompson(scale, 1.0) for scale in (0.05, 0.1, 0.2)]
    plans = {
        "epsilon-greedy": ([newcomers.EpsilonGreedy(e) for e in (0.0, 0.01, 0.02, 0.05, 0.1)], None),
        "UCB1": ([newcomers.UCB1(w) for w in (0.05, 0.5, 2.0)], None),
        "Thompson": ([newcomers.ThompsonSampling(p) for p in ((1, 1), (0.1, 1), (0.3, 3))], None),
        **{f"LinUCB, {name}": (linear, x) for name, x in contexts.items()},
        "linear Thompson, content": (drawn, contexts["content"]),
    }
    runs = {}
    for name, (policies, x) in plans.items():
        here = {p: a if x is None else a.with_contexts(x) for p, a in arms.items()}
        best = min(policies, key=lambda p, a=here["valid"]: newcomers.run(p, a, rounds).regret[:, -1].mean())
        runs[name] = newcomers.run(best, here["test"], rounds)
        print(name, runs[name].regret[:, [rounds // 2 - 1, -1]].mean(axis=0).round(2), flush=True)
    rows = {}
    for name, played in runs.items():
        curve = played.curve(rounds // 2)
        rows[name] = {
            int(t): {"mean": r["mean"], "low": r["ci_low"], "high": r["ci_high"]} for t, r in curve.iterrows()
        }
        if name != "epsilon-greedy":
            rows[name]["against"] = newcomers.compare_runs(played, runs["epsilon-greedy"]).to_dict()
    control = newcomers.compare_runs(runs["LinUCB, content"], runs["LinUCB, noise"]).to_dict()
    return {"rows": rows, "control": control, "people": arms["test"].runs, "arms": n_arms}


def standard(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-9)


# -- from one catalogue to another ------------------------------------------------------------------------------------


def transfer(world: World) -> dict:
    """Clicks in one half of the categories, lists of the other half; with and without people who know both."""
    return {
        "stamps": between(world, world.data.items["category"].to_numpy()),
        "ml-100k": between(Films(), None),
    }


class Films:
    """ml-100k in the shape of :class:`World`: films of one half of the (first) genres and of the other."""

    def __init__(self) -> None:
        from mmrec_lib.encoders.metadata import Categories

        self.data = mm.datasets.load("ml-100k")
        self.split = mm.data.split(self.data, "cold-users", (0.6, 0.15, 0.25), seed=0)
        genres = Categories(["genres"], separator="|")
        self.features = mm.encoders.encode(self.data, {"text": "minilm", "genres": genres})
        self.configs = common.read_configs("ml-100k") | {"sideease": {"l2": 300.0}}
        self.category = self.data.items["genres"].str.split("|").str[0].to_numpy()

    fit, shuffled = World.fit, World.shuffled


def between(world, category: np.ndarray | None) -> dict:
    """NDCG in the target half, by model and setting; settings are chosen on validation people."""
    category = world.category if category is None else category
    names = np.unique(category)
    source = (np.random.default_rng(0).permutation(len(names)) % 2 == 0)[np.searchsorted(names, category)]
    train = world.split.train
    people = np.unique(train.user)
    first = np.isin(np.arange(train.n_users), np.random.default_rng(1).permutation(people)[: len(people) // 2])
    target = np.flatnonzero(~source)
    (fewer, later), (known, test) = (crossing(getattr(world.split, part), source) for part in ("valid", "test"))
    found: dict = {"source": int(source.sum()), "target": len(target), "people": len(np.unique(test.user))}
    for setting, shown in (
        ("nobody knows both", train.select(source[train.item] == first[train.user])),
        ("some know both", train),
    ):
        reports, rows = {}, {}
        for name, variants in crossing_models(world, shown).items():
            chosen = max(
                variants,
                key=lambda v, all_=variants: (
                    len(all_) > 1 and judge(newcomers.FoldedIn(all_[v], fewer), later, fewer, target, 1)[METRIC]
                ),
            )
            reports[name] = judge(newcomers.FoldedIn(variants[chosen], known), test, known, target)
            rows[name] = common.one_line(reports[name], METRIC) | {"chosen": chosen}
            if name != "popularity":
                rows[name]["gain"] = difference(reports[name], reports["popularity"])
            print(setting, name, chosen, round(reports[name][METRIC], 4), flush=True)
        found[setting] = rows
    return found


def crossing_models(world, train) -> dict[str, dict[str, object]]:
    """Name to variants, by what tells them apart."""
    parts = {"contentprofile": {"l2": 3000.0}, "popularity": {}}
    models: dict = {"popularity": {"": world.fit("popularity", train=train)}}
    for kind, vectors in (("content", world.features), ("shuffled content", world.shuffled)):
        models[f"{kind} and popularity"] = {
            f"weight {w}": world.fit("hybrid", vectors, train, parts=parts, options={"weights": [w, 1 - w]})
            for w in (0.1, 0.3, 0.5, 0.7)
        }
        models[f"SideEASE, {kind}"] = {
            f"content {c:g}": world.fit("sideease", vectors, train, content=c) for c in (5.0, 50.0)
        }
    return models | {name: {"": world.fit(name, train=train)} for name in ("ease", "als")}


def crossing(part, source: np.ndarray):
    """What people with at least five clicks in the source chose there, and what they chose in the target."""
    known, rest = part.select(source[part.item]), part.select(~source[part.item])
    return known, rest.select(known.user_counts()[rest.user] >= 5)


# -- demographics -----------------------------------------------------------------------------------------------------


def demographics(world: World) -> dict:
    """ml-100k: popularity among people of the same age, sex and occupation, against a few clicks."""
    films = mm.datasets.load("ml-100k")
    split = mm.data.split(films, "cold-users", (0.6, 0.2, 0.2), seed=0)
    groups = people_groups(films.users)
    dealt = groups[np.random.default_rng(0).permutation(len(groups))]
    known, test = newcomers.reveal(split.test, 10, 5)
    fewer, later = newcomers.reveal(split.valid, 10, 5)
    popularity = mm.models.create("popularity").fit(split.train)
    ease = mm.models.create("ease", **common.read_configs("ml-100k")["ease"]).fit(split.train)
    rows = {"popularity": judge(popularity, test, known)}
    for name, table in (("demographics", groups), ("demographics, shuffled", dealt)):
        models = [newcomers.GroupPopularity(s).fit(split.train, table) for s in (3.0, 10.0, 30.0, 100.0, 300.0)]
        best = max(models, key=lambda m: judge(m, later, fewer, None, 1)[METRIC])
        rows[name] = judge(best, test, known)
    for k in (1, 2, 5, 10):
        rows[f"EASE, {k} film{'s' * (k > 1)}"] = judge(
            newcomers.FoldedIn(ease, newcomers.reveal(split.test, k, 15 - k)[0]), test, known
        )
    return {
        name: common.one_line(r, METRIC) | {"gain": None if name == "popularity" else difference(r, rows["popularity"])}
        for name, r in rows.items()
    }


def people_groups(users: pd.DataFrame) -> np.ndarray:
    """Age in five bands, sex and occupation, a column each."""
    age = pd.cut(users["age"], [0, 18, 25, 35, 45, 100]).astype(str)
    return pd.get_dummies(users[["sex", "occupation"]].assign(age=age)).to_numpy(float)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=3000)
    parser.add_argument("--only", nargs="+", default=PARTS, choices=PARTS)
    args = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    content = common.read_result("new_users") or {}
    world = World(args.people)
    content["people"] = args.people
    for name in args.only:
        content[name] = globals()[name](world)
        common.write_result("new_users", content)  # after each, so that nothing is lost


if __name__ == "__main__":
    main()

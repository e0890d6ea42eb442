"""Turn ``results/*.json`` into the Markdown tables ``results/*.md`` that the book's appendix includes.

    python benchmarks/report.py

Every number comes from the JSON; a benchmark that has not been run leaves no table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import common

#: Names as the book writes them.
TITLES = {
    "als": "ALS",
    "biasedmf": "Biased MF",
    "bm3": "BM3",
    "bpr": "BPR",
    "categorypop": "Popular in the category",
    "clcrec": "CLCRec",
    "coldmap": "ColdMap",
    "contentknn": "Content neighbours",
    "contentprofile": "Content profile",
    "deepstyle": "DeepStyle",
    "diffmm": "DiffMM",
    "dropoutnet": "DropoutNet",
    "ease": "EASE",
    "fm": "FM",
    "fomaml": "First-order MAML",
    "freedom": "FREEDOM",
    "grcn": "GRCN",
    "itemknn": "ItemKNN",
    "lattice": "LATTICE",
    "lightgcn": "LightGCN",
    "melu": "MeLU",
    "melu, shuffled": "MeLU, shuffled content",
    "mgcn": "MGCN",
    "mmgcn": "MMGCN",
    "mmvae": "MM-VAE",
    "multvae": "Mult-VAE",
    "neumf": "NeuMF",
    "popularity": "Popularity",
    "rp3beta": "RP3beta",
    "sideease": "SideEASE",
    "slim": "SLIM",
    "slmrec": "SLMRec",
    "twotower": "Two towers",
    "userknn": "UserKNN",
    "vbpr": "VBPR",
}


def main() -> None:
    for name, write in PAGES.items():
        content = common.read_result(name)
        if content is None:
            print(f"{name}: not run, no table")
            continue
        path = common.root() / "results" / f"{name}.md"
        common.write_atomically(path, (write(content).strip() + "\n").encode())
        print(f"written: {path}")


def accuracy_ml100k(content: dict) -> str:
    best = {f: max(r["ndcg@20"]["mean"] for r in content["models"] if r["family"] == f) for f in families(content)}
    rows = []
    for r in content["models"]:
        mine = r["model"] == r["family"]
        label = f"{TITLES[r['model']]} (ours)" if mine else r["model"]
        figure = interval(r["ndcg@20"])
        if r["ndcg@20"]["mean"] == best[r["family"]]:
            figure = f"**{figure}**"
        rows.append([TITLES[r["family"]] if mine else "", label, figure, interval(r["recall@20"]), took(r)])
    tests = [
        [
            TITLES[t["family"]],
            t["peer"],
            f"{t['difference']:+.4f} [{t['ci_low']:+.4f}, {t['ci_high']:+.4f}]",
            "< 0.001" if t["p_t"] < 0.001 else f"{t['p_t']:.3f}",
            verdict(t),
        ]
        for t in content["tests"]
    ]
    others = [
        [TITLES[r["model"]], interval(r["ndcg@20"]), interval(r["recall@20"]), took(r)] for r in content["others"]
    ]
    text = f"""
# Accuracy on ml-100k

ml-100k, divided at random within each user (80/10/10, seed 0), every rating a positive. Each model, ours or another
library's, had {content["trials"]} trials of the same search on validation; the winner was fitted on the training part
and judged on test, all items ranked, training items left out. Intervals: 95 %, users resampled. Cornac's ItemKNN
averages ratings, which are all one here; no setting mends that, and it stands in the table with its defaults. For BPR
the searches are not quite alike: ours, run earlier, also chose among ways to draw negatives, which the others do not
have; the others' ranges were moved once, after a first table had shown them far below what is known of them, and their
new winners are what stands here.
{machine(content)}

{table(["family", "model", "NDCG@20", "Recall@20", "fit, s"], rows)}

The difference to the best other library in each family (the best on test, the harder opponent), paired over users, with
a t-test:

{table(["family", "against", "difference in NDCG@20", "p", "ours is"], tests)}
"""
    if others:
        text += f"""
Other models of this library with the configurations of `benchmarks/configs/ml-100k.yml`, on the same split. Their
searches had unequal numbers of trials, from 6 (NeuMF) to 40; every trial is in `benchmarks/results/trials/ml-100k/`:

{table(["model", "NDCG@20", "Recall@20", "fit, s"], others)}
"""
    return text


def accuracy_baby(content: dict) -> str:
    rows = [
        [TITLES[r["model"]], interval(r["recall@20"]), interval(r["ndcg@20"]), took(r), goal(r)]
        for r in sorted(content["models"], key=lambda r: -r["recall@20"]["mean"])
    ]
    text = f"""
# Accuracy on Amazon Baby

Amazon Baby (19,445 users, 7,050 items) in its published division. Configurations were chosen on the validation part and
are judged on it: these are figures of a development set, good for comparing models, and slightly flattered for each.
All items ranked, training items left out; 95 % intervals, users resampled. {machine(content)}

{table(["model", "Recall@20, validation", "NDCG@20, validation", "fit, s", "goal, Recall@20"], rows)}
"""
    if content["as_in_papers"]:
        tuned = {r["model"]: r for r in content["models"]}
        steps = []
        for r in content["as_in_papers"]:
            mine = tuned[r["model"]]
            trials = content["trials"].get(r["model"]) or {"value": []}
            steps.append([TITLES[r["model"]], "as in papers", settings(r), interval(r["recall@20"])])
            if trials["value"]:
                steps.append(["", "first trial of the search", "", f"{trials['value'][0]:.4f}"])
            steps.append(["", f"best of {len(trials['value'])} trials", settings(mine), interval(mine["recall@20"])])
        text += f"""
How much of a published gap is tuning? The same model and the same code, once with the settings that papers
commonly give for their baselines, and once tuned:

{table(["model", "", "settings", "Recall@20, validation"], steps)}
"""
    published = [[p["model"], p["split"], f"{p['recall@20']:.4f}"] for p in content["published"]]
    return f"""{text}
In print, for the test part, Recall@20. Two divisions of this data are in use, under the same name; figures of one say
nothing about the other, and neither can be set beside a validation figure to the third digit.

{table(["model", "division", "Recall@20, test, published"], published)}
"""


def accuracy_stamps(content: dict) -> str:
    rivals, rows = content["rivals"], []
    for r in sorted(content["models"], key=lambda r: -r["valid"]):
        shares = [r["test"]["mean"] / content["oracle"]["mean"], r["all_media"] / content["oracle_all_media"]]
        gains = [r["against"].get(kind) for kind in ("clicks", "ensemble")]
        figures = [f"{r['valid']:.3f}", short(r["test"]), *(f"{share:.0%}" for share in shares), *map(gain, gains)]
        rows.append([TITLES.get(r["model"], r["model"]), r["kind"], *figures])
    best = TITLES[rivals["clicks"]]
    header = ["model", "sees", "validation", "test", "of the oracle", "of it, all media", f"over {best}"]
    return f"""
# Accuracy on the stamps

NDCG@20 with a simulated audience of {content["people"]} people, configurations and rivals chosen on the validation
part. The oracle, who knows everybody's taste, reaches {short(content["oracle"])}. "All media": only things that have a
text, a picture and a sound count. {best} is the best model that sees clicks only; differences are paired over users.
The ensembles add the scores of several models, {content["seeds"]} seeds of each that has one, with equal weights: much
of what an ensemble gains it gains without content. {machine(content)}

{table([*header, "over the ensemble from clicks"], rows)}
"""


def accuracy_tiktok(content: dict) -> str:
    rows = []
    for r in sorted(content["models"], key=lambda r: -r["recall@20"]["mean"]):
        noise, gain = "", ""
        if "noise" in r:
            noise = f"{r['noise']['mean']:.4f}"
            gain = f"{r['gain']['difference']:+.4f} [{r['gain']['ci_low']:+.4f}, {r['gain']['ci_high']:+.4f}]"
        new = f"{r['new_items']['mean']:.3f}"
        printed = "" if r["published"] is None else f"{r['published']:.4f}"
        figures = [interval(r["recall@20"]), f"{r['ndcg@20']['mean']:.4f}", noise, gain, new, printed]
        rows.append([TITLES.get(r["model"], r["model"]), *figures, took(r)])
    header = ["model", "Recall@20", "NDCG@20", "with noise", "gain over noise", "new items", "in print, test"]
    return f"""
# Accuracy on TikTok

TikTok (9,308 users, 6,710 items, vectors of pictures and of sounds) in the division of DiffMM. Configurations were
chosen on the validation part, with few trials for each, and are judged on it: figures of a development set, slightly
flattered. "With noise": the same model trained on random vectors of the same mean and variance; the gain is paired over
users. "New items": Recall@20 of the {content["new_share"]:.0%} of pairs whose item has no click in training. Figures in
print are of the test part and of models that had sentences as well. All items ranked, training items left out; 95 %
intervals, users resampled. {machine(content)}

{table([*header, "fit, s"], rows)}
"""


def speed(content: dict) -> str:
    rows = []
    for r in content["rows"]:
        memory = f", {r['peak_gib']:.2f} GiB" if "peak_gib" in r else ""
        reached = "" if r["reached"] is None else ("yes" if r["reached"] else "no")
        theirs = "" if r["theirs"] is None else duration(r["theirs"])
        ratio = "" if r["ratio"] is None else f"{r['ratio']:.2g}" if r["ratio"] < 10 else f"{r['ratio']:.0f}"
        rows.append([r["what"], duration(r["ours"]) + memory, r["peer"], theirs, ratio, r["target"], reached])
    how = f"Seconds on Amazon Baby with {content['threads']} threads"
    if content.get("measured") == "processor":
        how = "Processor seconds on Amazon Baby, one thread (the machine was busy with other work)"
    return f"""
# Speed

{how}. What is compared ran in turn, several rounds; medians. A ratio above one says that ours is faster.
implicit and cornac train BPR in compiled code, pair by pair, without batches: the ratio says what the freedom of
automatic differentiation costs. {machine(content)}

{table(["work", "ours, s", "peer", "peer, s", "ratio", "goal", "reached"], rows)}
"""


def encoders(content: dict) -> str:
    return "\n".join(["# Encoders", encoder_table(content), encoder_photographs(content), encoder_speed(content)])


def encoder_table(content: dict) -> str:
    """Quality and cost of each encoder; chapter 14 shows this table too."""
    judged = [row for row in content["table"] if "probe" in row]
    popularity = next(row for row in content["table"] if row["name"] == "popularity")
    rows = []
    for row in judged:
        cost = [f"{row['seconds_per_1000']:.2g}", row["weights_mb"] or "-"] if "seconds_per_1000" in row else ["", ""]
        shares = [f"{100 * row[m]['mean'] / row['oracle']:.0f} %" if m in row else "" for m in ("ndcg@20", "shuffled")]
        quality = [short(row["neighbours"]), short(row["probe"]), *shares]
        rows.append([row["name"], row["modality"], row["dim"], row["n_items"], *quality, *cost])
    header = ["encoder", "reads", "dim", "things", "neighbour", "linear probe", "recommender", "shuffled", "s", "MB"]
    return f"""
Every encoder that works without a network, with its defaults, on the stamps. *neighbour*: share of the things whose
nearest neighbour is of the same of 16 top categories; *linear probe*: accuracy of a logistic regression, five folds;
both over the things that have the medium, with 95 % intervals, so that rows of different modalities rest on different
things. *recommender*: NDCG@20 of content neighbours (`contentknn`) on the test part of the simulated audience, as a
share of the oracle's {popularity["oracle"]:.3f}; popularity reaches
{100 * popularity["ndcg@20"]["mean"] / popularity["oracle"]:.0f} %. *shuffled*: the same with the vectors dealt out to
other things. *s*: seconds for 1,000 things on two threads, *MB*: pretrained weights. {machine(content)}

{table(header, rows)}
"""


def encoder_photographs(content: dict) -> str:
    found = content["photographs"]
    text, image, both = (short(found[name]) for name in ("minilm", "efficientnet-lite0", "both"))
    return f"""
Without the rendered drawings, mostly letters and flags, and where a thing has a sentence too ({found["n_items"]}
things), the linear probe reaches {text} with minilm, {image} with efficientnet-lite0 and {both} with both.
"""


def encoder_speed(content: dict) -> str:
    rows = []
    for row in content["speed"]:
        seconds = row["seconds"]
        for mode in ("default", "exact"):
            if mode in seconds:
                agree = f"{row['cosine']:.5f}" if mode == "default" and "cosine" in row else ""
                apart = f"{row['difference']:.1e}" if mode == "exact" else ""
                ratio = f"{seconds['peer'] / seconds[mode]:.2f}"
                times = [f"{seconds[mode]:.2f}", row["peer"], f"{seconds['peer']:.2f}", ratio]
                rows.append([row["what"], mode, *times, agree, apart])
    header = ["work", "mode", "ours, s", "against", "its s", "times as fast", "smallest cosine", "largest difference"]
    return f"""
Speed, medians of rounds in which all take turns, two threads. *default* computes in half precision where the processor
has instructions for it, and is float32 elsewhere; *exact* is float32 everywhere. *smallest cosine*: of default and
exact vectors of one thing; *largest difference*: of exact vectors and the other's, entry by entry.

{table(header, rows)}
"""


def content_control(content: dict) -> str:
    """Real vectors against controls, model by model; chapter 23 shows this page too."""
    random, cold = (content["splits"].get(how) for how in ("random", "cold-items"))
    count = ", ".join(f"{modality} {n}" for modality, n in content["modalities"].items())
    text = f"""
# Does the model use the content?

NDCG@20 on the test part of the stamps with a simulated audience of {content["people"]} people; things with each
modality: {count}. Each model was trained anew, with the same parameters, on the real vectors, on the same vectors dealt
out to other things (*shuffled*), on normal numbers with the same means and deviations (*noise*), and on none. *gain*:
real minus the best of the controls, paired over users, with a 95 % interval; *p*: paired t-test, corrected by Holm for
the number of models. Intervals are over users: the chance of a training is not in them. {machine(content)}
"""
    if random:
        text += f"""
**Things that people have met**, a random tenth of everybody's choices held out. {beside(random)}

{controls(random)}
"""
    if cold:
        text += f"""
**New things**, held out whole and ranked among themselves. {beside(cold)}

{controls(cold)}
"""
    return text


def controls(part: dict) -> str:
    variants = [v for v in ("real", "shuffled", "noise", "none") if any(v in r for r in part["models"].values())]
    rows = []
    for name, r in part["models"].items():
        means = [f"{r[v]['mean']:.3f}" if v in r else "" for v in variants]
        gain = f"{r['gain']['mean']:+.3f} [{r['gain']['low']:+.3f}, {r['gain']['high']:+.3f}]"
        p = "< 0.001" if r["p_holm"] < 0.001 else f"{r['p_holm']:.3f}"
        rows.append([TITLES[name], *means, gain, p, r["verdict"]])
    return table(["model", *variants, "gain", "p", "verdict"], rows)


def beside(part: dict) -> str:
    known = part["references"]
    figures = [f"{TITLES.get(name, name)} {short(figure)}" for name, figure in known.items()]
    return f"Without content, and with the whole truth: {', '.join(figures)}."


def cold_items(content: dict) -> str:
    """Who places new items, by data set; chapter 24 speaks of it too."""
    text = """
# New items

Items that nobody has met in training, for four questions. *Known*: known items, against everything. *New*: new items,
against everything. *Both*: the harmonic mean of the two, low when either is. *Among new*: only new items compete; the
*gain* there is over the better control, the same model trained on shuffled vectors and on noise (TikTok: on noise
only), paired over users, *p* by a t-test, corrected by Holm for the number of models. Configurations were chosen for
new items among themselves, on the validation part, and the calibration by the harmonic mean; SideEASE has another one
for known items.
"""
    return text + "\n".join(cold_items_of(name, found, content) for name, found in content["data"].items())


def cold_items_of(name: str, found: dict, content: dict) -> str:
    rows = [[TITLES[m], *groups(r), *over_controls(r)] for m, r in found["models"].items()]
    slots = []
    for r in found["slots"]:
        slots.append([r["slots"], ", ".join(map(str, r["places"])) or "none", *groups(r)[:3]])
    truth = ""
    if "oracle" in found:
        best = max(found["models"].values(), key=lambda r: r["valid"])["cold among new"]["mean"]
        category = found["models"]["categorypop"]["cold among new"]["mean"]
        oracle = found["oracle"]["cold among new"]["mean"]
        truth = f"""
Among new things the oracle reaches {oracle:.3f}, one that knows only what content shows
{found["oracle_content"]["cold among new"]["mean"]:.3f}, and ColdMap with the true attributes in place of the vectors
{found["perfect_encoder"]["cold among new"]["mean"]:.3f}. The model that was best on validation reaches
{best / oracle:.0%} of the oracle and {best / category:.2f} times what popularity within the category reaches.
"""
    metric = {"ndcg@20": "NDCG@20", "recall@20": "Recall@20"}[found["metric"]]
    judged = {"test": "the test part", "valid": "the validation part, on which they were chosen"}[found["part"]]
    return f"""
**{name.title()}**, {metric} on {judged}; {found["new"]} items are new there, {found["new_share"]:.0%} of its pairs.
{machine(content)}

{table(["model", "known", "new", "both", "among new", "gain", "p"], rows)}
{truth}
Places reserved in lists of twenty: SideEASE, tuned for known items, fills the others, and
{TITLES[found["best"]]}, which was best among new items on validation, the reserved ones.

{table(["reserved", "places", "known", "new", "both"], slots)}
"""


def groups(row: dict) -> list[str]:
    return [short(row[group]) for group in ("warm", "cold", "harmonic", "cold among new")]


def over_controls(row: dict) -> list[str]:
    if "p" not in row:
        return ["", ""]
    gain = f"{row['gain']['mean']:+.3f} [{row['gain']['low']:+.3f}, {row['gain']['high']:+.3f}]"
    return [gain, "< 0.001" if row["p_holm"] < 0.001 else f"{row['p_holm']:.3f}"]


def new_users(content: dict) -> str:
    """People whom no model has met; chapter 25 shows parts of it."""
    talks, clicks, play = content["interviews"], content["histories"], content["bandits"]
    known = {name: short(figure) for name, figure in talks["references"].items()}
    asked = [
        [name, *(closed(talks[screen].get(name)) for screen in ("1", "12"))]
        for name in dict.fromkeys([*talks["1"], *talks["12"]])
    ]
    counts = ["1", "2", "5", "10", "20"]
    first = [[TITLES.get(n, n), *(short(r[k]) for k in counts)] for n, r in clicks["rows"].items() if "1" in r]
    gains = [[name, *(gain(row[k]) for k in ("1", "5", "20"))] for name, row in clicks["tests"].items()]
    regret = [
        [n, *(f"{r[k]['mean']:.1f}" for k in ("50", "100")), gain_long(r.get("against"))]
        for n, r in play["rows"].items()
    ]
    form = [[name, short(row), gain(row["gain"])] for name, row in content["demographics"].items()]
    return f"""
# New users

The stamps with {content["people"]:,} simulated people, a quarter of them held out whole; whatever was chosen was chosen
on others. {machine(content)}

**Five questions, and five pages of twelve things.** NDCG@20 on one half of the things, questions about the other half;
in brackets 95 % intervals. *share*: of the gap between popularity ({known["popularity"]}) and 20 clicks
({known["20 interactions"]}); the oracle reaches {known["oracle"]}. Lists are read by ALS or by a normal distribution,
whichever was better on validation.

{table(["interviewer", "five things: NDCG@20, share", "five pages: NDCG@20, share"], asked)}

**The first clicks.** NDCG@20 among all things after so many clicks, folded in.

{table(["model", *counts], first)}

Paired differences:

{table(["", "1", "5", "20"], gains)}

**Bandits.** Clicks lost after 50 and 100 visits, {play["arms"]} things, {play["people"]} people, and the difference to
epsilon-greedy after 100.

{table(["policy", "50", "100", "difference"], regret)}

**From one catalogue to another.** NDCG@20 in one half of the categories (ml-100k: of the films' first genres) from
clicks in the other half; gain over popularity there.

{crossing_tables(content["transfer"])}

**Age, sex and occupation.** ml-100k, NDCG@20, people held out whole; gain over popularity.

{table(["", "NDCG@20", "gain"], form)}
"""


def closed(row: dict | None) -> str:
    if row is None:
        return ""
    share = row["share"]
    return f"{row['mean']:.3f}, {share['mean']:.0%} [{share['low']:.0%}, {share['high']:.0%}]"


def gain_long(row: dict | None) -> str:
    return "" if not row else f"{row['difference']:+.1f} [{row['ci_low']:+.1f}, {row['ci_high']:+.1f}]"


def crossing_tables(found: dict) -> str:
    settings = ("nobody knows both", "some know both")
    parts = []
    for name, part in found.items():
        rows = [
            [
                TITLES.get(model, model),
                *(f"{short(part[s][model])} {gain(part[s][model].get('gain'))}" for s in settings),
            ]
            for model in part[settings[0]]
        ]
        parts.append(f"{name}, {part['people']} people:\n\n" + table(["model", *settings], rows))
    return "\n\n".join(parts)


PAGES: dict[str, Callable[[dict], str]] = {
    "content_control": content_control,
    "cold_items": cold_items,
    "new_users": new_users,
    "encoders": encoders,
    "accuracy_ml100k": accuracy_ml100k,
    "accuracy_baby": accuracy_baby,
    "accuracy_stamps": accuracy_stamps,
    "accuracy_tiktok": accuracy_tiktok,
    "speed": speed,
}


# -- pieces -----------------------------------------------------------------------------------------------------------


def families(content: dict) -> list[str]:
    return list(dict.fromkeys(r["family"] for r in content["models"]))


def verdict(test: dict) -> str:
    """Better, worse, or as good: by whether the interval of the difference leaves zero out."""
    if test["ci_low"] > 0:
        return "better"
    return "worse" if test["ci_high"] < 0 else "as good"


def interval(figure: dict) -> str:
    return f"{figure['mean']:.4f} [{figure['low']:.4f}, {figure['high']:.4f}]"


def gain(found: dict | None) -> str:
    """A paired difference with its interval; nothing where there is none."""
    return "" if not found else f"{found['difference']:+.3f} [{found['ci_low']:+.3f}, {found['ci_high']:+.3f}]"


def short(figure: dict) -> str:
    return f"{figure['mean']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def took(row: dict) -> str:
    return duration(row["fit_seconds"])


def duration(seconds: float) -> str:
    """Three significant digits, never in exponential notation."""
    return f"{seconds:.0f}" if seconds >= 100 else f"{seconds:.3g}" if seconds >= 0.001 else f"{seconds:.4f}"


def goal(row: dict) -> str:
    if row.get("target") is None:
        return ""
    reached = "reached" if row["recall@20"]["mean"] >= row["target"] else "not reached"
    return f"{row['target']:.3f}, {reached}"


def settings(row: dict) -> str:
    """The parameters that differ between the two rows of a model."""
    names = ("dim", "layers", "learning_rate", "l2", "batch_size", "n_negatives")
    return ", ".join(f"{k} {row['params'][k]:g}" for k in names if k in row["params"])


def machine(content: dict) -> str:
    about = content["about"]
    versions = ", ".join(f"{k} {v}" for k, v in about["versions"].items())
    device = "no GPU" if about["device"] == "cpu" else about["device"]
    return f"Measured {about['date']} on {about['cores']} cores ({about['processor']}, {device}); {versions}."


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(str(cell).replace('|', '/') for cell in line)} |" for line in lines)


if __name__ == "__main__":
    main()

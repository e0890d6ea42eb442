"""Sentences from templates. A template claims what its method found: a resemblance is not called a cause."""

from __future__ import annotations

from collections.abc import Mapping

from ..checks import one_of, whole

LANGUAGES = ("en", "zh")

#: By kind and method; where the method makes no difference, by kind alone. "none" is said where nothing is to be named.
_TEMPLATES = {
    "en": {
        "history/exact": "{item} is recommended because you chose {names}.",
        "history/leave-one-out": "If you had not chosen {any}, {item} would score lower.",
        "history/similarity": "{item} resembles {names}, which you chose.",
        "history/none": "Nothing that you chose speaks for {item}.",
        "counterfactual/found": "Without {names}, you would not see {item} among the first {k}.",
        "counterfactual/not-found": "No {n} of your choices or fewer were found without which {item} would leave the "
        "first {k}.",
        "counterfactual/not-listed": "{item} is not among your first {k}.",
        "users": "Of the people with a taste like yours, {count} chose {item}.",
        "users/none": "Of the people with a taste like yours, nobody chose {item}.",
        "modalities": "What content says for {item} comes from its {names}, in this order.",
        "modalities/none": "No content of {item} speaks for it.",
        "weights": "When {item} was described, {shares} went in; these are weights, not causes.",
        "weights/none": "{item} was described without any content.",
        "gradients": "In the {modality} vector of {item}, the components {names} speak most for it.",
        "gradients/none": "Nothing in the {modality} vector of {item} speaks for it.",
        "factors": "The score of {item} comes above all from {names}.",
        "factors/none": "No dimension of your vector speaks for {item}.",
    },
    "zh": {
        "history/exact": "推荐{item}，因为你选择过{names}。",
        "history/leave-one-out": "如果你没有选择{any}，{item}的得分会更低。",
        "history/similarity": "{item}与你选择过的{names}相似。",
        "history/none": "你选择过的内容都不支持推荐{item}。",
        "counterfactual/found": "如果没有{names}，{item}就不会出现在前{k}名。",
        "counterfactual/not-found": "没有找到这样的{n}个以内的选择：去掉它们，{item}就会离开前{k}名。",
        "counterfactual/not-listed": "{item}不在你的前{k}名之中。",
        "users": "与你口味相近的人中，有{count}人选择了{item}。",
        "users/none": "与你口味相近的人都没有选择{item}。",
        "modalities": "支持推荐{item}的内容依次是：{names}。",
        "modalities/none": "{item}的内容都不支持推荐它。",
        "weights": "描述{item}时各模态的权重：{shares}；权重不等于原因。",
        "weights/none": "描述{item}时没有用到任何内容。",
        "gradients": "在{item}的{modality}向量中，{names}分量最支持推荐它。",
        "gradients/none": "{item}的{modality}向量中没有支持推荐它的分量。",
        "factors": "{item}的得分主要来自{names}。",
        "factors/none": "你的向量中没有支持{item}的维度。",
    },
}


#: Names of modalities and of kinds of rows in Chinese; others stay as they are.
_CHINESE = {"image": "图像", "text": "文本", "audio": "音频", "video": "视频", "dimension": "维度"}


def say(explanation, language: str, titles: Mapping, n: int) -> str:
    """The sentence of an explanation."""
    one_of("language", language, LANGUAGES)
    chosen = _named(explanation, whole("n", n))
    names = [_name(row, language, titles) for row in chosen.itertuples()]
    values = {
        "item": _title(explanation.item, language, titles),
        "names": _join(names, language),
        "any": _join(names, language, "any"),
        "shares": _join([f"{x} {v:.0%}" for x, v in zip(names, chosen["value"], strict=True)], language),
        **explanation.details,
    }
    if "modality" in values:
        values["modality"] = _translated(values["modality"], language)
    return _template(explanation, language, bool(len(chosen))).format(**values)


def _named(explanation, n: int):
    """The rows that the sentence names: those that speak for the item."""
    rows = explanation.contributions
    if explanation.how == "counterfactual":
        return rows
    return rows[(rows["value"] > 0) & (rows["kind"] != "rest")].head(n)


def _template(explanation, language: str, something: bool) -> str:
    known, how = _TEMPLATES[language], explanation.how
    if not something and f"{how}/none" in known:
        return known[f"{how}/none"]
    return known.get(f"{how}/{explanation.method}") or known[how]


def _name(row, language: str, titles: Mapping) -> str:
    return _title(int(row.item), language, titles) if row.kind == "click" else _translated(row.name, language)


def _translated(name: str, language: str) -> str:
    """The name with its first word in the language, where it is known: "dimension 3", "text"."""
    first, _, rest = name.partition(" ")
    return _CHINESE.get(first, first) + rest if language == "zh" and first in _CHINESE else name


def _title(item: int, language: str, titles: Mapping) -> str:
    if item in titles:
        return f"“{titles[item]}”" if language == "en" else f"《{titles[item]}》"
    return f"item {item}" if language == "en" else f"物品{item}"


def _join(names: list[str], language: str, how: str = "all") -> str:
    """A, B and C; with ``how="any"``: A, B or C."""
    comma, last = (", ", {"all": " and ", "any": " or "}) if language == "en" else ("、", {"all": "和", "any": "或"})
    return last[how].join([comma.join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)

"""Sentences from templates, or from a writer whose sentence is checked against the facts.

A template claims what its method found: a resemblance is not called a cause.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping

from ..checks import one_of, whole
from ..errors import ParameterError, WriterWarning

LANGUAGES = ("en", "zh")

#: By kind and method; where the method makes no difference, by kind alone. "none" is said where nothing is to be named,
#: "one" where one thing is.
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
        "paths": "People who chose {any}, as you did, also chose {item}.",
        "paths/none": "No path of clicks leads from your choices to {item}.",
        "users": "Of the people with a taste like yours, {count} chose {item}.",
        "users/none": "Of the people with a taste like yours, nobody chose {item}.",
        "modalities": "What content says for {item} comes from its {names}, in this order.",
        "modalities/one": "What content says for {item} comes from its {names} alone.",
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
        "paths": "和你一样选择过{any}的人也选择了{item}。",
        "paths/none": "没有点击路径从你的选择通向{item}。",
        "users": "与你口味相近的人中，有{count}人选择了{item}。",
        "users/none": "与你口味相近的人都没有选择{item}。",
        "modalities": "支持推荐{item}的内容依次是：{names}。",
        "modalities/one": "支持推荐{item}的内容只有：{names}。",
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
    return _template(explanation, language, len(chosen)).format(**values)


def _named(explanation, n: int):
    """The rows that the sentence names: those that speak for the item."""
    rows = explanation.contributions
    if explanation.how == "counterfactual":
        return rows
    return rows[(rows["value"] > 0) & (rows["kind"] != "rest")].head(n)


def _template(explanation, language: str, n_named: int) -> str:
    known, how = _TEMPLATES[language], explanation.how
    few = {0: f"{how}/none", 1: f"{how}/one"}.get(n_named)
    if few in known:
        return known[few]
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


# -- a writer, and what it may say ---------------------------------------------------------------------------------

#: Characters that a sentence may have beside its titles.
_LONGEST = {"en": 240, "zh": 120}
_QUOTED = re.compile(r"“([^”]+)”|\"([^\"]+)\"|《([^》]+)》|「([^」]+)」|«([^»]+)»")
_ENDS = re.compile(r"[。！？]|[.!?]+(?=\s|$)")
_PROMPTS = {
    "en": "Tell a person why they are shown something: one sentence in English, of at most 40 words.\n"
    "What is known: {told}\n"
    "Shown: {item}\n"
    "Reasons, the strongest first: {reasons}\n"
    "Claim no more than what is known. Name at least one reason. Write titles in quotation marks, exactly as above. "
    "Mention no other title and no other number. Answer with the sentence alone.\n",
    "zh": "请用一句中文（不超过60个字）告诉用户为什么看到这个推荐。\n"
    "已知：{told}\n"
    "推荐的内容：{item}\n"
    "理由（由强到弱）：{reasons}\n"
    "不要超出已知的内容。至少提到一个理由。标题须放在书名号内，与上文完全一致。"
    "不要提到其他标题或数字。只回答这一句话。\n",
}


def write(explanation, language: str, titles: Mapping, n: int, writer: Callable[[str], str]) -> str:
    """The writer's sentence if it passes :func:`problem`, otherwise that of the template, with a warning."""
    titles = {code: " ".join(title.split()) for code, title in titles.items()}  # a title is data: no lines of its own
    told = say(explanation, language, titles, n)
    reasons = _reasons(explanation, language, titles, n)
    if not reasons:
        return told
    prompt = _PROMPTS[language].format(
        told=told,
        item=_title(explanation.item, language, titles),
        reasons=(", " if language == "en" else "、").join(f"{name} ({value:.3g})" for name, value in reasons.items()),
    )
    answer = writer(prompt)
    if not isinstance(answer, str):
        raise ParameterError(
            f"writer returned {type(answer).__name__}, expected text: wrap a pipeline of transformers as "
            'lambda prompt: pipe(prompt, return_full_text=False)[0]["generated_text"]'
        )
    answer = answer.strip()
    facts = [name.strip("“”《》") for name in (_title(explanation.item, language, titles), *reasons)]
    why = problem(answer, facts[1:], facts, set(titles.values()), prompt, language)
    if why is None:
        return answer
    warnings.warn(f"the writer's sentence is not used, because {why}: {answer[:160]!r}", WriterWarning, stacklevel=3)
    return told


def problem(answer: str, reasons, facts, titles, prompt: str, language: str) -> str | None:
    """What is wrong with a sentence; None where nothing was found.

    ``reasons``, of which one must be named, are a part of ``facts``, which may be named; of the other ``titles`` of the
    catalogue none may, nor a number that the prompt does not have. In English a capital within the sentence counts as
    a name. What is *said* about the facts is not looked at.
    """
    if not answer:
        return "it is empty"
    if not any(_occurs(name, answer) for name in reasons):
        return "it names none of the reasons"
    known = {name.casefold() for name in facts}
    for quoted in ("".join(groups).strip(" .,!?，。！？") for groups in _QUOTED.findall(answer)):
        if quoted.casefold() not in known:
            return f"{quoted!r} is not among the facts"
    rest = answer
    for name in sorted(facts, key=len, reverse=True):
        rest = _pattern(name, re.IGNORECASE).sub(" ", rest)
    for title in titles:  # as the catalogue writes them; shorter ones would be found in any sentence
        if len(title) > 3 and title in rest and _occurs(title, rest, 0):
            return f"{title!r} is not among the facts"
    if invented := set(re.findall(r"\d+", rest)) - set(re.findall(r"\d+", prompt)):
        return f"the number {min(invented)} is not among the facts"
    if language == "en" and (capital := re.search(r"(?<=[\w,;:] )(?!I\b)[A-Z]\w*", rest)):
        return f"{capital[0]!r} is written like a name that is not among the facts"
    if "\n" in answer or len(_ENDS.findall(rest)) > 1:
        return "it is more than one sentence"
    if len(rest) > _LONGEST[language]:
        return f"it is longer than {_LONGEST[language]} characters beside its titles"
    return None


def _reasons(explanation, language: str, titles: Mapping, n: int) -> dict[str, float]:
    """What a sentence may name, with its value; of similar users their number only."""
    rows = _named(explanation, whole("n", n))
    if explanation.how == "users":
        return {str(explanation.details["count"]): rows["value"].sum()} if len(rows) else {}
    return {_name(row, language, titles): row.value for row in rows.itertuples()}


def _pattern(name: str, flags: int) -> re.Pattern:
    """The name as a whole word; neighbours that are not Latin do not count, as Chinese has no blanks."""
    return re.compile(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", flags)


def _occurs(name: str, text: str, flags: int = re.IGNORECASE) -> bool:
    return _pattern(name, flags).search(text) is not None

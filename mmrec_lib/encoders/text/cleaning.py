"""Texts in one form: what looks equal becomes equal, and a sentence becomes a list of words, English and Chinese.

>>> clean("<b>Caf\\u0065\\u0301</b> &amp; Ｔｅａ:\\n www.tea.example/green")
'café & tea:'
>>> tokenize("The dogs are RUNNING")
['dog', 'run']
"""

from __future__ import annotations

import html
import re
import sys
import threading
import unicodedata
import warnings
from functools import lru_cache

from ...errors import MissingPackageError, ParameterError

_FUNCTION_WORDS_EN = """
a about above after again against all also am an and any are as at be because been before being below between
both but by can could did do does doing down during each few for from further had has have having he her here hers
herself him himself his how i if in into is it it's its itself just me more most my myself no nor not of off on
once only or other our ours ourselves out over own same she should so some such than that the their theirs them
themselves then there these they this those through to too under until up very was we were what when where which
while who whom why will with would you your yours yourself yourselves
"""
_FUNCTION_WORDS_ZH = """
的 了 着 过 地 得 之 是 在 有 和 与 及 或 而 但 但是 也 都 就 还 又 很 不 没 没有 把 被 让 给
对 对于 从 向 到 于 由 以 为 为了 因为 所以 如果 虽然 然后 我 你 您 他 她 它 我们 你们 他们 她们
它们 自己 这 那 这个 那个 这些 那些 这里 那里 什么 怎么 哪 哪里 谁 吗 呢 吧 啊 呀 个 一个 一只 一种
一些 一条 一张 一片 一块 一把 一辆 一件 一位 一名 一座 一朵 一支 一顶 一双 一盏 一幅 一匹 一头 一根 一颗
一台 一架 一艘 一本 一株 上 下 中 里 等 会 能 可以 要 用 来 去
"""
#: Function words of English: they say how a sentence is built, hardly what it is about. Numbers are not among them.
STOP_WORDS_EN = frozenset(_FUNCTION_WORDS_EN.split())
#: The same for Chinese: particles, pronouns, prepositions, and the measure words that stand for "a".
STOP_WORDS_ZH = frozenset(_FUNCTION_WORDS_ZH.split())

_HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_KANA = "\u3041-\u3096\u30a1-\u30fa\u30fc"
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});", re.IGNORECASE)
_AMPERSANDS = re.compile(r"&(?:amp;)+", re.IGNORECASE)
# an element that is not closed reaches to the end, as in a browser; this also keeps the search linear
_UNSEEN = re.compile(r"<!--.*?(?:-->|\Z)|<(script|style)\b.*?(?:</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"</?[a-z][^<>]*>|<![a-z][^<>]*>", re.IGNORECASE)
# ASCII only, so that a Chinese sentence goes on right after an address
_ADDRESS = re.compile(
    r"(?:https?://|ftp://|\bwww\.)[\w.~:/?#\[\]@!$&'()*+,;=%-]+|\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+",
    re.IGNORECASE | re.ASCII,
)
_PLAIN = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "−": "-"})


# -- one form ------------------------------------------------------------------------------------------------------
def clean(text: str, *, fold_case: bool = True, markup: bool = True, addresses: bool = True) -> str:
    """The text in one form; for comparison, not for display.

    HTML entities become characters, characters their plainest equal form (Unicode NFKC: full-width letters, ligatures
    and composed accents), curly quotes and dashes the ones of the keyboard; what cannot be seen (control characters,
    zero-width marks) goes, and white space is one blank. ``clean(clean(x)) == clean(x)`` for every text.

    Parameters
    ----------
    fold_case
        Make upper and lower case equal (``ß`` becomes ``ss``).
    markup
        Take out HTML tags, comments, and what stands in ``<script>`` and ``<style>``. ``2 < 3`` stays.
    addresses
        Take out web and mail addresses.

    >>> clean("5 &lt; 6,  5 ＜ 6")
    '5 < 6, 5 < 6'
    >>> clean("见https://tea.example/a?b=1，谢谢")
    '见 谢谢'
    """
    while True:  # a pass may uncover something new (&amp;lt;b&amp;gt; is a tag in the end); most texts need two
        cleaned = _pass(text, fold_case, markup, addresses)
        if cleaned == text:
            return cleaned
        text = cleaned


def _pass(text: str, fold_case: bool, markup: bool, addresses: bool) -> str:
    if "&" in text:
        text = _ENTITY.sub(lambda found: html.unescape(found.group()), _AMPERSANDS.sub("&", text))
    text = unicodedata.normalize("NFKC", text).translate(_PLAIN)
    if fold_case:
        text = unicodedata.normalize("NFKC", text.casefold())
    if markup and "<" in text:
        text = _TAG.sub(" ", _UNSEEN.sub(" ", text))
    if addresses:
        text = _ADDRESS.sub(" ", text)
    if not text.isprintable():
        text = "".join(map(_visible, text))
    return " ".join(text.split())


def _visible(character: str) -> str:
    """The character itself, a blank for line ends and other control characters, nothing for zero-width marks."""
    kind = unicodedata.category(character)
    return "" if kind == "Cf" else " " if kind == "Cc" else character


# -- languages -----------------------------------------------------------------------------------------------------
def guess_language(text: str) -> str:
    """``"zh"``, ``"ja"``, ``"en"`` or ``"other"``, by script alone; ``""`` when there is no letter.

    Chinese has more Han characters than words of other scripts; Japanese also has kana. Every word in Latin letters
    counts as English, so name the language of French or German texts yourself.

    >>> [guess_language(t) for t in ("A red apple.", "红苹果。", "赤いリンゴ", "Красное яблоко", "42!")]
    ['en', 'zh', 'ja', 'other', '']
    """
    han = len(re.findall(f"[{_HAN}]", text))
    kana = len(re.findall(f"[{_KANA}]", text))
    others = [w for w in _words_pattern().findall(text) if not _is_han(w) and any(map(str.isalpha, w))]
    if kana and kana + han > len(others):
        return "ja"
    if han > len(others):
        return "zh"
    if not others:
        return ""
    latin = sum(unicodedata.name(next(filter(str.isalpha, w)), "").startswith("LATIN") for w in others)
    return "en" if 2 * latin >= len(others) else "other"


def languages() -> tuple[str, ...]:
    """What ``language`` may be: ``"auto"``, ``"zh"``, ``"en"``, and the languages that Snowball can stem."""
    return ("auto", "en", "zh", *_snowball().algorithms())


def check_language(language: str) -> str:
    """Return a known language, or raise :class:`ParameterError`."""
    if language not in ("auto", "en", "zh") and language not in languages():
        raise ParameterError(f"language={language!r}: choose one of {', '.join(languages())}")
    return language


def check_chinese(chinese: str) -> str:
    """Return a known way to divide Chinese, or raise :class:`ParameterError`."""
    if chinese not in ("words", "characters"):
        raise ParameterError(f"chinese={chinese!r}: choose one of words, characters")
    return chinese


# -- words ---------------------------------------------------------------------------------------------------------
def tokenize(
    text: str, language: str = "auto", *, stop_words: bool = True, stem: bool = True, chinese: str = "words"
) -> list[str]:
    """The words of a text, cleaned, in order.

    Chinese is written without blanks, so runs of Han characters are divided by a dictionary (jieba), whatever the
    language of the rest. Numbers and single letters are words; punctuation is not. Japanese, Thai and other scripts
    without blanks need a segmenter of their own before.

    Parameters
    ----------
    language
        Of the words that are not Chinese: ``"auto"`` and ``"zh"`` take them for English; else a Snowball language
        (see :func:`languages`). There are no stop words for the latter.
    stop_words
        Leave out function words (:data:`STOP_WORDS_EN`, :data:`STOP_WORDS_ZH`).
    stem
        Cut endings off, so that *dogs* and *dog* agree (Porter's Snowball stemmers). No effect on Chinese.
    chinese : {"words", "characters"}
        ``"characters"`` divides words of Chinese further; most characters mean something by themselves.

    >>> tokenize("A pair of wooden shoes")
    ['pair', 'wooden', 'shoe']
    >>> tokenize("一只红色的蝴蝶 (a butterfly)")
    ['红色', '蝴蝶', 'butterfli']
    >>> tokenize("一只红色的蝴蝶", chinese="characters")
    ['红', '色', '蝴', '蝶']
    >>> tokenize("Die Hunde laufen", "german")
    ['die', 'hund', 'lauf']
    """
    check_language(language)
    english = language in ("auto", "en", "zh")
    words = split_words(clean(text))
    if stop_words:
        left_out = STOP_WORDS_EN | STOP_WORDS_ZH if english else STOP_WORDS_ZH
        words = [word for word in words if word not in left_out]
    if check_chinese(chinese) == "characters":  # after the stop words: 中 alone is "in", but not in 中国, China
        words = [part for word in words for part in (word if _is_han(word) else [word])]
    if not stem:
        return words
    return [word if _is_han(word) else _stem(word, "english" if english else language) for word in words]


def split_words(text: str) -> list[str]:
    """The words of a text as they stand, without cleaning: runs of letters and digits, Han runs divided by jieba."""
    words: list[str] = []
    for run in _words_pattern().findall(text):
        words += _jieba().lcut(run) if _is_han(run) else [run]
    return words


def split_pieces(text: str) -> tuple[list[str], list[int]]:
    """All of a text in pieces, words and what stands between them, and which pieces are words.

    >>> split_pieces("A cat, 小猫!")
    (['A', ' ', 'cat', ', ', '小猫', '!'], [0, 2, 4])
    """
    pieces: list[str] = []
    where: list[int] = []
    end = 0
    for found in _words_pattern().finditer(text):
        if found.start() > end:
            pieces.append(text[end : found.start()])
        for word in split_words(found.group()):
            where.append(len(pieces))
            pieces.append(word)
        end = found.end()
    return (pieces if end == len(text) else [*pieces, text[end:]]), where


@lru_cache(maxsize=1)
def _words_pattern() -> re.Pattern:
    """Runs of Han characters, or of other letters and digits with apostrophes inside.

    Vowel signs of Indian scripts and accents that stand alone belong to their word; ``\\w`` knows only letters.
    """
    marks = "".join(c for c in map(chr, range(0x300, 0x12000)) if unicodedata.category(c)[0] == "M")
    letter = rf"(?:(?![_{_HAN}])[\w{marks}])"
    return re.compile(rf"[{_HAN}]+|{letter}+(?:'{letter}+)*")


def _is_han(word: str) -> bool:
    return re.match(f"[{_HAN}]", word) is not None


@lru_cache(maxsize=1)
def _snowball():
    try:
        import snowballstemmer
    except ImportError:
        raise MissingPackageError("snowballstemmer", "stemming of words") from None
    return snowballstemmer


_own = threading.local()  # a stemmer keeps the word that it works on, so each thread has its own


@lru_cache(maxsize=200_000)
def _stem(word: str, language: str) -> str:
    stemmers = _own.__dict__.setdefault("stemmers", {})
    if language not in stemmers:
        stemmers[language] = _snowball().stemmer(language)
    return sys.intern(stemmers[language].stemWord(word))


_jieba_lock = threading.Lock()


def _jieba():
    with _jieba_lock:
        return _segmenter()


@lru_cache(maxsize=1)
def _segmenter():
    """A segmenter of our own: the caller's jieba stays as it is, nothing is logged, and no file is written.

    By itself jieba would keep its dictionary in the system's folder for temporary files, and trust what it finds
    there, whoever wrote it. Reading the dictionary anew takes about a second.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its source is older than today's Python
            import jieba
            import jieba.finalseg
    except ImportError:
        raise MissingPackageError("jieba", "dividing Chinese sentences into words") from None
    segmenter = jieba.Tokenizer()
    segmenter.FREQ, segmenter.total = segmenter.gen_pfdict(segmenter.get_dict_file())
    segmenter.initialized = True
    return segmenter

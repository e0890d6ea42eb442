"""Texts in one form, and their words."""

import doctest
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec_lib.encoders.text import augment, clean, cleaning, guess_language, split_words, tokenize
from mmrec_lib.errors import ParameterError

ANY = st.text(st.characters(), max_size=60)  # surrogates too
MARKUP = st.lists(
    st.sampled_from(["&", "amp;", "lt;", "&lt;", "<", ">", "b", "/", "script", "!--", " ", "＜", "\u200b"])
)


@pytest.mark.parametrize("module", [cleaning, augment])
def test_examples_in_the_docstrings(module):
    result = doctest.testmod(module)
    assert result.attempted > 4
    assert result.failed == 0


# -- clean -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("  a \t\n b\u00a0c ", "a b c"),
        ("Ｔｕｘ", "tux"),  # full-width letters
        ("ﬁsh", "fish"),  # a ligature
        ("cafe\u0301", "caf\u00e9"),  # composed and decomposed accent
        ("Straße", "strasse"),
        ("soft\u00adhyphen zero\u200bwidth \ufeffmark", "softhyphen zerowidth mark"),
        ("bell\u0007here", "bell here"),
        ("“it’s” – so", '"it\'s" - so'),
        ("<p class='x'>One<br/>two</p>", "one two"),
        ("a<!-- <b>hidden --> b", "a b"),
        ("a<script>var x = '<b>';</script>b<style>p {}</style >c", "a b c"),
        ("a<script>never closed", "a"),
        ("2 < 3 > 1", "2 < 3 > 1"),
        ("Fish &amp; chips &#8364;5 &#x20AC;6 &nbsp;&bogus;", "fish & chips €5 €6 &bogus;"),
        ("&amp;amp;lt;b&amp;gt;bold", "bold"),
        ("AT&T and R&D", "at&t and r&d"),
        ("see https://a.b/c?d=1 or WWW.x.org!", "see or"),
        ("write to joe.b+x@mail.example.org now", "write to now"),
        ("看http://a.cn/b吧", "看 吧"),
    ],
)
def test_clean_by_hand(text, expected):
    assert clean(text) == expected


def test_each_step_can_be_left_out():
    text = "<b>Go</b> to www.x.org"
    assert clean(text, fold_case=False) == "Go to"
    assert clean(text, markup=False) == "<b>go</b> to"
    assert clean(text, addresses=False) == "go to www.x.org"


@settings(max_examples=200, deadline=None)
@given(st.one_of(ANY, MARKUP.map("".join)), st.booleans(), st.booleans(), st.booleans())
def test_cleaning_twice_changes_nothing(text, fold_case, markup, addresses):
    options = {"fold_case": fold_case, "markup": markup, "addresses": addresses}
    once = clean(text, **options)
    assert clean(once, **options) == once
    assert once == once.strip()
    assert "  " not in once


@pytest.mark.parametrize("bad", ["<script>", "<!--", "<a", "&amp;", "a" * 8, "a.", "www.", "&amp;lt;", "<b>"])
def test_time_grows_with_the_length_only(bad):
    start = time.process_time()
    clean(bad * (200_000 // len(bad)))
    assert time.process_time() - start < 2


# -- languages and words -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("… 12 !", ""),
        ("The cat", "en"),
        ("小猫", "zh"),
        ("光明节的大烛台有一个shammash", "zh"),
        ("The Chinese word for cat is 猫", "en"),
        ("ねこ", "ja"),
        ("кошка", "other"),
        ("고양이", "other"),
    ],
)
def test_language_by_script(text, expected):
    assert guess_language(text) == expected


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("The dogs are running.", {}, ["dog", "run"]),
        ("The dogs are running.", {"stop_words": False}, ["the", "dog", "are", "run"]),
        ("The dogs are running.", {"stem": False}, ["dogs", "running"]),
        ("Don't stop: 3.14 o'clock", {"stop_words": False, "stem": False}, ["don't", "stop", "3", "14", "o'clock"]),
        ("Letter b, X-ray, snake_case", {"stem": False}, ["letter", "b", "x", "ray", "snake", "case"]),
        ("一只红色的蝴蝶。", {}, ["红色", "蝴蝶"]),
        ("一只红色的蝴蝶。", {"stop_words": False}, ["一只", "红色", "的", "蝴蝶"]),
        ("一只在中国的熊猫cats", {"chinese": "characters"}, ["中", "国", "熊", "猫", "cat"]),  # 中 alone is "in"
        ("A4纸和B5纸", {}, ["a4", "纸", "b5", "纸"]),
        ("数字６", {}, ["数字", "6"]),
        ("les chevaux", {"language": "french"}, ["le", "cheval"]),
        ("हिन्दी भाषा", {"stem": False}, ["हिन्दी", "भाषा"]),  # vowel signs stay with their words
        ("?!", {}, []),
    ],
)
def test_words_by_hand(text, options, expected):
    assert tokenize(text, **options) == expected


def test_fire_is_no_stop_word():
    assert tokenize("A fire truck") == ["fire", "truck"]
    assert not {"fire", "bill", "cry", "one", "letter"} & cleaning.STOP_WORDS_EN


@settings(max_examples=200, deadline=None)
@given(ANY, st.sampled_from(["auto", "en", "zh", "german", "hindi"]), st.booleans(), st.booleans())
def test_any_text_gives_words_without_blanks(text, language, stop_words, stem):
    words = tokenize(text, language, stop_words=stop_words, stem=stem)
    assert words == tokenize(text, language, stop_words=stop_words, stem=stem)
    assert all(word and not any(map(str.isspace, word)) for word in words)


@settings(max_examples=100, deadline=None)
@given(ANY)
def test_pieces_make_the_text_again(text):
    pieces, words = cleaning.split_pieces(text)
    assert "".join(pieces) == text
    assert [pieces[at] for at in words] == split_words(text)
    guess_language(text)


def test_unknown_language_is_refused_with_the_known_ones():
    with pytest.raises(ParameterError, match=r"klingon.*english"):
        tokenize("Qapla", "klingon")
    with pytest.raises(ParameterError, match="chinese='strokes'"):
        tokenize("猫", chinese="strokes")


def test_threads_do_not_disturb_each_other():
    # a stemmer holds the word that it works on: shared by threads, it mixes words up
    words = [f"{stem}{i}ings" for i in range(400) for stem in ("walk", "danc", "sing", "play")]
    expected = [tokenize(word) for word in words]
    cleaning._stem.cache_clear()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(tokenize, words)) == expected


def test_segmenting_writes_no_file_and_says_nothing(tmp_path):
    code = "from mmrec_lib.encoders.text import tokenize; print(len(tokenize('一只红色的蝴蝶')))"
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "2"
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_cleaning_needs_no_heavy_package():
    code = (
        "import sys, mmrec_lib.encoders.text as t; t.clean('a'); "
        "print([m for m in ('torch', 'gensim', 'sklearn', 'jieba', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

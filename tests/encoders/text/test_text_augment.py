"""Variants of texts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec_lib.encoders.text import drop_words, nearest_words, replace_synonyms, split_words, swap_words, variants
from mmrec_lib.errors import ParameterError

SYNONYMS = {"big": ["large", "huge"], "dog": ["hound"], "红色": ["红"]}
ANY = st.text(st.characters(), max_size=40)


def test_synonyms_keep_case_blanks_and_punctuation():
    assert replace_synonyms("Big, (big) dog!", SYNONYMS, share=1, seed=3) in {
        f"{a}, ({b}) hound!" for a in ("Large", "Huge") for b in ("large", "huge")
    }
    assert replace_synonyms("一只红色的蝴蝶。", SYNONYMS) == "一只红的蝴蝶。"
    assert replace_synonyms("A cat.", SYNONYMS, share=1) == "A cat."
    assert replace_synonyms("A big dog.", SYNONYMS, share=0) == "A big dog."
    one = replace_synonyms("big dog big dog", SYNONYMS, share=0.01).split()
    assert sum(a != b for a, b in zip(one, ["big", "dog"] * 2, strict=True)) == 1  # at least one


def test_dropping_leaves_words_in_order_and_at_least_one():
    text = "one two three four five six"
    for seed in range(20):
        left = drop_words(text, 0.5, seed).split()
        assert left == [word for word in text.split() if word in left]
    assert len(drop_words(text, 1.0, 1).split()) == 1
    assert drop_words(text, 0) == text


def test_about_the_share_is_dropped():
    text = " ".join(f"w{i}" for i in range(2000))
    assert len(drop_words(text, 0.3, 0).split()) == pytest.approx(1400, abs=90)


def test_swapping_keeps_all_words_and_the_punctuation():
    text = "Red car, blue bus; 小猫!"
    swapped = swap_words(text, 0.5, 2)
    assert sorted(split_words(swapped)) == sorted(split_words(text))
    assert swapped != text
    assert [c for c in swapped if c in ",;!"] == list(",;!")
    assert swap_words("alone") == "alone"


@settings(max_examples=100, deadline=None)
@given(ANY, st.floats(0, 1), st.integers(0, 9))
def test_any_text_and_the_same_variant_again(text, share, seed):
    for change in (drop_words, swap_words, lambda *a: replace_synonyms(a[0], SYNONYMS, *a[1:])):
        assert change(text, share, seed) == change(text, share, seed)
    assert set(split_words(drop_words(text, share, seed))) or not split_words(text)


def test_variants_of_a_text_do_not_depend_on_the_others():
    many, source = variants(["one two three four", None, "five six seven"], drop_words, times=3, share=0.5)
    assert source.tolist() == [0, 1, 2] * 4
    assert many[:3] == ["one two three four", None, "five six seven"]
    assert many[1::3] == [None] * 4
    assert len(set(many[::3])) > 1
    alone, _ = variants(["one two three four"], drop_words, times=3, share=0.5)
    assert alone == many[::3]
    other, _ = variants(["one two three four"], drop_words, times=3, share=0.5, seed=1)
    assert other != alone


def test_thesaurus_by_hand():
    words = ["hot", "warm", "cold", "odd"]
    vectors = np.array([[1, 0], [2, 0.2], [-1, 0], [0, 0]])
    assert nearest_words(words, vectors, k=2, least=0.9) == {"hot": ["warm"], "warm": ["hot"]}
    assert nearest_words(words, vectors, k=1, least=-1)["cold"] == ["odd"]
    assert list(nearest_words(words, vectors, least=0.9, most_words=1)) == []


@pytest.mark.parametrize(
    "call",
    [
        lambda: drop_words("a", 1.5),
        lambda: swap_words("a b", -1),
        lambda: replace_synonyms("big", SYNONYMS, 2),
        lambda: variants(["a"], drop_words, times=-1),
        lambda: nearest_words(["a"], np.zeros((2, 2))),
        lambda: nearest_words(["a"], np.zeros((1, 2)), k=0),
    ],
)
def test_arguments_are_checked(call):
    with pytest.raises(ParameterError):
        call()

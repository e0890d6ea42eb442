"""Answers worked out by hand, and what is particular to one operator."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import mmrec_lib as mm
from mmrec_lib.errors import ParameterError
from mmrec_lib.fusion.attention import Attention

PAIR = {"a": 1, "b": 2}
A, B = torch.tensor([[2.0], [3.0], [5.0]]), torch.tensor([[1.0, 2.0], [4.0, 0.0], [9.0, 9.0]])
# row 0 has both, row 1 only b, row 2 only a
MASK = {"a": torch.tensor([True, False, True]), "b": torch.tensor([True, True, False])}


def put(parameter, values):
    with torch.no_grad():
        parameter.copy_(torch.tensor(values).reshape(parameter.shape))


def linear(layer, weight, bias=None):
    put(layer.weight, weight)
    if bias is not None:
        put(layer.bias, bias)


def projected(name, dim=2, **options):
    """An operator whose projections are a -> (a, 10) and b -> (b1 + b2, b1 - b2)."""
    op = mm.fusion.create(name, PAIR, dim=dim, **options)
    linear(op.project["of:a"], [1.0, 0.0], [0.0, 10.0])
    linear(op.project["of:b"], [1.0, 1.0, 1.0, -1.0], [0.0, 0.0])
    return op


def run(op):
    output, weights = op({"a": A, "b": B}, MASK, return_weights=True)
    return output.detach().numpy(), weights.detach().numpy()


# tokens: a: (2, 10), -, (5, 10);  b: (3, -1), (4, 4), -
def test_sum():
    output, weights = run(projected("sum"))
    np.testing.assert_allclose(output, [[5, 9], [4, 4], [5, 10]])
    np.testing.assert_allclose(weights, [[0.5, 0.5], [0, 1], [1, 0]])


def test_mean():
    output, weights = run(projected("mean"))
    np.testing.assert_allclose(output, [[2.5, 4.5], [4, 4], [5, 10]])
    np.testing.assert_allclose(weights, [[0.5, 0.5], [0, 1], [1, 0]])


def test_scalar():
    op = projected("scalar")
    np.testing.assert_allclose(run(op)[0], [[2.5, 4.5], [4, 4], [5, 10]])  # it starts as the mean
    put(op.logits["of:b"], float(np.log(3)))  # 1 : 3
    output, weights = run(op)
    np.testing.assert_allclose(output, [[2.75, 1.75], [4, 4], [5, 10]], rtol=1e-6)
    np.testing.assert_allclose(weights, [[0.25, 0.75], [0, 1], [1, 0]], rtol=1e-6)


def test_gate():
    op = projected("gate", hidden=1)
    # hidden = tanh(a's first - b's first + 1): tanh(0) = 0 in row 0
    linear(op.look["of:a"], [1.0, 0.0], [1.0])
    linear(op.look["of:b"], [-1.0, 0.0], [0.0])
    linear(op.judge["of:a"], [2.0], [float(np.log(4))])
    linear(op.judge["of:b"], [5.0], [0.0])
    output, weights = run(op)
    np.testing.assert_allclose(weights, [[0.8, 0.2], [0, 1], [1, 0]], rtol=1e-6)
    np.testing.assert_allclose(output, [[2.2, 7.8], [4, 4], [5, 10]], rtol=1e-6)
    # another item, other weights: a = 3 gives tanh(1), so log-odds 2 tanh(1) + log 4 - 5 tanh(1)
    _, weights = op({"a": torch.tensor([[3.0]]), "b": B[:1]}, return_weights=True)
    assert weights[0, 0].item() == pytest.approx(1 / (1 + np.exp(3 * np.tanh(1)) / 4), rel=1e-5)


def test_concat():
    op = projected("concat")
    linear(op.combine["of:a"], [1.0, 0.0, 0.0, 0.5])  # (2, 10) -> (2, 5)
    linear(op.combine["of:b"], [0.0, 2.0, 1.0, 0.0])  # (3, -1) -> (-2, 3);  (4, 4) -> (8, 4)
    put(op.missing["of:a"], [100.0, 0.0])
    put(op.missing["of:b"], [0.0, 100.0])
    put(op.bias, [0.5, 0.25])
    output, weights = run(op)
    np.testing.assert_allclose(output, [[0.5, 8.25], [108.5, 4.25], [5.5, 105.25]])
    a, b = np.hypot(2, 5), np.hypot(2, 3)
    np.testing.assert_allclose(weights, [[a / (a + b), b / (a + b)], [0, 1], [1, 0]], rtol=1e-6)


def test_bilinear():
    op = mm.fusion.create("bilinear", PAIR, dim=1, rank=2)
    linear(op.factors["of:a"], [1.0, 2.0], [1.0, 0.0])  # a = 2 -> (3, 4);  5 -> (6, 10)
    linear(op.factors["of:b"], [1.0, 0.0, 0.0, 1.0], [1.0, -1.0])  # (1, 2) -> (2, 1);  (4, 0) -> (5, -1)
    put(op.mix, [1.0, 10.0])
    put(op.bias, [0.5])
    output, weights = run(op)
    np.testing.assert_allclose(output, [[3 * 2 + 40 * 1 + 0.5], [5 - 10 + 0.5], [6 + 100 + 0.5]])
    a, b = np.hypot(2, 3), np.hypot(1, 0)
    np.testing.assert_allclose(weights, [[a / (a + b), b / (a + b)], [0, 1], [1, 0]], rtol=1e-6)


def test_bilinear_starts_at_zero_for_zero_vectors():
    op = mm.fusion.create("bilinear", PAIR, dim=3, rank=2)
    np.testing.assert_allclose(op({"a": torch.zeros(1, 1), "b": torch.zeros(1, 2)}).detach(), np.zeros((1, 3)))


def test_bilinear_is_the_low_rank_form_of_a_tensor_product():
    """Equation 5 of Liu et al.: the same numbers from the full weight tensor over the outer product of [x; 1]."""
    op = mm.fusion.create("bilinear", PAIR, dim=3, rank=2, seed=4).double()
    a, b = A.double(), B.double()
    factor = {
        m: torch.cat([op.factors[f"of:{m}"].weight, op.factors[f"of:{m}"].bias[:, None]], dim=1).view(2, 3, -1)
        for m in PAIR
    }
    tensor = torch.einsum("r,rdi,rdj->dij", op.mix, factor["a"], factor["b"])
    z = [torch.cat([x, torch.ones(3, 1).double()], dim=1) for x in (a, b)]
    expected = torch.einsum("dij,ni,nj->nd", tensor, *z) + op.bias
    torch.testing.assert_close(op({"a": a, "b": b}), expected)


def test_tensor():
    op = mm.fusion.create("tensor", PAIR, dim=1, width=1)
    linear(op.project["of:a"], [1.0], [1.0])  # 2 -> 3;  5 -> 6
    linear(op.project["of:b"], [1.0, 1.0], [0.0])  # (1, 2) -> 3;  (4, 0) -> 4
    linear(op.combine, [1000.0, 100.0, 10.0, 1.0])  # a b, a, b, 1
    output, weights = run(op)
    np.testing.assert_allclose(output, [[9331], [41], [601]])
    np.testing.assert_allclose(weights, [[0.5, 0.5], [0, 1], [1, 0]])


def test_tensor_too_large():
    with pytest.raises(ParameterError, match=r"59,049 entries.*width=6 or less.*bilinear"):
        mm.fusion.create("tensor", {f"m{i}": 2 for i in range(5)}, width=8)
    assert mm.fusion.create("tensor", {f"m{i}": 2 for i in range(5)}).combine.in_features == 7**5
    with pytest.raises(ParameterError, match='more than 20,000: take "bilinear"'):
        mm.fusion.create("tensor", {f"m{i}": 2 for i in range(15)})


def plain_attention(size=2, heads=1):
    """Attention whose value and output are the identity."""
    attention = Attention(size, heads)
    linear(attention.value, np.eye(size).tolist(), [0.0] * size)
    linear(attention.output, np.eye(size).tolist())
    return attention


def test_attention_with_equal_keys_is_the_mean():
    attention = plain_attention(heads=2)
    linear(attention.key, [0.0] * 4)
    tokens = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [100.0, 100.0]]])
    seen, weights = attention(torch.randn(1, 1, 2), tokens, torch.tensor([[True, True, False]]))
    np.testing.assert_allclose(seen.detach(), [[[2, 3]]])
    np.testing.assert_allclose(weights.detach(), [[[0.5, 0.5, 0]]])


def test_attention_known_scores():
    attention = plain_attention()
    linear(attention.query, [1.0, 0.0, 0.0, 1.0], [0.0, 0.0])
    linear(attention.key, [1.0, 0.0, 0.0, 1.0])
    step = np.log(2) * np.sqrt(2)  # two units of score, after the division by the root of the size
    tokens = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    asking = torch.tensor([[[step, 0.0]]], dtype=torch.float32)
    seen, weights = attention(asking, tokens, torch.ones(1, 2, dtype=bool))
    np.testing.assert_allclose(weights.detach(), [[[2 / 3, 1 / 3]]], rtol=1e-6)
    np.testing.assert_allclose(seen.detach(), [[[2 / 3, 1 / 3]]], rtol=1e-6)


def test_attention_is_that_of_torch():
    torch.manual_seed(0)
    attention = Attention(8, heads=4)
    tokens, present = torch.randn(5, 3, 8), torch.tensor([[True, True, False]] * 5)
    q, k, v = (f(tokens).view(5, 3, 4, 2).transpose(1, 2) for f in (attention.query, attention.key, attention.value))
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=present[:, None, None])
    expected = attention.output(expected.transpose(1, 2).reshape(5, 3, 8))
    torch.testing.assert_close(attention(tokens, tokens, present)[0], expected)
    nothing, weights = attention(tokens, tokens, torch.zeros(5, 3, dtype=bool))
    assert not nothing.any()
    assert not weights.any()


def test_selfattention_with_equal_keys():
    op = projected("selfattention", heads=1)
    op.attention = plain_attention()
    linear(op.attention.key, [0.0] * 4)
    output, weights = run(op)  # each sees the mean, so that the result is twice the mean
    np.testing.assert_allclose(output, [[5, 9], [8, 8], [10, 20]])
    np.testing.assert_allclose(weights, [[0.5, 0.5], [0, 1], [1, 0]])


def test_crossattention_with_equal_keys():
    op = projected("crossattention", heads=1)
    op.attention = plain_attention()
    linear(op.attention.key, [0.0] * 4)
    output, weights = run(op)
    np.testing.assert_allclose(output, [[2.5, 4.5], [4, 4], [5, 10]])
    np.testing.assert_allclose(weights, [[0.5, 0.5], [0, 1], [1, 0]])


def test_crossattention_of_one_modality():
    op = projected("crossattention", heads=1, query="a")
    op.attention = plain_attention()
    output, weights = run(op)  # b alone is seen, whatever the scores: a + b
    np.testing.assert_allclose(output, [[5, 9], [4, 4], [5, 10]])
    np.testing.assert_allclose(weights, [[0.5, 0.5], [0, 1], [1, 0]])


def test_crossattention_learned_query_asks_where_the_modality_is_missing():
    dims = {"a": 2, "b": 2, "c": 2}
    op = mm.fusion.create("crossattention", dims, dim=4, query="a")
    x = {m: torch.randn(3, 2, generator=torch.Generator().manual_seed(i)) for i, m in enumerate(dims)}
    without = {"a": torch.tensor([True, False, True])}
    before = op(x, without)
    with torch.no_grad():
        op.learned += 1
    changed = (op(x, without) != before).any(dim=1)
    assert changed.tolist() == [False, True, False]


def test_transformer_rollout_of_one_layer():
    """With equal keys CLS and the two present tokens get a third each: rolled out a sixth each, as shares a half."""
    op = mm.fusion.create("transformer", {"a": 1, "b": 1, "c": 1}, dim=4, layers=1)
    linear(op.blocks[0].attention.key, torch.zeros_like(op.blocks[0].attention.key.weight).tolist())
    mask = {"c": torch.tensor([False])}
    _, weights = op({m: torch.ones(1, 1) for m in "abc"}, mask, return_weights=True)
    np.testing.assert_allclose(weights.detach(), [[0.5, 0.5, 0]], rtol=1e-6)


class _Looks(torch.nn.Module):
    """A block that changes nothing and looks as it is told."""

    def __init__(self, weights):
        super().__init__()
        self.weights = torch.tensor([weights])

    def forward(self, tokens, present):
        return tokens, self.weights


def test_transformer_rollout_of_two_layers():
    """First CLS looks at a, and a at b; then CLS looks at b. Half of each token stays where it is.

    After the first layer CLS holds (1/2 CLS, 1/2 a), b is b; after the second (1/4 CLS, 1/4 a, 1/2 b).
    """
    op = mm.fusion.create("transformer", {"a": 1, "b": 1}, dim=4)
    op.blocks = torch.nn.ModuleList(
        [_Looks([[0.0, 1, 0], [0, 0, 1], [0, 0, 1]]), _Looks([[0.0, 0, 1], [0, 1, 0], [0, 0, 1]])]
    )
    _, weights = op({"a": torch.ones(1, 1), "b": torch.ones(1, 1)}, return_weights=True)
    np.testing.assert_allclose(weights, [[1 / 3, 2 / 3]], rtol=1e-6)


def test_graph_by_hand():
    """With A = 0, c = 0 and B the identity a node adds GELU(mean of the others)."""
    op = projected("graph", layers=1)
    linear(op.own[0], [0.0] * 4, [0.0, 0.0])
    linear(op.others[0], [1.0, 0.0, 0.0, 1.0])
    output, weights = run(op)
    gelu = torch.nn.functional.gelu
    a, b = torch.tensor([2.0, 10.0]), torch.tensor([3.0, -1.0])
    nodes = torch.stack([a + gelu(b), b + gelu(a)])
    np.testing.assert_allclose(output[0], nodes.mean(dim=0), rtol=1e-6)
    np.testing.assert_allclose(output[1:], [[4, 4], [5, 10]])
    np.testing.assert_allclose(weights[0], nodes.norm(dim=1) / nodes.norm(dim=1).sum(), rtol=1e-6)


def test_experts_by_hand():
    """One expert that answers 1, one that answers 5, and a gate of 3 : 1."""
    op = projected("experts", experts=2)
    for expert, answer in zip(op.experts, (1.0, 5.0), strict=True):
        linear(expert[-1], [0.0] * expert[-1].weight.numel(), [answer, answer])
    linear(op.gate, [0.0] * 4, [float(np.log(3)), 0.0])
    np.testing.assert_allclose(run(op)[0], np.full((3, 2), 2.0), rtol=1e-6)


def test_joint_by_hand():
    op = mm.fusion.create("joint", PAIR, dim=1, hidden=1)
    linear(op.enter["of:a"], [10.0])
    linear(op.enter["of:b"], [20.0, 10.0])
    put(op.missing["of:a"], [7.0])
    put(op.missing["of:b"], [8.0])
    put(op.bias, [100.0])  # far to the right GELU is the identity
    linear(op.leave[-1], [2.0], [1.0])
    output, weights = run(op)
    np.testing.assert_allclose(output, [[321], [375], [317]], rtol=1e-6)
    np.testing.assert_allclose(weights, [[1 / 3, 2 / 3], [0, 1], [1, 0]], rtol=1e-6)


def test_separate_is_the_weighted_mean_of_encoders():
    op = mm.fusion.create("separate", PAIR, dim=4)
    put(op.logits["of:a"], float(np.log(4)))
    a, b = op({"a": A}), op({"b": B})
    torch.testing.assert_close(op({"a": A, "b": B}), 0.8 * a + 0.2 * b)


@pytest.mark.parametrize("name", ["joint", "separate", "experts", "transformer"])
def test_dropout_acts_in_training_only(name):
    op = mm.fusion.create(name, PAIR, dim=4, dropout=0.5)
    x = {"a": A, "b": B}
    assert not torch.equal(op(x), op(x))
    assert torch.equal(op.eval()(x), op(x))


@pytest.mark.parametrize("name", mm.fusion.available())
def test_it_learns(name):
    """The answer needs both modalities: one alone leaves a fifth of the variance at best."""
    generator = torch.Generator().manual_seed(0)
    x = {m: torch.randn(200, 2, generator=generator) for m in ("left", "right")}
    target = x["left"] - 2 * x["right"].flip(1)
    op = mm.fusion.create(name, dict.fromkeys(x, 2), dim=2)
    optimizer = torch.optim.Adam(op.parameters(), lr=0.03)
    for _ in range(120):
        loss = (op(x) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.15 * target.var()


def test_as_tensors():
    features = mm.data.Features({"b": [[1.0, 2.0], [3.0, 4.0]], "a": [[5], [6]]}, mask={"b": [False, True]})
    vectors, mask = mm.fusion.as_tensors(features)
    assert list(vectors) == list(mask) == ["b", "a"]
    assert vectors["b"].tolist() == [[0, 0], [3, 4]]
    assert vectors["a"].dtype == torch.float32
    assert mask["b"].tolist() == [False, True]
    assert mask["a"].dtype == torch.bool
    vectors["a"].zero_()  # a copy
    assert features["a"].tolist() == [[5], [6]]
    assert mm.fusion.create("mean", features.dims, dim=3)(vectors, mask).shape == (2, 3)
    with pytest.raises(ParameterError, match="device"):
        mm.fusion.as_tensors(features, device="abacus")


def test_torch_loads_only_when_an_operator_is_made():
    program = (
        "import sys, mmrec_lib as mm; mm.fusion.available(); print('torch' in sys.modules); "
        "mm.fusion.create('mean', {'a': 1}); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]

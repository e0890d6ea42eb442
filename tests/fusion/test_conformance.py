"""What must hold for every operator of early fusion."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mmrec_lib as mm
from mmrec_lib.errors import FeatureError, ParameterError, UnknownNameError

# Names that torch's containers cannot hold as they are, or use themselves.
DIMS = {"text": 3, "image.clip": 5, "items": 2}
VARIANTS = [
    *((name, {}) for name in mm.fusion.available()),
    ("crossattention", {"query": "image.clip"}),
    ("selfattention", {"heads": 3}),
    ("transformer", {"layers": 1, "width": 5}),
]
N, DIM = 12, 8


def make(variant, dims=DIMS, seed=0, dim=DIM):
    name, options = variant
    return mm.fusion.create(name, dims, dim=dim, seed=seed, **options).eval()


def inputs(seed=0, n=N, dims=DIMS, p=0.6):
    """Random vectors, and a mask that leaves at least one modality in every row."""
    rng = np.random.default_rng(seed)
    features = {m: torch.tensor(rng.normal(size=(n, d)), dtype=torch.float32) for m, d in dims.items()}
    present = rng.random((n, len(dims))) < p
    present[np.arange(n), rng.integers(len(dims), size=n)] = True
    return features, {m: torch.tensor(present[:, i]) for i, m in enumerate(dims)}


every = pytest.mark.parametrize(
    "variant", VARIANTS, ids=["-".join([name, *map(str, options)]) for name, options in VARIANTS]
)


def test_all_are_registered():
    assert set(mm.fusion.available()) >= {
        "sum", "mean", "concat", "scalar", "gate", "bilinear", "tensor", "experts", "selfattention",
        "crossattention", "transformer", "joint", "separate", "graph",
    }  # fmt: skip


@every
def test_shape_repeatability_and_seed(variant):
    features, mask = inputs()
    output = make(variant)(features, mask)
    assert output.shape == (N, DIM)
    assert output.isfinite().all()
    assert torch.equal(output, make(variant)(features, mask))
    assert not torch.equal(output, make(variant, seed=1)(features, mask))


@every
def test_making_one_leaves_torchs_generator_alone(variant):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    make(variant)
    assert torch.equal(torch.rand(2), expected)


@every
@settings(max_examples=6, deadline=None)
@given(order=st.permutations(list(DIMS)), call=st.permutations(list(DIMS)), seed=st.integers(0, 99))
def test_order_of_the_modalities_does_not_matter(variant, order, call, seed):
    features, mask = inputs(seed)
    one = make(variant)
    output, weights = one(features, mask, return_weights=True)
    other = make(variant, {m: DIMS[m] for m in order}, seed=7)
    other.load_state_dict(one.state_dict())
    again, permuted = other({m: features[m] for m in call}, {m: mask[m] for m in reversed(call)}, return_weights=True)
    assert torch.equal(again, output)
    assert torch.equal(permuted, weights[:, [list(DIMS).index(m) for m in call]])
    fresh = make(variant, {m: DIMS[m] for m in order})  # the initial weights do not depend on the order either
    assert torch.equal(fresh(features, mask), output)


@every
@settings(max_examples=6, deadline=None)
@given(
    fill=st.sampled_from([1.0, -7.5, 1e30, float("nan"), float("inf"), -float("inf")]),
    seed=st.integers(0, 99),
    train=st.booleans(),
)
def test_what_is_masked_has_no_influence(variant, fill, seed, train):
    features, mask = inputs(seed, p=0.4)
    changed = {m: torch.where(mask[m][:, None], x, fill).requires_grad_() for m, x in features.items()}
    op = make(variant).train(train)
    output, weights = op(changed, mask, return_weights=True)
    expected, expected_weights = op(features, mask, return_weights=True)
    assert torch.equal(output, expected)
    assert torch.equal(weights, expected_weights)
    (output.square().sum() + weights.square().sum()).backward()
    for m, x in changed.items():
        assert x.grad.isfinite().all()
        assert (x.grad[~mask[m]] == 0).all()
    assert all(p.grad.isfinite().all() for p in op.parameters() if p.grad is not None)


@every
def test_absent_is_the_same_as_masked_everywhere(variant):
    features, _ = inputs()
    op = make(variant)
    for gone in DIMS:
        rest = {m: x for m, x in features.items() if m != gone}
        output, weights = op(features, {gone: torch.zeros(N, dtype=bool)}, return_weights=True)
        less, less_weights = op(rest, return_weights=True)
        assert torch.equal(less, output)
        assert torch.equal(less_weights, weights[:, [m != gone for m in DIMS]])
        assert not torch.allclose(output, op(features))


@pytest.mark.parametrize("variant", [v for v in VARIANTS if v[0] not in ("concat", "joint", "tensor")], ids=str)
def test_a_missing_modality_is_neutral(variant):
    """The others give what they give in an operator that never heard of it.

    Not so where an indicator says that it is missing; and the weights of the tensor product have another shape.
    """
    features, mask = inputs()
    few = {m: x for m, x in features.items() if m != "items"}
    op, smaller = make(variant), make(variant, {m: DIMS[m] for m in few}, seed=1)
    smaller.load_state_dict({name: w for name, w in op.state_dict().items() if "of:items" not in name})
    torch.testing.assert_close(op(few, mask), smaller(few, {m: mask[m] for m in few}))


@every
@pytest.mark.parametrize("dim", [1, 2, 8])
def test_one_modality_is_enough(variant, dim):
    op = make(variant, dim=dim)
    for only, vectors in inputs(5)[0].items():
        output, weights = op({only: vectors}, return_weights=True)
        assert output.isfinite().all()
        assert (output.abs().sum(dim=1) > 1e-4).all()
        assert (torch.cdist(output, output) + torch.eye(N) > 1e-5).all()  # other inputs, other outputs
        torch.testing.assert_close(weights, torch.ones(N, 1))


@every
def test_gradients_reach_everything_that_is_present(variant):
    features, mask = inputs(n=40)
    features = {m: x.requires_grad_() for m, x in features.items()}
    op = make(variant)
    target = torch.randn(40, DIM, generator=torch.Generator().manual_seed(0))
    (op(features, mask) * target).sum().backward()
    for name, parameter in op.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 1e-6, name
    for m, x in features.items():
        assert (x.grad.abs().sum(dim=1) > 0).eq(mask[m]).all()


@every
def test_a_missing_modality_teaches_its_branch_nothing_but_that_it_is_missing(variant):
    op = make(variant)
    for m in DIMS:
        op.zero_grad()
        op({o: x for o, x in inputs()[0].items() if o != m}).square().sum().backward()
        own = {name: p.grad for name, p in op.named_parameters() if f"of:{m.replace('.', '%2E')}" in name}
        assert any("weight" in name for name in own)
        assert not [name for name, grad in own.items() if grad is not None and grad.any() and "missing" not in name]


@every
def test_rows_do_not_influence_each_other(variant):
    features, mask = inputs()
    changed, changed_mask = inputs(1)
    for m in DIMS:
        changed[m][:3], changed_mask[m][:3] = features[m][:3], mask[m][:3]
        changed[m][5], changed_mask[m][5] = torch.nan, True
    op = make(variant).train()
    output = op(features, mask)
    other = op(changed, changed_mask)
    assert torch.equal(other[:3], output[:3])
    assert other[5].isnan().any()
    alone = torch.cat([op({m: features[m][i : i + 1] for m in DIMS}, {m: mask[m][i : i + 1] for m in DIMS})
                       for i in range(N)])  # fmt: skip
    torch.testing.assert_close(alone, output, rtol=1e-5, atol=1e-6)


@every
def test_no_modality_gives_zeros_and_nothing_to_learn(variant):
    features, mask = inputs()
    mask = {m: here & (torch.arange(N) > 3) for m, here in mask.items()}
    op = make(variant)
    output, weights = op(features, mask, return_weights=True)
    assert (output[:4] == 0).all()
    assert (weights[:4] == 0).all()
    assert output[4:].any(dim=1).all()
    output[:4].sum().backward()
    assert all((p.grad == 0).all() for p in op.parameters() if p.grad is not None)
    assert op({m: x[:0] for m, x in features.items()}).shape == (0, DIM)


@every
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 999), p=st.floats(0, 1))
def test_weights_are_shares_of_what_is_present(variant, seed, p):
    features, mask = inputs(seed, p=p)
    op = make(variant, seed=seed)
    output, weights = op(features, mask, return_weights=True)
    present = torch.stack(list(mask.values()), dim=1)
    assert weights.shape == (N, len(DIMS))
    assert weights.dtype == torch.float32
    assert ((weights > 0) == present).all()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(N))
    assert torch.equal(op(features, mask), output)


@every
def test_weights_survive_parts_of_length_zero(variant):
    op = make(variant)
    with torch.no_grad():
        for parameter in op.parameters():
            parameter.zero_()
    features, mask = inputs()
    output, weights = op(features, mask, return_weights=True)
    assert output.isfinite().all()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(N))


@every
def test_saved_and_loaded_it_is_the_same(variant, tmp_path):
    from safetensors.torch import load_file, save_file

    features, mask = inputs()
    op, other = make(variant), make(variant, seed=5)
    save_file(op.state_dict(), tmp_path / "op.safetensors")
    other.load_state_dict(load_file(tmp_path / "op.safetensors"))
    assert torch.equal(other(features, mask), op(features, mask))
    assert torch.equal(copy.deepcopy(op)(features, mask), op(features, mask))


@every
def test_double_precision(variant):
    features, mask = inputs()
    op = make(variant)
    output, weights = op.double()({m: x.double() for m, x in features.items()}, mask, return_weights=True)
    assert output.dtype == weights.dtype == torch.float64
    torch.testing.assert_close(output.float(), make(variant)(features, mask), rtol=1e-4, atol=1e-5)


@every
@pytest.mark.parametrize("dims", [{"a": 1}, {"a": 1, "b": 700}, dict.fromkeys("abcdef", 2)])
def test_other_numbers_and_sizes_of_modalities(variant, dims):
    name, options = variant
    op = make((name, options | {"query": "a"} if "query" in options else options), dims)
    output, weights = op(*inputs(dims=dims), return_weights=True)
    assert output.isfinite().all()
    assert weights.shape == (N, len(dims))


@every
def test_errors_say_what_to_do(variant):
    op = make(variant)
    features, mask = inputs()
    for change, message in [
        ({"sound": torch.ones(N, 2)}, "'sound' is unknown.*text"),
        ({"text": torch.ones(N, 4)}, r"'text'.*\(12, 4\), expected \(rows, 3\)"),
        ({"text": torch.ones(N - 1, 3)}, "different numbers of rows.*'text': 11"),
        ({"text": torch.ones(N, 3, dtype=int)}, "'text'.*floats.*int64.*as_tensors"),
        ({"text": np.ones((N, 3))}, "'text'.*floats.*ndarray.*as_tensors"),
    ]:
        with pytest.raises(FeatureError, match=message):
            op(features | change, mask)
    for here in (torch.ones(N), torch.ones(N - 1, dtype=bool), torch.ones(N, 1, dtype=bool), [True] * N):
        with pytest.raises(FeatureError, match=r"mask\['text'\].*boolean tensor of shape \(12,\)"):
            op(features, mask | {"text": here})
    with pytest.raises(FeatureError, match="'sound' is unknown"):
        op(features, {"sound": torch.ones(N, dtype=bool)})
    with pytest.raises(FeatureError, match="no modality"):
        op({})


@every
def test_dims_that_make_no_sense(variant):
    for dims in ({}, None, {"a": 0}, {"a": 1.5}, {"a": True}, {3: 4}):
        with pytest.raises(ParameterError, match="dims"):
            mm.fusion.create(variant[0], dims)


@every
def test_settings_that_make_no_sense(variant):
    name = variant[0]
    for wrong in ({"dim": 0}, {"seed": -1}, {"dim": 2.5}):
        with pytest.raises(ParameterError, match=next(iter(wrong))):
            mm.fusion.create(name, DIMS, **wrong)
    with pytest.raises(ParameterError, match="has no setting 'unheard'"):
        mm.fusion.create(name, DIMS, unheard=1)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("gate", {"hidden": 0}), ("concat", {"width": -1}), ("bilinear", {"rank": 0}), ("tensor", {"width": 0}),
        ("experts", {"experts": 0}), ("experts", {"dropout": 1}), ("joint", {"dropout": -1}), ("joint", {"hidden": 0}),
        ("separate", {"hidden": 1.5}), ("separate", {"dropout": "much"}), ("graph", {"layers": 0}),
        ("selfattention", {"heads": 0}), ("crossattention", {"query": "sound"}), ("transformer", {"layers": 0}),
        ("transformer", {"width": 3}), ("transformer", {"hidden": 0}), ("transformer", {"dropout": 2}),
    ],
)  # fmt: skip
def test_options_that_make_no_sense(name, wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        mm.fusion.create(name, DIMS, **wrong)


def test_unknown_operator():
    with pytest.raises(UnknownNameError, match="Did you mean 'bilinear'"):
        mm.fusion.create("bilinaer", DIMS)
    assert mm.fusion.get_class("Self-Attention") is mm.fusion.get_class("selfattention")

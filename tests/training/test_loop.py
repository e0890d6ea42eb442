import numpy as np
import pytest
import torch
from torch import nn

from mmrec_lib.errors import ModelFileError, ParameterError, TrainingError
from mmrec_lib.training import loop


class Point(nn.Module):
    """One number, pulled towards a target by the loss."""

    def __init__(self, start=0.0):
        super().__init__()
        self.x = nn.Parameter(torch.tensor([float(start)]))


def towards(module, target=1.0):
    return lambda batch: (module.x - target).square().sum() * batch


def ones(epoch):
    return [1.0]


def sgd(module, rate=0.1):
    return torch.optim.SGD(module.parameters(), rate)


def test_gradients_are_cleared_in_each_step():
    # by hand: x - 1 shrinks by 1 - 2 * 0.1 in each of three steps. Gradients that pile up would overshoot.
    module = Point()
    loop.fit(module, lambda epoch: [1.0] * 3, towards(module), epochs=1, optimizer=sgd(module))
    assert module.x.item() == pytest.approx(1 - 0.8**3, abs=1e-6)


def test_history_records_each_epoch():
    module = Point()
    metrics = iter([0.5, 0.7])
    result = loop.fit(
        module, ones, towards(module), epochs=4, optimizer=sgd(module), validate=lambda: next(metrics), eval_every=2
    )
    assert result.history.columns.tolist() == ["epoch", "loss", "metric", "seconds"]
    assert result.history["epoch"].tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(result.history["loss"], [1.0, 0.64, 0.4096, 0.262144], rtol=1e-5)
    np.testing.assert_array_equal(result.history["metric"], [np.nan, 0.5, np.nan, 0.7])
    assert (result.history["seconds"] > 0).all()


def test_early_stopping_stops_and_restores_the_best_state():
    module = Point()
    metrics = iter([0.1, 0.4, 0.3, 0.2, 0.9])  # the last is never asked for
    result = loop.fit(
        module, ones, towards(module), epochs=50, optimizer=sgd(module), validate=lambda: next(metrics), patience=2
    )
    assert len(result.history) == 4
    assert result.best_epoch == 2
    assert result.best_metric == 0.4
    assert module.x.item() == pytest.approx(1 - 0.8**2, abs=1e-6)


def test_patience_none_runs_to_the_end():
    module = Point()
    result = loop.fit(module, ones, towards(module), epochs=9, validate=lambda: 0.0, patience=None)
    assert len(result.history) == 9
    assert result.best_epoch == 1


def test_validation_sees_evaluation_mode_and_training_goes_on_in_training_mode():
    module, modes = Point(), []

    def loss(batch):
        modes.append(("train", module.training))
        return module.x.square().sum()

    def validate():
        modes.append(("valid", module.training or torch.is_grad_enabled()))
        return 0.0

    loop.fit(module, ones, loss, epochs=2, validate=validate)
    assert modes == [("train", True), ("valid", False)] * 2
    assert not module.training


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_with_an_explanation(bad):
    module = Point()
    with pytest.raises(TrainingError, match=r"epoch 2.*learning rate"):
        loop.fit(module, lambda e: [1.0 if e < 2 else bad], towards(module), epochs=5)


class Noisy(nn.Module):
    """Dropout and a running optimiser state: whatever a resumed run could get wrong."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.w = nn.Parameter(torch.randn(8, 1, generator=generator))
        self.dropout = nn.Dropout(0.5)

    def loss(self, batch):
        return (self.dropout(batch) @ self.w - batch.sum(1, keepdim=True)).square().mean()


def _train(epochs, checkpoint=None, metrics=None):
    module = Noisy()

    def batches(epoch):
        x = loop.epoch_rng(0, epoch).normal(size=(3, 16, 8)).astype(np.float32)
        return torch.from_numpy(x)

    validate = None if metrics is None else lambda: -float(module.w.square().sum() - metrics)
    result = loop.fit(
        module, batches, module.loss, epochs=epochs, learning_rate=0.05, validate=validate, eval_every=2, patience=3,
        checkpoint=checkpoint,
    )  # fmt: skip
    return module, result


@pytest.mark.parametrize("metrics", [None, 0.0])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, metrics):
    file = tmp_path / "run" / "checkpoint.safetensors"
    whole, expected = _train(8, metrics=metrics)
    _train(4, file, metrics)
    resumed, found = _train(8, file, metrics)
    assert torch.equal(whole.w, resumed.w)
    assert found.best_epoch == expected.best_epoch
    columns = ["epoch", "loss", "metric"]
    np.testing.assert_array_equal(found.history[columns], expected.history[columns])
    assert [f.name for f in file.parent.iterdir()] == [file.name]  # no temporary file stays


def test_a_finished_run_resumes_to_itself(tmp_path):
    file = tmp_path / "c.safetensors"
    first, _ = _train(6, file, metrics=0.0)
    again, result = _train(6, file, metrics=0.0)
    assert torch.equal(first.w, again.w)
    assert len(result.history) <= 6


def test_a_run_that_stopped_early_does_not_go_on_when_resumed(tmp_path):
    file = tmp_path / "c.safetensors"
    module = Point()
    arguments = {"epochs": 50, "validate": lambda: 0.0, "patience": 3, "checkpoint": file}
    stopped = loop.fit(module, ones, towards(module), **arguments)
    again = loop.fit(Point(), ones, towards(module), **arguments)
    assert len(stopped.history) == len(again.history) == 4


def test_a_damaged_or_foreign_checkpoint_is_named(tmp_path):
    file = tmp_path / "c.safetensors"
    file.write_bytes(b"nonsense")
    with pytest.raises(ModelFileError, match=r"c\.safetensors"):
        _train(2, file)
    file.unlink()
    module = Point()
    loop.fit(module, ones, towards(module), epochs=1, checkpoint=file)
    with pytest.raises(ModelFileError, match="delete it"):
        _train(2, file)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / "c"
    loop.write_atomically(file, b"old")

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="space"):
        loop.write_atomically(file, b"new")
    assert file.read_bytes() == b"old"
    assert [f.name for f in tmp_path.iterdir()] == ["c"]


def test_the_callers_random_state_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    _train(2)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("name", ["epochs", "eval_every", "patience"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True])
def test_bad_counts(name, value):
    module = Point()
    with pytest.raises(ParameterError, match=name):
        loop.fit(module, ones, towards(module), **{"epochs": 1, name: value})


def test_mixed_precision_on_request():
    module, types = nn.Linear(4, 1), []

    def loss(batch):
        out = module(batch)
        types.append(out.dtype)
        return out.float().square().mean()

    loop.fit(module, lambda e: [torch.ones(2, 4)], loss, epochs=1, amp=True)
    loop.fit(module, lambda e: [torch.ones(2, 4)], loss, epochs=1)
    assert types == [torch.bfloat16, torch.float32]


def test_freed_memory_is_kept_only_while_training_on_a_cpu(monkeypatch):
    calls = []

    class Libc:
        def mallopt(self, parameter, value):
            calls.append((parameter, value))

        def malloc_trim(self, pad):
            calls.append("trim")

    monkeypatch.setattr(loop.ctypes, "CDLL", lambda name: Libc())
    with pytest.raises(ZeroDivisionError), loop.freed_memory_kept(torch.device("cpu")):  # noqa: PT012
        assert [value for _, value in calls] == [2**30, 2**30]
        _ = 1 / 0
    assert calls[2:] == [(-3, 2**25), (-1, 2**26), "trim"]
    with loop.freed_memory_kept(torch.device("cuda")):
        assert len(calls) == 5


def test_training_goes_on_where_the_c_library_is_another(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(loop.ctypes, "CDLL", missing)
    entered = False
    with loop.freed_memory_kept(torch.device("cpu")):
        entered = True
    assert entered

import pytest
import torch

from mmrec_lib.errors import ParameterError
from mmrec_lib.training.device import resolve


def test_auto_prefers_cuda_then_mps_then_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve().type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve("auto").type == "mps"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve("auto").type == "cpu"


def test_a_device_object_passes_through():
    assert resolve(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:99", 3.5])
def test_a_device_that_does_not_exist_is_refused(name):
    with pytest.raises(ParameterError, match="device"):
        resolve(name)

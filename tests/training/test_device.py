import sys

import numpy as np
import pytest
import torch

import mmrec_lib as mm
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


@pytest.mark.parametrize(("cuda", "mps", "chosen"), [(True, False, "long"), (False, True, "long"), (False, False, 8)])
def test_settings_follow_the_device(monkeypatch, cuda, mps, chosen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert mm.by_device(cpu=8, gpu="long") == chosen
    assert mm.by_device(cpu=8, gpu="long", device="cpu") == 8


def test_settings_are_named():
    with pytest.raises(TypeError):
        mm.by_device(8, 60)


def test_about_names_versions_and_device(monkeypatch):
    python = ".".join(map(str, sys.version_info[:3]))
    versions = f"mmrec_lib {mm.__version__}, Python {python}, torch {torch.__version__}, numpy {np.__version__}"
    assert mm.about("cpu").startswith(versions)
    assert mm.about("cpu").endswith("; device: CPU")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"Tesla T4 ({device})")
    assert mm.about().endswith("; device: Tesla T4 (cuda)")

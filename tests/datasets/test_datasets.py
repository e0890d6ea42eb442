"""The room's front door."""

import subprocess
import sys

import pytest

import mmrec_lib as mm
from mmrec_lib.errors import UnknownNameError


def test_names():
    assert mm.datasets.available() == ["amazon-2023", "ml-100k", "stamps"]
    with pytest.raises(UnknownNameError, match=r"unknown data set 'ml-100'.*Did you mean 'ml-100k'"):
        mm.datasets.load("ml-100")


def test_loading_does_not_import_torch():
    code = "import sys, mmrec_lib as mm; mm.datasets.load('ml-100k'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

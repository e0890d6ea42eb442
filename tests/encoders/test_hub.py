"""Packages that are loaded when they are needed."""

from __future__ import annotations

import threading

import pytest

from mmrec_lib.encoders.hub import imported
from mmrec_lib.errors import MissingPackageError

PACKAGE = """
import sys, time, types
time.sleep(0.2)
whole = types.ModuleType(__name__)
whole.answer = 42
sys.modules[__name__] = whole
"""


def test_threads_that_wait_for_an_import_get_the_whole_package(tmp_path, monkeypatch):
    """As transformers does, the package puts another module in its place while it is imported."""
    (tmp_path / "late_package.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    threads = [threading.Thread(target=lambda: found.append(imported("late_package", "a test"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [module.answer for module in found] == [42] * 4


def test_a_missing_package_is_named():
    with pytest.raises(MissingPackageError, match=r"a test.*no_such_package"):
        imported("no_such_package", "a test")

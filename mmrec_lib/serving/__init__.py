"""From a fitted model to a service: a checked bundle, an index, an engine, durable events, HTTP."""

from __future__ import annotations

import importlib

# Name to module; modules load when they are first used, so that one who only keeps events waits for nothing else.
_WHERE = {
    "Answer": "engine", "Bundle": "bundle", "Engine": "engine", "Event": "events", "EventStore": "events",
    "Hit": "engine", "Index": "index", "ListMonitor": "monitoring", "NewItems": "newitems", "ONNXText": "export",
    "SQLiteStore": "events", "Settings": "app", "canary": "monitoring", "create_app": "app", "create_index": "index",
    "drift": "monitoring", "export_text_encoder": "export", "load_bundle": "bundle", "load_index": "index",
    "population_stability": "monitoring", "shadow": "monitoring",
}  # fmt: skip

__all__ = sorted(_WHERE)


def __getattr__(name: str):
    if name in _WHERE:
        return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__

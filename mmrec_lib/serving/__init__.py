"""From a fitted model to a service: a checked bundle, an index, an engine, durable events, HTTP."""

from __future__ import annotations

import importlib

from .bundle import Bundle, load_bundle
from .engine import Answer, Engine, Hit
from .events import Event, EventStore, SQLiteStore
from .export import ONNXText, export_text_encoder
from .index import Index, create_index, load_index
from .monitoring import ListMonitor, canary, drift, population_stability, shadow
from .newitems import NewItems

__all__ = [
    "Answer", "Bundle", "Engine", "Event", "EventStore", "Hit", "Index", "ListMonitor", "NewItems", "ONNXText",
    "SQLiteStore", "canary", "create_app", "create_index", "drift", "export_text_encoder", "load_bundle", "load_index",
    "population_stability", "shadow",
]  # fmt: skip


def __getattr__(name: str):
    if name in ("create_app", "Settings"):  # only the service needs FastAPI
        return getattr(importlib.import_module(f"{__name__}.app"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")

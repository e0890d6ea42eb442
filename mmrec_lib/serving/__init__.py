"""From a fitted model to a service: a checked bundle, an index, an engine, durable events, HTTP."""

from __future__ import annotations

import importlib

# Module to names; modules load when they are first used, so that one who only keeps events waits for nothing else.
_NAMES = {
    "app": ["Settings", "create_app"],
    "bundle": ["Bundle", "load_bundle"],
    "engine": ["Answer", "Engine", "Hit"],
    "events": ["Added", "Event", "EventStore", "SQLiteStore"],
    "export": ["ONNXText", "export_text_encoder"],
    "index": ["Index", "create_index", "load_index"],
    "living": ["AsServed", "Replay", "Schedule", "refresh", "replay"],
    "monitoring": ["Change", "ListMonitor", "canary", "drift", "population_stability", "shadow"],
    "newitems": ["NewItems"],
    "stages": [
        "Candidates",
        "NetworkRanker",
        "PairTable",
        "Retriever",
        "Ruled",
        "Rules",
        "TreeRanker",
        "TwoStage",
        "candidate_recall",
    ],
}
_WHERE = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_WHERE)


def __getattr__(name: str):
    if name in _WHERE:
        return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__

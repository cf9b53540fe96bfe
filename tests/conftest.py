"""The order of the tests."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow ones first: with the last of them at the end, all but one process would wait for it."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)

"""The platform as users run it: `hutong serve --sandbox` in processes of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from hutong.config import Settings
from hutong.db import EmbeddedServer
from hutong.demo import RunningPlatform


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, embedded: EmbeddedServer) -> Iterator[str]:
    """A data folder for platforms; what they leave running is stopped at the end."""
    folder = tmp_path_factory.mktemp("platform")
    yield str(folder)
    EmbeddedServer(folder).stop(unless_used=False)


@pytest.fixture
def environment(home: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("HUTONG_HOME", home)
    monkeypatch.setenv("HUTONG_LOG_LEVEL", "warning")
    monkeypatch.delenv("HUTONG_DATABASE_URL", raising=False)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    return dict(os.environ)


@pytest.fixture
def platform(environment: dict[str, str]) -> Iterator[RunningPlatform]:
    running = RunningPlatform(Settings(), own=True)
    yield running
    running.stop()

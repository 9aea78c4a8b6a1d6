"""`hutong bench channels` runs for every channel that is simulated; its figures are looked at by people."""

from __future__ import annotations

import json

import pytest

from hutong import bench, sandbox
from hutong.bench import channels as bench_channels


def test_each_simulated_channel_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: object
) -> None:
    monkeypatch.setattr(bench_channels, "_CALLS", 1)
    monkeypatch.setattr(bench_channels, "_ROUNDS", 1)
    monkeypatch.setattr(bench_channels, "_AT_ONCE", 5)
    monkeypatch.setattr(bench_channels, "_WAVES", 1)
    assert bench.run_bench_channels(as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {kind.channel for kind in sandbox.registry.SIMULATORS}
    for figures in found.values():
        assert figures["cpu_ms_pay"] > 0
        assert figures["cpu_ms_notify"] > 0
        assert figures["pool"]["calls_per_second"] > 0

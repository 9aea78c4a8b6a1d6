"""Measurements: `hutong bench …`. Each prints a ratio to a baseline from the same run on the same server."""

from hutong.bench.channels import run_bench_channels
from hutong.bench.coalescer import run_bench_coalescer
from hutong.bench.events import run_bench_events
from hutong.bench.ledger import run_bench_ledger
from hutong.bench.payments import run_bench_payments
from hutong.bench.reconciliation import run_bench_recon
from hutong.bench.reconciliation_cases import run_bench_recon_cases
from hutong.bench.routing import run_bench_routing
from hutong.bench.sweep import run_bench_sweep
from hutong.bench.verify import run_bench_verify

__all__ = [
    "run_bench_channels",
    "run_bench_coalescer",
    "run_bench_events",
    "run_bench_ledger",
    "run_bench_payments",
    "run_bench_recon",
    "run_bench_recon_cases",
    "run_bench_routing",
    "run_bench_sweep",
    "run_bench_verify",
]

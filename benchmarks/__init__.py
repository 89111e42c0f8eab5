"""Throughput, memory and agreement, measured against peers in the same run: `python -m benchmarks`."""

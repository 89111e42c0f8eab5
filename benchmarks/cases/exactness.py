"""How large is the error of the empirical kernel of every function of the tests' table, in float64 and float32?

Beside the explicit float64 Jacobian, relative to the largest entry, by the automatic and the structured method. Needs
the folder of tests beside this one.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.report import Report
from ntkseq.empirical.ntk import NTK

SECONDS = (300, 300)
NAMED_ONLY = True


def run(quick: bool) -> Report:
    """A row for each function, precision and method; quick: two functions."""
    report = Report("exactness")
    report.table(
        "Errors",
        "Largest error of an entry over the largest entry, beside the explicit Jacobian in float64.",
    )
    functions, oracles = (_tests(name) for name in ("empirical/functions", "oracles"))
    for name, case in list(functions.FUNCTIONS.items())[: 2 if quick else None]:
        if not case.reverse:
            report.left_out(f"{name}, which has no reverse derivative")
            continue
        for dtype, most in ((jnp.float64, 1e-12), (jnp.float32, 1e-5)):
            with jax.enable_x64(dtype == jnp.float64):
                f, params, inputs = case.make(dtype)
                x = inputs(jax.random.key(1), 5)
                if dtype == jnp.float64:
                    truth = oracles.explicit_ntk(f, params, x)
                for method in ("auto", "structured"):
                    values = np.asarray(NTK(f, params, outputs="full", method=method)(x), np.float64)
                    error = float(np.abs(values - truth).max() / np.abs(truth).max())
                    limit = most if case.compute is None else case.tolerance(jnp.float32)
                    report.agree(f"{name}, {np.dtype(dtype).name}, {method}", error, limit, peer="the Jacobian")
        jax.clear_caches()
    return report


def _tests(name: str) -> Any:
    """A module of the tests' folder, by its file: other packages install a `tests` of their own."""
    path = Path(__file__).parents[2] / "tests" / f"{name}.py"
    key = f"_benchmarks_{path.stem}"
    spec = importlib.util.spec_from_file_location(key, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[key] = module
    spec.loader.exec_module(module)
    return module

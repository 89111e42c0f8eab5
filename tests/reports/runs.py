"""What does the history of a run look like that never ran? Known curves, for the tests of the reports."""

from __future__ import annotations

import numpy as np

from ntkseq.training.history import History, ProbeTable

N = 32


def history(*, every=100, last=2000, speed=1.0, seed=0, attention=True, classify=True, unresolved=True) -> History:
    """A run whose kernel drifts, whose least eigenvalue falls below its error at the end, and whose loss decays."""
    rng = np.random.default_rng(seed)
    steps = np.arange(0, last + 1, every) if every else np.unique(np.r_[0, np.geomspace(1, last, 25).astype(int)])
    r, s = len(steps), steps / last
    grown = 1.0 + 0.6 * speed * (1 - np.exp(-4 * s))
    top = 40.0 * 0.5 ** np.arange(6) * grown[:, None]
    least = 0.02 * np.exp(-6 * s * speed)
    error = np.full(r, 2e-4 if unresolved else 1e-9)
    least = least + error * rng.uniform(-0.5, 0.5, r)
    distance = 0.5 * speed * (1 - np.exp(-5 * s))
    kernel = {
        "min_eigenvalue": least, "min_eigenvalue_lower": least - error, "min_eigenvalue_upper": least + error,
        "resolved": least > error,
        "max_eigenvalue": top[:, 0], "max_eigenvalue_error": 1e-4 * top[:, 0], "condition": top[:, 0] / least,
        "trace": top.sum(1) * 1.1, "top": top, "top_error": 1e-4 * top,
        "rounding": error, "alignment": 0.2 + 0.5 * s, "alignment_residual": 0.2 * np.exp(-3 * s),
        "alignment_error": np.full(r, 1e-4), "outputs": np.zeros((r, N, 1)),
        "distance": distance, "distance_error": np.full(r, 1e-3), "rotation": 0.9 * np.sqrt(s) * min(speed, 1.0),
        "rotation_error": np.full(r, 0.02), "sharpness": top[:, 0] / N,
    }  # fmt: skip
    for kind, value in (("entropy", 6.0), ("stable", 1.4), ("participation", 2.6)):
        kernel[f"rank_{kind}"] = value * (1 - 0.4 * s * speed)
        kernel[f"rank_{kind}_lower"] = kernel[f"rank_{kind}"] * 0.98
        kernel[f"rank_{kind}_upper"] = kernel[f"rank_{kind}"] * 1.03
    loss = {
        "train_loss": np.exp(-5 * s), "test_loss": 0.3 + 0.7 * np.exp(-5 * s), "gradient_norm": np.exp(-4 * s),
        "train_error": np.where(classify, 0.5 * np.exp(-8 * s), np.nan),
        "test_error": np.where(classify, 0.1 + 0.4 * np.exp(-6 * s), np.nan),
    }  # fmt: skip
    movement = {"distance": 3 * np.sqrt(s), "relative": 0.05 * speed * np.sqrt(s), "norm": 60 + s}
    tables = {"kernel": kernel, "loss": loss, "movement": movement}
    if attention:
        heads = 3.0 + np.array([[0.0, 0.4], [1.0, 1.6], [2.0, 3.2]]) * (1 - 0.5 * s[:, None, None])
        tables["attention"] = {
            f"rank_{kind}{end}": heads * factor * size
            for kind, factor in (("entropy", 1.0), ("stable", 0.5))
            for end, size in (("", 1.0), ("_spread", 0.1), ("_error", 0.02))
        }
    return History(
        {name: ProbeTable(steps, columns) for name, columns in tables.items()},
        {name: {"kind": name, "every": every or 1, "n": N} for name in tables},
    )

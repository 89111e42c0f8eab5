"""Is what `kernel(x)` and `gram(kernel, x)` state of their rounding true at any scale, or are the numbers refused?"""

from __future__ import annotations

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkseq
from ntkseq.grams.arrays import as_gram
from ntkseq.grams.base import Gram
from ntkseq.grams.facts import flat
from ntkseq.kernels import Kernel, Recurrent, every_step
from tests.contracts.test_kernels import TABLE

INPUTS = (1.0, 1e-12, 1e-15, 1e-16, 1e-17, 1e-18, 1e-19, 1e-20, 1e-25, 1e-40, 1e12, 1e17, 1e19)
FACTORS = (1e-30, 1e-36, 1e-39, 1e-45, 1e30, 1e37)
SCALES = (1e-25, 1e-20, 1e-17, 2e19, 1e30)
QUICK = ("relu", "linear, features", "dense gelu", "sum")
SLOW = (
    "leaky, steps, W and b, independent h_0", "relu, depth 2, one number per layer", "tanh, NNGP", "leaky units, relu",
    "bidirectional, depth 2", "attention", "transformer", "recurrent blocks, erf over relu, last",
)  # fmt: skip
"""One of each other way of carrying a pair; the rest of the table would take ten minutes."""
families = pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])


def cases(name: str) -> list[tuple[str, Kernel, np.ndarray, Any]]:
    """Kernels and inputs of one family: tiny and huge inputs, some of them only, factors and standard deviations."""
    make, inputs = TABLE[name]
    x, lengths = inputs()
    kernel, wide = make(), x.astype(np.float64)
    found = [(f"inputs times {s:g}", kernel, s * wide, lengths) for s in INPUTS]
    for s in (1e-17, 1e-19, 1e-25):
        part = wide.copy()
        part[1] *= s
        found.append((f"one input times {s:g}", kernel, part, lengths))
        part = wide.copy()
        part.reshape(len(part), -1)[:, ::2] *= s
        found.append((f"every other number times {s:g}", kernel, part, lengths))
    found += [(f"factor {c:g}", c * kernel, wide, lengths) for c in FACTORS]
    fields = [f for f in ("sigma_w", "sigma_u", "sigma_b", "sigma_r") if np.ndim(getattr(kernel, f, [0])) == 0]
    found += [(f"{f} = {s:g}", kernel.with_(**{f: s}), wide, lengths) for f in fields for s in SCALES]
    with np.errstate(over="ignore", under="ignore"):
        return [(what, k, x.astype(np.float32), lengths) for what, k, x, lengths in found]


def exact(kernel: Kernel, x: np.ndarray, lengths: Any) -> np.ndarray:
    """The matrix in float64, or None where not even that holds its numbers."""
    with jax.enable_x64(True):
        K = np.asarray(jax.tree.map(wider, kernel)(jnp.asarray(x, jnp.float64), lengths=lengths), np.float64)
    return (K + K.T) / 2


def wider(leaf: Any) -> Any:
    floats = hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)
    return jnp.asarray(leaf, jnp.float64) if floats else leaf


def outside(K: Gram, truth: np.ndarray) -> str:
    """What the Gram states and does not hold, in words."""
    size = np.sqrt(np.diagonal(truth))
    gap = np.abs(np.asarray(K, np.float64) - truth)
    assert K.entrywise is not None
    if not (gap <= (K.entrywise * 1.0001 + 1e-12) * size[:, None] * size).all():
        return f"an entry is off by {np.max(gap / (size[:, None] * size)):.2g}, stated {K.entrywise:.2g}"
    eigen, wanted = ntkseq.spectrum(K, method="dense"), np.linalg.eigvalsh(truth)[::-1]
    off = np.abs(eigen.values - wanted) - eigen.errors * 1.0001 - 1e-12 * wanted[0]
    return f"eigenvalue {int(np.argmax(off))} is outside" if (off > 0).any() else ""


def answers(name: str) -> list[str]:
    """The cases in which something false is stated."""
    wrong = []
    for what, kernel, x, lengths in cases(name):
        try:
            truth = exact(kernel, x, lengths)
        except ValueError:
            truth = None
        for way, make in (
            ("gram", lambda k, x, n: ntkseq.gram(k, x, lengths=n)),
            ("kernel(x)", lambda k, x, n: as_gram(k(x, lengths=n))),
        ):
            try:
                K = make(kernel, x, lengths)
            except ValueError:
                continue  # refused
            if way == "kernel(x)" and not np.isfinite(np.asarray(K)).all():
                continue  # an overflow that shows, and that `spectrum` and bounds refuse
            said = "answered where float64 has no numbers" if truth is None else outside(K, truth)
            wrong += [f"{name}, {what}, {way}: {said}"] if said else []
    return wrong


@pytest.mark.slow
@families
def test_stated_roundings_hold_at_every_scale_or_the_numbers_are_refused(name) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the inner loop diverges")
        assert answers(name) == []


@pytest.mark.slow(but=["linear, features"])
@families
def test_ordinary_scales_are_not_refused(name) -> None:
    make, inputs = TABLE[name]
    x, lengths = inputs()
    for scale in (1e-6, 1.0, 1e4) if "root" not in name and "MAML" not in name else (1.0,):
        assert np.isfinite(np.asarray(ntkseq.gram(make(), (scale * x).astype(np.float32), lengths=lengths))).all()


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "erf", "tanh"])
@pytest.mark.parametrize("direction", ["forward", "both"])
def test_every_step_states_what_holds_at_every_scale_or_refuses(activation, direction) -> None:
    rng = np.random.default_rng(0)
    kernel = Recurrent(sigma_w=1.4, sigma_b=0.0, activation=activation, direction=direction)
    z = rng.standard_normal((6, 4, 2))
    z[1] = z[0] + 1e-3 * rng.standard_normal((4, 2))
    fading = z.copy()
    fading[:, 1:] = 0  # what the first token leaves fades below the least number
    lengths = np.array([4, 4, 2, 4, 1, 4])
    with np.errstate(under="ignore"):
        data = [(kernel, (s * z).astype(np.float32)) for s in (1.0, 1e3, 1e-10, 1e-16, 1e-18, 1e-20, 1e-25)]
    data += [(kernel.with_(sigma_w=w), fading.astype(np.float32)) for w in (1.0, 1e-3, 1e-8)]
    answered = 0
    for k, x in data:
        try:
            K = as_gram(every_step(k, x, lengths=lengths))
        except ValueError:
            continue
        answered += 1
        with jax.enable_x64(True):
            truth = flat(every_step(k, x.astype(np.float64), lengths=lengths))
        size = np.sqrt(np.diagonal(truth))
        gap = np.abs(np.asarray(K, np.float64) - truth)
        size = size[:, None] * size
        assert K.entrywise is not None
        assert (gap <= np.where(size > 0, K.entrywise * np.where(size > 0, size, 1), 0)).all()
        assert np.linalg.norm(gap) <= K.rounding
    assert answered >= 4

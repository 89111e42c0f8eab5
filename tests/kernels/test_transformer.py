"""Are the presets the transformers that they name?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq import blocks
from ntkseq.kernels.serial import Serial
from ntkseq.kernels.transformer import Transformer
from tests.kernels import explicit_tokens as explicit
from tests.kernels.test_serial import RAGGED, XS, X, relative


def backward(x: np.ndarray, depth: int, vw: float, vu: float, vv: float) -> np.ndarray:
    """The kernel by Yang's backward pass: the gradient's covariance from the output down, over all (n t)^2 tokens."""
    n, t, d = x.shape
    flat = x.reshape(n * t, d)
    C, one = flat @ flat.T / d, np.eye(n * t)

    def normalise(S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        D = np.diag(np.diagonal(S) ** -0.5)
        return D @ S @ D, D

    def relu(S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        s = np.sqrt(np.diagonal(S))
        r = np.clip(S / np.outer(s, s), -1, 1)
        np.fill_diagonal(r, 1)  # arccos would turn its rounding of 1e-16 into 1e-8
        angle = np.arccos(r)
        return np.outer(s, s) * (np.sin(angle) + (np.pi - angle) * r) / (2 * np.pi), (np.pi - angle) / (2 * np.pi)

    layers = []
    for _ in range(depth):
        A = np.zeros_like(C)
        for i in range(n):
            at = slice(i * t, (i + 1) * t)
            e = np.exp(vu * C[at, at])
            A[at, at] = e / e.sum(axis=1, keepdims=True)
        Cz, Dz = normalise((A + one) @ (vu * C) @ (A + one).T)
        V, step = relu(vw * Cz)
        new, Dx = normalise(vw * V + Cz)
        layers.append((C, A, Cz, Dz, V, step, Dx))
        C = new
    pool = lambda M: M.reshape(n, t, n, t).sum(axis=(1, 3))  # noqa: E731
    P, K = np.full_like(C, vv / t**2), pool(C) / t**2
    for C, A, Cz, Dz, V, step, Dx in reversed(layers):
        Dh = Dx @ P @ Dx
        Dg = vw * Dh * step
        Dk = (A + one).T @ Dz @ (vw * Dg + Dh) @ Dz @ (A + one)
        K = K + pool(Dk * C + Dg * Cz + Dh * V)
        P = vu * Dk
    return K


@pytest.mark.slow
@pytest.mark.parametrize(
    ("depth", "variances", "want"),
    [
        (1, (1.0, 1.0, 1.0), (1.580558296300167, 0.4442135054319004, 1.6597740911023378)),
        pytest.param(
            2, (1.0, 1.0, 1.0), (3.2418636520011157, 1.019770102949837, 3.427460873338895), marks=pytest.mark.slow
        ),
        pytest.param(
            2, (1.5, 0.8, 1.2), (4.336634836490305, 1.4655638274277218, 4.491912104957571), marks=pytest.mark.slow
        ),
        pytest.param(
            3, (1.0, 1.0, 1.0), (5.135926423278866, 1.6630370415838844, 5.294647914907736), marks=pytest.mark.slow
        ),
    ],
)
def test_golden_numbers_of_yangs_transformer(depth, variances, want, x64: None) -> None:
    varw, varu, varv = variances
    K = np.asarray(Serial.preset("yang-transformer", depth=depth, varw=varw, varu=varu, varv=varv)(XS))
    # the golden numbers take arccos of a rounded 1 on the diagonal: 1.2e-9 off at (1.5, 0.8, 1.2)
    np.testing.assert_allclose(K[np.triu_indices(2)], want, rtol=1e-10 if varw == 1 else 4e-10)
    assert relative(K, backward(XS, depth, *variances)) < 1e-12


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
def test_yangs_transformer_equals_its_backward_pass(seed: int, x64: None) -> None:
    draw = np.random.default_rng(seed)
    varw, varu, varv = draw.uniform(0.3, 2.5, 3)
    x = draw.standard_normal(XS.shape)
    depth = 1 if seed == 0 else int(draw.integers(1, 4))
    kernel = Serial.preset("yang-transformer", depth=depth, varw=varw, varu=varu, varv=varv)
    assert relative(kernel(x), backward(x, depth, varw, varu, varv)) < 1e-12


@pytest.mark.slow
def test_transformer_equals_the_recursion_over_all_pairs_of_tokens(x64: None) -> None:
    positions = blocks.Positions(0.3, 0.2)
    kernel = Transformer(
        depth=2, sigma_b=0.2, eps=0.01, positions=positions, causal=True, sigma_qk=1.2, read="last", activation="erf"
    )
    assert len(kernel.blocks) == 7
    want = explicit.serial(kernel.blocks, X, RAGGED, read="last")
    assert relative(kernel(X, lengths=RAGGED), want) < 1e-12


def test_bad_arguments_are_refused() -> None:
    for arguments, words in (
        ({"varw": -1.0}, "varw"),
        ({"depth": 0}, "depth"),
        ({"sigma_w": 1.0}, "takes depth"),
    ):
        with pytest.raises(ValueError, match=words):
            Serial.preset("yang-transformer", **arguments)
    with pytest.raises(ValueError, match="preset"):
        Serial.preset("bert")
    with pytest.raises(ValueError, match="positions"):
        Transformer(positions=True)
    with pytest.raises(TypeError, match=r"^Transformer takes no argument 'heads'\. The limit has infinitely many"):
        Transformer(heads=4)

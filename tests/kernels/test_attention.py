"""Is attention at infinite width the one of the theory, token by token?"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.blocks import Attention, Linear
from ntkseq.kernels import attention as module
from ntkseq.kernels.serial import Serial
from ntkseq.kernels.transformer import Attention as layer
from tests.kernels.test_serial import RAGGED, XS, X, relative

# between the tokens of XS[0] and XS[1], at sigma_qk = 1.3, sigma_ov = 0.99 (neural-tangents 0.6.5)
SOFTMAX = np.array(
    [
        [-0.01999022442959003, 0.06680149572877944, -0.024823171328503858],
        [-0.09701895517596812, 0.07404679519767081, -0.01977198473688519],
        [0.20996546549344666, 0.10538324385345021, 0.005703996059267491],
    ]
)
IDENTITY = np.array([-0.44514172686807607, 0.054193202111300444, -0.03475137630000931])
RELU = np.array([-0.286417713056772, 0.06414074219246643, -0.03699838627294819])
ROOT = np.array([-0.43713815011739904, 0.13301880824135542, -0.224996857923474])


def between_tokens(kind: str, rows: int = 3, **attention: Any) -> np.ndarray:
    """The kernel of token a of XS[0] and b of XS[1]: each in turn moved to the front, which attention does not see."""
    first = [np.roll(XS[0], -a, axis=0) for a in range(rows)]
    second = [np.roll(XS[1], -b, axis=0) for b in range(3)]
    kernel = layer(sigma_qk=1.3, sigma_ov=0.99, read="first", train_readout=False, kind=kind, **attention)
    return np.asarray(kernel(np.stack(first), np.stack(second)))


def test_golden_softmax(x64: None) -> None:
    np.testing.assert_allclose(between_tokens("nngp"), SOFTMAX, rtol=1e-10)
    np.testing.assert_allclose(between_tokens("ntk"), 3 * SOFTMAX, rtol=1e-10)


@pytest.mark.slow
def test_golden_identity_and_relu(x64: None) -> None:
    np.testing.assert_allclose(between_tokens("nngp", 1, weights="identity")[0], IDENTITY, rtol=1e-10)
    np.testing.assert_allclose(between_tokens("nngp", 1, weights="relu")[0], RELU, rtol=1e-10)


@pytest.mark.slow
def test_golden_identity_at_the_root(x64: None) -> None:
    choice: dict[str, Any] = {"weights": "identity", "scaling": "root"}
    np.testing.assert_allclose(between_tokens("nngp", 1, **choice)[0], ROOT, rtol=1e-10)
    np.testing.assert_allclose(between_tokens("ntk", 1, **choice)[0], 7 * ROOT, rtol=1e-10)


@pytest.mark.slow
def test_uniform_scores_are_the_mean_over_tokens(x64: None) -> None:
    for lengths in (None, RAGGED):
        pooled = Serial(Linear(1.2), read="mean", kind="nngp")(X, lengths=lengths)
        for read in ("mean", "last", "first"):
            got = layer(sigma_w=1.2, sigma_qk=0.0, read=read, kind="nngp")(X, lengths=lengths)
            np.testing.assert_allclose(got, pooled, rtol=1e-12)


def test_huge_scores_look_at_one_token(x64: None) -> None:
    got = layer(sigma_qk=1e6, read="first", kind="nngp")(X)
    top = np.argmax(np.einsum("nd,ntd->nt", X[:, 0], X), axis=1)
    chosen = X[np.arange(3), top]
    np.testing.assert_allclose(got, chosen @ chosen.T / 2, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["softmax", "identity"])
def test_causal_attention_of_the_last_token_is_attention(weights: str, x64: None) -> None:
    # only the last token sees all; of the first it is its own value
    for lengths in (None, RAGGED):
        arguments: dict[str, Any] = {"weights": weights, "read": "last"}
        causal = layer(causal=True, **arguments)(X, lengths=lengths)
        np.testing.assert_allclose(causal, layer(**arguments)(X, lengths=lengths), rtol=1e-12)
    first = layer(causal=True, weights=weights, read="first")(X)
    np.testing.assert_allclose(first, layer(weights=weights, read="first")(X[:, :1]), rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("behind", [False, True])
def test_the_groups_of_weights_add_up(behind: bool, x64: None) -> None:
    embedding = (Linear(train=""), "relu") if behind else (Linear(train=""),)
    for scaling, letters in (("dim", "VOb"), ("root", "QKVOb")):
        make = lambda train, scaling=scaling: Serial(  # noqa: E731
            *embedding, Attention(0.8, 1.1, 0.3, "identity", scaling, train=train), train_readout=False
        )
        parts = sum(np.asarray(make(letter)(X)) for letter in letters)
        assert relative(make("QKVOb")(X), parts) < 1e-12
        nngp = np.asarray(make("QKVOb").with_(kind="nngp")(X))
        assert relative(make(letters[0])(X), nngp - 0.3**2) < 1e-12  # each group of weights alone: the covariance


@pytest.mark.slow
def test_an_attention_matrix_of_softmax_has_rows_that_sum_to_one(x64: None) -> None:
    inside = jnp.arange(4)[None] < RAGGED[:, None]
    seen = module.seen_by(Attention(causal=True), inside)
    A = np.asarray(module.matrix(Attention(2.0), jnp.asarray(X @ X.transpose(0, 2, 1)), seen))
    np.testing.assert_allclose(A.sum(-1), inside, rtol=1e-14)
    assert np.all(np.triu(A, 1) == 0)

"""Does every way on which a Gram travels keep what is known of it: sampled, estimated, of unknown rounding?"""

from __future__ import annotations

import copy
import pickle
from typing import Any

import jax
import numpy as np
import pytest

import ntkseq
from ntkseq import bounds, cells, gram, grams, kernels, predictors, spectra
from ntkseq._struct import replace
from ntkseq.grams.arrays import products
from ntkseq.grams.sampling import Sampling
from ntkseq.reports import files
from ntkseq.studies import Stored, stored
from ntkseq.studies.recurrent import kernel_regression
from ntkseq.studies.stored_grams import _read

X = np.random.default_rng(3).normal(size=(4, 2, 1)).astype(np.float32)
Y = np.array([1.0, -1.0, 1.0, -1.0])
GATED = kernels.Gated(cells.GRU(sigma_b=0.2), particles=64, batches=4)
EXACT = kernels.Recurrent(sigma_w=1.2, sigma_b=0.3)


def known(K: Any) -> tuple[bool, bool, bool]:
    """Whether it is sampled, estimated, stated."""
    return K.sampling is not None, bool(K.estimated), bool(K.stated)


def from_file(K: Any, folder: Any) -> Any:
    """What `ntkseq spectrum` reads of an arrays.npz that a study wrote."""
    np.savez(folder / "arrays.npz", K=np.asarray(K.array), rounding=np.float64(K.rounding), **files.flags(K))
    array, rounding, said = _read(Stored(str(folder / "arrays.npz")))
    return grams.DenseGram(array, rounding=rounding, **said)


WAYS: dict[str, Any] = {
    "take": lambda K, _: K.take(slice(0, 3)),
    "leading": lambda K, _: kernel_regression.leading(K, 3),
    "centred": lambda K, _: spectra.centred(K),
    "pickle": lambda K, _: pickle.loads(pickle.dumps(K)),
    "copy": lambda K, _: copy.deepcopy(K),
    "host": lambda K, _: jax.device_get(K),
    "device": lambda K, _: jax.device_put(K),
    "tree": lambda K, _: jax.tree.map(lambda leaf: leaf, K),
    "jit": lambda K, _: jax.jit(lambda G: G)(K),
    "replace": lambda K, _: replace(K, rounding=2 * float(K.rounding)),
    "held": lambda K, _: K.hold(),
    "matrix-free": lambda K, _: products(K),
    "audit": lambda K, _: grams.audit(K, EXACT, X, pairs=50),
    "entries": lambda K, _: grams.DenseGram(np.asarray(K), entrywise=1e-3, **files_of(K)),
    "file": from_file,
}


def files_of(K: Any) -> dict[str, Any]:
    return {"estimated": K.estimated, "stated": K.stated, "sampling": K.sampling}


@pytest.mark.slow(
    cases=["audit-estimated", "audit-sampling", "audit-stated", "take-estimated", "take-sampling", "take-stated"]
)
@pytest.mark.parametrize("flag", ["sampling", "estimated", "stated"])
@pytest.mark.parametrize("way", WAYS)
def test_a_gram_that_is_handed_on_is_what_it_was(way: str, flag: str, tmp_path: Any) -> None:
    plain = ntkseq.gram(EXACT, X)
    value = {"sampling": Sampling(why="drawn"), "estimated": "measured", "stated": False}[flag]
    K = replace(plain, **{flag: value})
    there = WAYS[way](K, tmp_path)
    assert known(there) == known(K) != known(plain)
    assert known(WAYS[way](plain, tmp_path)) == known(plain)
    labels = Y[: there.shape[0]]
    assert not bounds.rademacher(there, labels, reg=0.1, kappa=3.0).certified
    if way != "tree":  # a spectrum says it as well
        eigen = ntkseq.spectrum(there)
        assert (eigen.sampling is not None, bool(eigen.estimated)) == known(K)[:2]


def made(kernel: Any) -> dict[str, Any]:
    """What comes of a kernel by every door."""
    lazy = ntkseq.lazy(kernel, X)
    return {
        "gram": ntkseq.gram(kernel, X),
        "its array": grams.as_gram(ntkseq.gram(kernel, X).array),
        "in one piece": grams.as_gram(kernel(X)),
        "wrapped": grams.DenseGram(kernel(X)),
        "against others": grams.as_gram(kernel(X, X[:2])),
        "a block": grams.as_gram(ntkseq.gram(kernel, X)[:3, :3]),
        "lazy": lazy,
        "lazy, pickled": pickle.loads(pickle.dumps(lazy)),
        "lazy, held": lazy.hold(),
        "lazy, centred": spectra.centred(lazy),
        "out of jit": grams.computed(jax.jit(kernel)(X), kernel, X),
        "out of jit, against others": grams.computed(jax.jit(kernel)(X, X[:2]), kernel, X, X[:2]),
        "a multiple": ntkseq.gram(2.0 * kernel, X),
        "a sum": ntkseq.gram(kernel + EXACT, X),
        "a sum in one piece": grams.as_gram((EXACT + kernel)(X)),
    }


KINDS = {"sampled": (True, False), "estimated": (False, True), "": (False, False)}


def declared(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make EXACT say that it is sampled, or that its rounding is an estimate."""
    if kind:
        value = {"sampled": True, "estimated": "measured"}[kind]
        monkeypatch.setattr(kernels.Recurrent, kind, property(lambda self: value))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_a_kernel_makes_says_what_the_kernel_is(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    declared(kind, monkeypatch)
    for name, K in made(EXACT).items():
        assert known(K)[:2] == KINDS[kind], name
        if name in ("in one piece", "out of jit", "a multiple"):
            assert bounds.rademacher(K, Y, reg=0.1, kappa=20.0).certified == (kind == ""), name


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_few_shot_kernels_are_what_their_base_is(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    declared(kind, monkeypatch)
    x = np.random.default_rng(0).normal(size=(3, 3, 2, 1)).astype(np.float32)
    tasks = (x[:, :2], np.ones((3, 2))), x[:, 2:]
    kernel = kernels.Meta(EXACT, kernels.GD(steps=1, lr=0.05))
    found = spectra.meta_spectra(EXACT, kernels.GD(steps=1, lr=0.05), tasks, algorithms=("maml",), batch=3)
    few = predictors.few_shot(kernel, tasks, np.ones((3, 1)), reg=0.1)
    for K in (gram(kernel, tasks), few.gram, grams.as_gram(kernel(tasks)), found["maml"].spectrum):
        assert (K.sampling is not None, bool(K.estimated)) == KINDS[kind]


@pytest.mark.slow
def test_what_a_gated_network_gives_in_one_piece_is_not_certified_and_says_why() -> None:
    K = GATED(X)
    found = ntkseq.spectrum(K)
    assert "sampling error    as large as the worst entry has it: an array holds no batches" in str(found)
    assert not found.min_eigenvalue.resolved
    bound = bounds.rademacher(K, Y, reg=0.1, kappa=20.0)
    assert not bound.certified and "sampling: unresolved" in str(bound)


@pytest.mark.slow
def test_without_a_matrix_the_error_of_a_gated_network_is_that_of_the_worst_entry_and_says_so() -> None:
    K = ntkseq.lazy(GATED, X)
    found = ntkseq.spectrum(K, spectra.MatrixFree(k=2))
    assert "sampling error of K" in str(found) and "sampling error" in repr(K) and "rounding" not in repr(K)
    assert (found.errors >= K.rounding).all()
    whole = str(ntkseq.spectrum(K, method="dense"))
    assert "sampling error    as large as the worst entry has it: a lazy Gram holds no batches" in whole


def test_an_operator_whose_rounding_was_measured_says_so() -> None:
    A = np.diag([3.0, 2.0, 1.0])
    assert "measured" in grams.Operator(lambda V: A @ V, 3).estimated
    assert grams.Operator(lambda V: A @ V, 3, rounding=1e-12).estimated == ""


def test_a_pickle_of_before_counts_as_unknown() -> None:
    state = ntkseq.gram(EXACT, X).__getstate__()
    old = object.__new__(grams.DenseGram)
    old.__setstate__({name: value for name, value in state.items() if name not in ("stated", "estimated", "sampling")})
    assert known(old) == (False, False, False)
    assert not bounds.rademacher(old, Y, reg=0.1, kappa=3.0).certified


SAID = {
    (True, "", True): "not proven: K is a Monte Carlo estimate",
    (True, "measured", False): "not proven: its rounding is an estimate, measured",
    (False, "", False): "not proven: the rounding of K is unchecked",
    (True, "", False): "yes, by a Cholesky factorisation",
    None: "not proven: the rounding of K is unchecked",  # a file of before
}


@pytest.mark.slow(cases=["flags3"])
@pytest.mark.parametrize("flags", SAID)
def test_a_stored_matrix_is_proven_positive_only_by_a_proven_rounding(flags: Any, tmp_path: Any) -> None:
    path, K = tmp_path / "arrays.npz", np.diag([3.0, 2.0, 1.0])
    held = {} if flags is None else dict(zip(files.FLAGS, flags, strict=True))
    np.savez(path, K=K, rounding=1e-3, **held)
    lines = stored(Stored(str(path)))
    assert any("positive definite" in line and line.endswith(SAID[flags]) for line in lines)
    if flags is not None:
        sampled = any("sampling error" in line and "a file holds no batches" in line for line in lines)
        assert sampled == flags[2] and any("an estimate: measured" in line for line in lines) == bool(flags[1])
    own = stored(Stored(str(path), rounding=1e-3))  # the user's own word replaces the size, not that it was sampled
    wanted = SAID[flags] if flags and (flags[1] or flags[2]) else "yes, by a Cholesky factorisation"
    assert any("positive definite" in line and line.endswith(wanted) for line in own)

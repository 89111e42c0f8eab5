"""Is a study checked when it is asked for, and can its command line be told from the record and back?"""

from __future__ import annotations

import shlex

import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import kernels
from ntkseq.studies import Study


@pytest.mark.slow
def test_the_kernel_has_the_settings_of_the_study():
    study = Study("digits", sigma_w=1.2, sigma_u=0.5, sigma_b=0.3, depth=2, read="last", direction="both", train="WU")
    wanted = kernels.Recurrent(
        sigma_w=1.2, sigma_u=0.5, sigma_b=0.3, depth=2, read="last", direction="both", train="WU"
    )
    x = jnp.ones((2, 3, 1), jnp.float32) * jnp.asarray([1.0, 2.0], jnp.float32)[:, None, None]
    assert np.array_equal(np.asarray(study.build()(x)), np.asarray(wanted(x)))


def test_a_dense_kernel_can_be_asked_for():
    x = jnp.asarray(np.random.default_rng(0).standard_normal((3, 4)), jnp.float32)
    study = Study("digits", kernel="dense", sigma_w=1.2, sigma_b=0.3, depth=2)
    wanted = kernels.Dense(sigma_w=1.2, sigma_b=0.3, depth=2)
    assert np.array_equal(np.asarray(study.build()(x)), np.asarray(wanted(x)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sigma_w": -1.0}, "sigma_w must be a finite standard deviation >= 0; got -1.0"),
        ({"sigma_b": float("nan")}, "sigma_b must be a finite"),
        ({"delta": 1.0}, "delta must lie strictly between 0 and 1"),
        ({"reg": -1.0}, "reg must be a finite number >= 0"),
        ({"norm_grid": 0.0}, "norm_grid must be a finite number > 0"),
        ({"n_train": 0}, "n_train must be an integer >= 1"),
        ({"tried": 0}, "tried must be an integer >= 1"),
        ({"seed": -1}, "seed must be an integer >= 0; got -1"),
        ({"activation": "nope"}, "nope"),
        ({"train": "Q"}, "train must be"),
        ({"kernel": "dense", "read": "last"}, "kernel 'dense' has no read"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(changes, said):
    with pytest.raises(ValueError) as raised:
        Study("digits", **changes)
    assert said in str(raised.value)


def test_the_command_names_what_was_changed_and_nothing_else():
    study = Study("my data.npz", classes=("a", "b c"), sigma_w=1.5, overwrite=True)
    assert shlex.split(study.command) == [
        "ntkseq", "study", "my data.npz", "--sigma-w", "1.5", "--overwrite", "--classes", "a", "b c",
    ]  # fmt: skip


def test_the_description_says_what_a_reader_must_know():
    shown = Study("digits", h0="shared", sigma_h=0.5, train="W", depth=2).describe()
    for part in ("NTK", "relu", "2 layers", "sigma_w = 1.4", "shared initial state, sigma_h = 0.5", "trained: W"):
        assert part in shown

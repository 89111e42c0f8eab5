"""Does a target with outputs at every step equal its loop, and look at no later token?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.concepts import PositionToPosition, complexity, series

RNG = np.random.default_rng(6)
X = RNG.standard_normal((3, 5, 2))
B = RNG.standard_normal((5, 2))
F = {"exp": np.exp, "sin": np.sin}
PARTS = [
    (0, 2, 0, B[0], "exp"),
    (0, 2, 0, B[1], "sin"),
    (1, 2, 0, B[2], "exp"),
    (3, 4, 1, B[3], "sin"),
    (4, 4, 0, B[4], "sin"),
]
TARGET = PositionToPosition(PARTS, outputs=3)


def test_the_target_equals_its_loop(x64):
    wanted = np.zeros((3, 5, 3))
    for n in range(3):
        for source, step, output, beta, name in PARTS:
            wanted[n, step, output] += F[name](beta @ X[n, source])
    found = jax.jit(jax.vmap(TARGET))(jnp.asarray(X))
    np.testing.assert_allclose(found, wanted, rtol=1e-13)


@pytest.mark.slow
def test_no_step_sees_a_later_token(x64):
    jacobian = np.asarray(jax.jacobian(lambda x: TARGET(x))(jnp.asarray(X[0])))  # (t, o, t, d)
    assert jacobian.any() and all(not jacobian[j, :, i].any() for j in range(5) for i in range(j + 1, 5))


def test_the_target_can_be_read():
    source, step, output, beta, phi = TARGET.parts[3]
    assert (source, step, output, phi) == (3, 4, 1, series.sin()) and (beta == B[3]).all()
    assert (TARGET.outputs, TARGET.steps, TARGET.features, TARGET.terms) == (3, 5, 2, 2)
    assert PositionToPosition(PARTS).outputs == 2
    norm = np.linalg.norm(B, axis=1)
    assert complexity(TARGET, 1.0).log == pytest.approx(
        max(complexity(PARTS[k][4], norm[k]).log for k in range(5)), rel=1e-12
    )


def test_the_target_says_where_it_leaves_the_paper():
    unit = [0.6, 0.8]
    assert PositionToPosition([(0, 2, 0, unit, "exp")]).departures == ()
    (own,) = PositionToPosition([(2, 2, 0, unit, "exp")]).departures
    (early,) = PositionToPosition([(0, 1, 0, unit, "exp")]).departures
    (long,) = PositionToPosition([(0, 2, 0, [3.0, 4.0], "exp")]).departures
    assert "own token" in own and "before the third" in early and "norm 5, not 1" in long


@pytest.mark.parametrize(
    ("parts", "outputs", "message"),
    [
        ([], None, "at least one"),
        ([(0, 1, [1.0], "exp")], None, r"must be \(source, step, output, beta, series\)"),
        ([(2, 1, 0, [1.0], "exp")], None, "got source 2 for step 1"),
        ([(0, 1, -1, [1.0], "exp")], None, "output must be an integer >= 0"),
        ([(0, 1, 2, [1.0], "exp")], 2, "outputs must be at least 3"),
        ([(0, 1, 0, [1.0], "exp"), (0, 1, 0, [1.0, 2.0], "exp")], None, "one number d of features"),
        ([(0, 1, 0, [1.0], "relu")], None, "kink"),
    ],
)
def test_what_is_no_target_is_refused(parts, outputs, message: str):
    with pytest.raises(ValueError, match=message):
        PositionToPosition(parts, outputs)


def test_a_sequence_too_short_for_the_last_step_is_refused():
    with pytest.raises(ValueError, match="at least 5 steps"):
        TARGET(jnp.zeros((4, 2)))

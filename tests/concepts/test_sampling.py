"""Are samples drawn as the theorems want them, and labelled by their target?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.concepts import Additive, PositionToPosition, sample

KEY = jax.random.key(7)
TARGET = Additive([(1, [1.0, 0.0, 0.5], "sin"), (3, [0.0, -1.0, 0.0], "exp")])


def draw(n: int = 40, t: int = 4, d: int = 3, **options):
    return sample(TARGET, n, t, d, **{"key": KEY, **options})


def token_norms(x) -> np.ndarray:
    return np.linalg.norm(np.asarray(x, np.float64), axis=-1)


@pytest.mark.slow
def test_labels_are_those_of_the_target(x64):
    drawn = draw()
    x = np.asarray(drawn.x)
    plain = np.sin(x[:, 1] @ [1.0, 0.0, 0.5]) + np.exp(-x[:, 3, 1])
    np.testing.assert_allclose(drawn.y, plain, rtol=1e-13)
    assert (drawn.y == drawn.clean).all() and drawn.target is TARGET and not drawn.common


@pytest.mark.slow
def test_the_same_key_draws_the_same_and_another_key_another_sample():
    first, again, other = draw(noise=0.1), draw(noise=0.1), draw(noise=0.1, key=jax.random.key(8))
    assert (first.x == again.x).all() and (first.y == again.y).all() and not (first.x == other.x).any()
    assert (draw().x == first.x).all()  # noise does not move the tokens


@pytest.mark.slow
def test_the_dtype_is_the_one_asked_for(x64):
    assert draw().x.dtype == jnp.float64
    drawn = draw(dtype=jnp.float32, noise=0.1, eps_x=0.1, bias=0.5)
    assert drawn.x.dtype == drawn.y.dtype == jnp.float32


@pytest.mark.slow(cases=["1.0"])
@pytest.mark.parametrize("norm", [1.0, 2.5, [0.5, 1.0, 2.0, 3.0]])
def test_tokens_have_the_norms_asked_for(norm, x64):
    drawn = draw(token_norm=norm)
    np.testing.assert_allclose(token_norms(drawn.x), np.broadcast_to(norm, (40, 4)), rtol=1e-14)
    np.testing.assert_array_equal(drawn.norms, np.broadcast_to(norm, 4))


@pytest.mark.slow
def test_tokens_are_uniform_on_the_sphere():
    x = np.asarray(sample(TARGET, 5000, 4, 3, key=KEY).x, np.float64).reshape(-1, 3)  # 20000 tokens
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=5 * np.sqrt(1 / 3 / 20000))
    # var(z_i^2) = 4/45, and less for products; fourth moment 1/5
    np.testing.assert_allclose(x.T @ x / 20000, np.eye(3) / 3, atol=5 * np.sqrt(4 / 45 / 20000))
    np.testing.assert_allclose((x**4).mean(axis=0), 1 / 5, atol=5 * np.sqrt((1 / 9 - 1 / 25) / 20000))


def test_a_common_first_token_is_the_last_unit_vector_times_its_norm():
    drawn = draw(first="common", token_norm=[2.0, 1.0, 1.0, 1.0])
    assert drawn.common and (np.asarray(drawn.x[:, 0]) == [0, 0, 2]).all()
    assert len(np.unique(np.asarray(drawn.x[:, 1]), axis=0)) == 40


@pytest.mark.slow
def test_eps_x_gives_one_token_of_norm_one_orthogonal_to_short_ones(x64):
    drawn = draw(eps_x=0.01)
    assert drawn.common and (np.asarray(drawn.x[:, 0]) == [0, 0, 1]).all()
    np.testing.assert_allclose(token_norms(drawn.x[:, 1:]), 0.01, rtol=1e-14)
    assert (np.asarray(drawn.x[:, 1:, 2]) == 0).all()
    np.testing.assert_array_equal(drawn.norms, [1, 0.01, 0.01, 0.01])


def test_a_target_scaled_by_the_inverse_of_eps_x_sees_tokens_of_norm_one(x64):
    drawn = sample(TARGET.scaled(1 / 0.01), 40, 4, 3, key=KEY, eps_x=0.01)
    x = np.asarray(drawn.x) / 0.01
    plain = np.sin(x[:, 1] @ [1.0, 0.0, 0.5]) + np.exp(-x[:, 3, 1])
    np.testing.assert_allclose(drawn.y, plain, rtol=1e-12)


def test_a_bias_is_a_constant_share_of_every_drawn_token(x64):
    drawn = draw(bias=0.5, token_norm=2.0)
    np.testing.assert_allclose(drawn.x[:, :, 2], 1.0, rtol=1e-15)
    np.testing.assert_allclose(token_norms(drawn.x), 2.0, rtol=1e-14)
    short = draw(bias=0.5, eps_x=0.1)
    np.testing.assert_allclose(short.x[:, 1:, 1], 0.05, rtol=1e-14)
    np.testing.assert_allclose(token_norms(short.x[:, 1:]), 0.1, rtol=1e-14)


@pytest.mark.slow
def test_noise_has_the_deviation_asked_for():
    drawn = draw(n=4000, noise=0.3)
    left = np.asarray(drawn.y - drawn.clean, np.float64)
    assert abs(left.std() - 0.3) < 5 * 0.3 / np.sqrt(2 * 4000) and abs(left.mean()) < 5 * 0.3 / np.sqrt(4000)


def test_a_target_at_every_step_gives_labels_at_every_step():
    target = PositionToPosition([(0, 2, 1, [1.0, 1.0], "sin")])
    assert sample(target, 6, 4, 2, key=KEY, noise=0.1).y.shape == (6, 4, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"t": 3}, r"needs d = 3 and t >= 4 .*position 3.*got d = 3 and t = 3"),
        ({"d": 2}, "needs d = 3"),
        ({"n": 0}, "n must be an integer >= 1"),
        ({"token_norm": [1.0, 2.0]}, r"one for each of t = 4 steps; got shape \(2,\)"),
        ({"token_norm": np.ones((40, 4))}, "vary between sequences are outside the theorems"),
        ({"token_norm": 0.0}, "token_norm must be finite and > 0"),
        ({"first": "zero"}, "first must be one of 'common'"),
        ({"eps_x": 0.1, "token_norm": 2.0}, "eps_x sets all norms"),
        ({"eps_x": 0.0}, "eps_x must be a finite number > 0"),
        ({"bias": 1.0}, r"bias must lie in \[0, 1\)"),
        ({"noise": -1.0}, "noise must be a finite number >= 0"),
    ],
)
def test_bad_options_are_refused(options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        draw(**options)


def test_too_few_features_and_no_target_are_refused():
    one = Additive([(0, [1.0], "sin")])
    with pytest.raises(ValueError, match="d must be at least 2 with eps_x"):
        sample(one, 4, 2, 1, key=KEY, eps_x=0.1)
    with pytest.raises(ValueError, match="coordinate of its own beside a drawn one"):
        sample(one, 4, 2, 1, key=KEY, bias=0.5)

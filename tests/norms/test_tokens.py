"""Are constant token norms and shared parts seen in data, and varying norms called so?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq.norms.tokens import Tokens, same_norm


def sphere(rng, *shape):
    x = rng.normal(size=shape)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_a_common_first_token_and_a_bias_coordinate_are_shared():
    rng = np.random.default_rng(0)
    x = np.concatenate([sphere(rng, 20, 4, 3), np.full((20, 4, 1), 0.5)], axis=2)
    x[:, 0] = x[0, 0]
    tokens = Tokens.measured(x)
    np.testing.assert_allclose(tokens.squares, 1.25)
    np.testing.assert_allclose(tokens.common, [1.25, 0.25, 0.25, 0.25])
    assert tokens.varying[0] == 0.0 and tokens.assumption.status == "unresolved"
    inner = np.einsum("ntd,mtd->nmt", x, x)
    rest = x - tokens.shared
    np.testing.assert_allclose(inner, tokens.common + np.einsum("ntd,mtd->nmt", rest, rest), atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_norms_that_are_constant_up_to_the_rounding_of_the_data_are_unresolved_unless_declared(dtype):
    x = sphere(np.random.default_rng(1), 200, 5, 7).astype(dtype)
    found = Tokens.measured(x).assumption
    assert found.status == "unresolved" and "rounded=True" in found.evidence
    assert Tokens.measured(x, rounded=True).assumption.status == "declared"
    x[3, 2] *= dtype(1 + 1e-4)
    assert Tokens.measured(x).assumption.status == Tokens.measured(x, rounded=True).assumption.status == "fails"


def test_norms_that_are_the_same_number_hold():
    rng = np.random.default_rng(2)
    hot = np.eye(5)[rng.integers(5, size=(20, 4))]
    assert Tokens.measured(hot).assumption.status == "holds"
    assert Tokens.measured(rng.choice([-0.1, 0.1], (20, 4, 3))).assumption.status == "holds"  # the same in any order
    assert Tokens.measured(np.array([[[3.0, 4.0]], [[5.0, 0.0]], [[0.0, -5.0]]])).assumption.status == "holds"
    ulp = hot.copy()
    ulp[3, 2] *= 1 + 2.0**-52
    assert Tokens.measured(ulp).assumption.status == "unresolved"


def test_one_norm_is_asked_for_exactly():
    third = np.full((2, 3), 3**-0.5)
    assert same_norm(np.eye(3), norm=1.0) == same_norm(third) == "holds"
    assert same_norm(third, norm=1.0) == same_norm(np.concatenate([third, np.eye(3)])) == "unresolved"
    assert same_norm(1.000001 * np.eye(3), norm=1.0) == "fails"
    assert same_norm(1.000001 * np.eye(3, dtype=np.float32), eps=1e-6, norm=1.0) == "unresolved"


def test_whole_tokens_are_counted_where_the_shared_part_is_read():
    tokens = Tokens.declared([1.0, 2.0], common=[1.0, 1.0]).whole_at([0])
    assert tokens.common.tolist() == [0.0, 1.0] and tokens.varying.tolist() == [1.0, 3.0]


def test_declarations_that_cannot_be_are_refused():
    for arguments, match in (
        (([1.0, -1.0],), "finite and >= 0"),
        (([[1.0]],), r"shape \(t,\)"),
        ((["a"],), "must be real numbers"),
    ):
        with pytest.raises(ValueError, match=match):
            Tokens.declared(*arguments)
    with pytest.raises(ValueError, match="must not exceed"):
        Tokens.declared([1.0, 1.0], common=[0.0, 1.1])
    with pytest.raises(ValueError, match=r"shape \(n, t, d\)"):
        Tokens.measured(np.ones((3, 2)))

"""What is refused when a block is described?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ntkseq.blocks import GLU, Attention, Convolution, Positions

RETENTION: dict[str, Any] = {"weights": "identity", "scaling": "root", "causal": True}


@pytest.mark.parametrize("decay", [1.5, -0.1, float("nan"), (0.5, 2.0), "slow", ()])
def test_decays_are_between_nought_and_one(decay: Any) -> None:
    with pytest.raises(ValueError, match="decay"):
        Attention(**RETENTION, decay=decay)


@pytest.mark.parametrize("change", [{"weights": "softmax"}, {"scaling": "dim"}, {"causal": False}])
def test_a_decay_wants_causal_scores_without_activation_at_the_root(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match='decay needs weights="identity", scaling="root" and causal=True; got'):
        Attention(**RETENTION | change, decay=0.9)


def test_one_decay_is_a_share_of_all_heads() -> None:
    assert Attention(**RETENTION, decay=0.9).decay == (0.9,) == Attention(**RETENTION, decay=[0.9]).decay
    assert Attention(**RETENTION, decay=np.array([0.5, 0.75])).decay == (0.5, 0.75)


def test_attention_without_projections_has_no_random_scores() -> None:
    with pytest.raises(ValueError, match='project=False needs scaling="dim"'):
        Attention(project=False, scaling="root")


def test_positions_are_at_most_all_of_a_token() -> None:
    with pytest.raises(ValueError, match="share must be between 0 and 1; got 2"):
        Positions(2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"size": 0}, "size must be an integer >= 1; got 0"),
        ({"size": 4, "causal": False}, "size must be odd where causal=False, so that it has a centre; got 4"),
        ({"size": 2, "sigma_w": -1.0}, "sigma_w must be a finite standard deviation"),
        ({"size": 2, "train": "WU"}, "train"),
    ],
)
def test_convolutions_have_a_size_and_a_centre(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Convolution(**arguments)
    assert list(Convolution(3).lags) == [0, 1, 2] and list(Convolution(3, causal=False).lags) == [-1, 0, 1]


def test_a_gated_unit_has_an_activation_that_is_known() -> None:
    with pytest.raises(ValueError, match="activation"):
        GLU("silu")

"""Do learning curves show the numbers they are given, and say which lines are proved?"""

from __future__ import annotations

import jax
import numpy as np
import pytest

from ntkseq.predictors import learning_curve
from ntkseq.reports import learning
from ntkseq.reports.learning import LearningCurve

SIZES = [8, 32, 128]


def line(ax, start):
    (found,) = [one for one in ax.lines if (one.get_label() or "").startswith(start)]
    return found


def test_points_have_their_intervals_and_lines_say_whether_they_are_certified():
    ax = learning.learning(
        [
            LearningCurve("kernel", SIZES, [0.5, 0.2, 0.1], [0.4, 0.1, 0.0], [0.6, 0.3, 0.2]),
            LearningCurve("network", SIZES, [0.6, 0.3, 0.2], style="hollow"),
            LearningCurve("proved", SIZES, [2.0, 1.0, 0.5], style="line"),
            LearningCurve("not proved", SIZES, [1.0, 0.5, 0.25], style="line", certified=False, thin=True),
        ]
    )
    assert line(ax, "kernel").get_ydata().tolist() == [0.5, 0.2, 0.1]
    assert line(ax, "network").get_markerfacecolor() == "white" != line(ax, "kernel").get_markerfacecolor()
    assert line(ax, "proved").get_linestyle() == "-" and line(ax, "not proved").get_linestyle() == "--"
    ends = [segment[:, 1].tolist() for segment in ax.collections[0].get_segments()]
    assert ends[0] == [0.4, 0.6] and 0 < ends[2][0] < 1e-5  # down to zero
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert [text.get_text() for text in ax.get_xticklabels()] == ["8", "32", "128"]
    assert ax.get_ylim()[0] == pytest.approx(0.06) and ax.get_ylim()[1] == pytest.approx(3.2)


def test_what_is_not_positive_and_finite_is_left_out():
    ax = learning.learning(
        [LearningCurve("a", SIZES, [np.inf, 0.0, 0.1]), LearningCurve("b", SIZES, [np.nan, 1.0, -1.0])]
    )
    assert line(ax, "a").get_xdata().tolist() == [128.0] and line(ax, "b").get_xdata().tolist() == [32.0]


def test_a_label_is_listed_once():
    ax = learning.learning([LearningCurve("a", SIZES, [1, 2, 3]), LearningCurve("a", SIZES, [2, 3, 4])])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a"]
    assert learning.learning([LearningCurve("a", SIZES, [1, 2, 3])], legend=False).get_legend() is None


def test_points_are_shown_against_the_diagonal():
    ax = learning.below({"t = 4": ([2.0, 4.0, np.inf], [1.0, 3.0, 2.0])}, xlabel="bound", ylabel="measured")
    assert line(ax, "t = 4").get_xydata().tolist() == [[2.0, 1.0], [4.0, 3.0]]
    diagonal = line(ax, "equal").get_xydata()
    assert np.array_equal(diagonal[:, 0], diagonal[:, 1]) and diagonal[0, 0] < 1.0 and diagonal[1, 0] > 4.0


def test_panels_share_axis_and_legend():
    def one(scale):
        return lambda ax: learning.learning(
            [LearningCurve("a", SIZES, np.array([1.0, 2, 3]) * scale)], ax, legend=False
        )

    ax = learning.panels([one(1.0), one(100.0)])
    left, right = ax.figure.axes
    assert ax is left and left.get_ylim() == right.get_ylim() == pytest.approx((0.6, 480.0))
    (legend,) = ax.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a"] and right.get_ylabel() == ""
    ax.figure.canvas.draw()


def test_five_panels_stand_in_two_rows():
    ax = learning.panels([lambda ax: learning.learning([LearningCurve("a", SIZES, [1, 2, 3])], ax, legend=False)] * 5)
    assert len(ax.figure.axes) == 5
    assert len({round(one.get_position().y0, 2) for one in ax.figure.axes}) == 2


def test_an_axis_of_hardly_a_decade_has_plain_numbers():
    ax = learning.learning([LearningCurve("a", SIZES, [0.15, 0.2, 0.6])])
    ax.figure.canvas.draw()
    inside = [text.get_text() for text in ax.get_yticklabels() if 0.09 < text.get_position()[1] < 0.96]
    assert inside == ["0.1", "0.2", "0.5"]
    assert not any(text.get_text() for text in ax.yaxis.get_minorticklabels())


@pytest.fixture(scope="module")
def risks():
    x = np.linspace(-1.0, 1.0, 40)
    K, y = np.exp(-4.0 * (x[:, None] - x) ** 2), np.sin(3 * x)
    signs = np.where(np.arange(40) % 7 == 0, -1.0, 1.0) * np.sign(y)
    return [learning_curve(K, one, reg=0.1, key=jax.random.key(0), sizes=[5, 20], draws=3) for one in (y, signs)]


def test_a_predicted_risk_is_dashed_and_stands_in_its_band_beside_what_was_measured(risks):
    for curve, loss in ((risks[0], "squared error"), (risks[1], "zero-one error")):
        shown, whole = (
            (curve.squared, curve.whole.leave_one_out)
            if loss == "squared error"
            else (curve.zero_one, curve.whole.zero_one)
        )
        ax = learning.predicted(curve, loss=loss)
        assert line(ax, "measured").get_ydata().tolist() == shown.measured.tolist()
        assert line(ax, "predicted").get_ydata().tolist() == shown.predicted.tolist()
        assert line(ax, "predicted").get_linestyle() == "--"
        assert line(ax, "leave-one-out").get_xydata().tolist() == [[40.0, whole.value]]
        corners = ax.collections[-1].get_paths()[0].vertices[:, 1]
        assert np.isin(shown.predicted_upper, corners).all()
        assert ax.get_ylabel() == loss


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: learning.learning([]), "curves must hold"),
        (lambda: learning.panels([]), "draw must hold"),
        (lambda: learning.below({"a": ([np.inf], [1.0])}, xlabel="", ylabel=""), "finite bound"),
        (lambda: LearningCurve("a", SIZES, [1.0]), "one shape"),
        (lambda: LearningCurve("a", SIZES, SIZES, low=SIZES), "low and high"),
        (lambda: LearningCurve("a", SIZES, SIZES, style="bars"), "style must be"),
        (lambda: LearningCurve("a", SIZES, np.ma.masked_greater(SIZES, 0)), "y must have no masked entries"),
        (lambda: LearningCurve("a", SIZES, [1j] * len(SIZES)), "y must be real numbers"),
        (lambda: learning.below([1.0], xlabel="", ylabel=""), "points must be a dict"),
        (lambda: learning.learning([LearningCurve("a", SIZES, SIZES)], top=np.nan), "top must be a finite number"),
        (lambda: learning.panels([lambda ax: ax], height=-1.0), "height must be a finite number > 0"),
        (lambda: learning.panels("draw"), "draw must be a list of functions of axes"),
    ],
)
@pytest.mark.usefixtures("untyped")
def test_nothing_to_draw_is_turned_away(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_values_have_no_zero_one_error_to_draw(risks):
    with pytest.raises(ValueError, match="do not encode classes"):
        learning.predicted(risks[0], loss="zero-one error")

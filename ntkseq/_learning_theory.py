"""Papers on statistical learning theory, a part of the bibliography."""

from __future__ import annotations

from ntkseq._entries import Entry

ENTRIES = {
    "bartlett2005local": Entry(
        "article",
        "Bartlett, Peter L. and Bousquet, Olivier and Mendelson, Shahar",
        "Local {Rademacher} Complexities",
        2005,
        "The Annals of Statistics",
    ),
    "mendelson2003kernel": Entry(
        "article",
        "Mendelson, Shahar",
        "On the Performance of Kernel Classes",
        2003,
        "Journal of Machine Learning Research",
    ),
    "bousquet2002stability": Entry(
        "article",
        "Bousquet, Olivier and Elisseeff, Andr{\\'e}",
        "Stability and Generalization",
        2002,
        "Journal of Machine Learning Research",
    ),
    "feldman2018stability": Entry(
        "inproceedings",
        "Feldman, Vitaly and Vondrak, Jan",
        "Generalization Bounds for Uniformly Stable Algorithms",
        2018,
        "Advances in Neural Information Processing Systems",
        "1812.09859",
    ),
    "bousquet2020sharper": Entry(
        "inproceedings",
        "Bousquet, Olivier and Klochkov, Yegor and Zhivotovskiy, Nikita",
        "Sharper Bounds for Uniformly Stable Algorithms",
        2020,
        "Conference on Learning Theory",
        "1910.07833",
    ),
    "littlestone1986compression": Entry(
        "misc",
        "Littlestone, Nick and Warmuth, Manfred K.",
        "Relating Data Compression and Learnability",
        1986,
        "",
    ),
    "floyd1995compression": Entry(
        "article",
        "Floyd, Sally and Warmuth, Manfred",
        "Sample Compression, Learnability, and the {Vapnik-Chervonenkis} Dimension",
        1995,
        "Machine Learning",
    ),
    "langford2005tutorial": Entry(
        "article",
        "Langford, John",
        "Tutorial on Practical Prediction Theory for Classification",
        2005,
        "Journal of Machine Learning Research",
    ),
    "hoeffding1963": Entry(
        "article",
        "Hoeffding, Wassily",
        "Probability Inequalities for Sums of Bounded Random Variables",
        1963,
        "Journal of the American Statistical Association",
    ),
    "caponnetto2007optimal": Entry(
        "article",
        "Caponnetto, Andrea and De Vito, Ernesto",
        "Optimal Rates for the Regularized Least-Squares Algorithm",
        2007,
        "Foundations of Computational Mathematics",
    ),
    "tu2020rnn": Entry(
        "inproceedings",
        "Tu, Zhuozhuo and He, Fengxiang and Tao, Dacheng",
        "Understanding Generalization in Recurrent Neural Networks",
        2020,
        "International Conference on Learning Representations",
    ),
}

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
    "maurer2004": Entry(
        "article", "Maurer, Andreas", "A Note on the {PAC} {Bayesian} Theorem", 2004, "arXiv cs/0411099"
    ),
    "seeger2002": Entry(
        "article",
        "Seeger, Matthias",
        "{PAC-Bayesian} Generalisation Error Bounds for {Gaussian} Process Classification",
        2002,
        "Journal of Machine Learning Research",
    ),
    "catoni2007": Entry(
        "book",
        "Catoni, Olivier",
        "{PAC-Bayesian} Supervised Classification: The Thermodynamics of Statistical Learning",
        2007,
        "Institute of Mathematical Statistics",
        "0712.0248",
    ),
    "ambroladze2006": Entry(
        "inproceedings",
        "Ambroladze, Amiran and Parrado-Hern{\\'a}ndez, Emilio and Shawe-Taylor, John",
        "Tighter {PAC-Bayes} Bounds",
        2006,
        "Advances in Neural Information Processing Systems",
    ),
    "langford2002margins": Entry(
        "inproceedings",
        "Langford, John and Shawe-Taylor, John",
        "{PAC-Bayes} \\& Margins",
        2002,
        "Advances in Neural Information Processing Systems",
    ),
    "mhammedi2019": Entry(
        "inproceedings",
        'Mhammedi, Zakaria and Gr{\\"u}nwald, Peter and Guedj, Benjamin',
        "{PAC-Bayes} Un-Expected {Bernstein} Inequality",
        2019,
        "Advances in Neural Information Processing Systems",
        "1905.13367",
    ),
    "masegosa2020": Entry(
        "inproceedings",
        "Masegosa, Andr{\\'e}s R. and Lorenzen, Stephan S. and Igel, Christian and Seldin, Yevgeny",
        "Second Order {PAC-Bayesian} Bounds for the Weighted Majority Vote",
        2020,
        "Advances in Neural Information Processing Systems",
        "2007.13532",
    ),
}

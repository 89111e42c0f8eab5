"""Which papers do predictions of the risk rest on? More of what `_bibliography` holds."""

from __future__ import annotations

from ntkseq._bibliography import Entry

_NEURIPS = "Advances in Neural Information Processing Systems"

ENTRIES = {
    "golub1979": Entry(
        "article",
        "Golub, Gene H. and Heath, Michael and Wahba, Grace",
        "Generalized Cross-Validation as a Method for Choosing a Good Ridge Parameter",
        1979,
        "Technometrics",
    ),
    "jacot2020kare": Entry(
        "inproceedings",
        "Jacot, Arthur and {\\c{S}}im{\\c{s}}ek, Berfin and Spadaro, Francesco and Hongler, Cl{\\'e}ment and "
        "Gabriel, Franck",
        "Kernel Alignment Risk Estimator: Risk Prediction from Training Data",
        2020,
        _NEURIPS,
        "2006.09796",
    ),
    "canatar2021": Entry(
        "article",
        "Canatar, Abdulkadir and Bordelon, Blake and Pehlevan, Cengiz",
        "Spectral Bias and Task-Model Alignment Explain Generalization in Kernel Regression and Infinitely Wide Neural "
        "Networks",
        2021,
        "Nature Communications",
        "2006.13198",
    ),
    "simon2021eigenlearning": Entry(
        "misc",
        "Simon, James B. and Dickens, Madeline and Karkada, Dhruva and DeWeese, Michael R.",
        "The Eigenlearning Framework: A Conservation Law Perspective on Kernel Regression and Wide Neural Networks",
        2021,
        "",
        "2110.03922",
    ),
    "bayle2020cross": Entry(
        "inproceedings",
        "Bayle, Pierre and Bayle, Alexandre and Janson, Lucas and Mackey, Lester",
        "Cross-validation Confidence Intervals for Test Error",
        2020,
        _NEURIPS,
        "2007.12671",
    ),
    "nica2006": Entry(
        "book",
        "Nica, Alexandru and Speicher, Roland",
        "Lectures on the Combinatorics of Free Probability",
        2006,
        "Cambridge University Press",
    ),
}

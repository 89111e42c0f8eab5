"""When does MAML trained by averaged SGD generalise on linear regression tasks, and how sharp are its bounds?"""

from ntkseq.studies.maml_regression.study import MamlRegression as MamlRegression

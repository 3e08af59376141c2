"""The weights of scikit-learn estimators that are linear in their features. The rule here: by kind, and only the kinds listed have any."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from reconciler.engine.models.model import Scores

# Each shifts and scales column by column.
_SCALERS = frozenset({"StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler"})
_LINEAR = {
    "Regression": frozenset(
        {"LinearRegression", "Ridge", "RidgeCV", "Lasso", "LassoCV", "ElasticNet", "ElasticNetCV", "BayesianRidge", "HuberRegressor"}
    ),
    "Binary": frozenset({"LogisticRegression", "LogisticRegressionCV"}),
    "Multiclass": frozenset({"LogisticRegression", "LogisticRegressionCV"}),
}


def weights(target_type: str, estimator: Any, order: list[int]) -> tuple[Scores, Scores] | None:
    """Coefficients (outputs, features) and constants (outputs,) of the raw prediction: the log odds of the positive class, or each class's own.

    `order` says for each of the metadata's labels its place among the estimator's; none for a regression.
    """
    steps = [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    *scalers, last = [step for step in steps if step is not None and step != "passthrough"]
    if type(last).__name__ not in _LINEAR.get(target_type, ()) or not all(_is_scaler(scaler) for scaler in scalers):
        return None
    coefficients = np.atleast_2d(np.asarray(last.coef_, np.float64))
    constants = np.broadcast_to(np.asarray(last.intercept_, np.float64), len(coefficients))
    if target_type == "Binary":
        # The one row is that of the second class.
        sign = 1.0 if order[0] == 1 else -1.0
        coefficients, constants = sign * coefficients, sign * constants
    elif target_type == "Multiclass":
        coefficients, constants = coefficients[order], constants[order]
    elif len(coefficients) != 1:
        return None
    shift, scale = np.zeros(coefficients.shape[1]), np.ones(coefficients.shape[1])
    for scaler in scalers:
        table = np.array([np.zeros_like(shift), np.ones_like(shift)])
        names = getattr(scaler, "feature_names_in_", None)
        zero, one = np.asarray(scaler.transform(table if names is None else pd.DataFrame(table, columns=names)))
        shift, scale = shift * (one - zero) + zero, scale * (one - zero)
    return coefficients * scale, constants + coefficients @ shift


def _is_scaler(step: Any) -> bool:
    return type(step).__name__ in _SCALERS and not getattr(step, "clip", False)

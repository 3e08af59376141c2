"""What features add to the predictions of trees in a Python object. The rule here: the library's own TreeSHAP, over the trees that it predicts with.

These are LightGBM's, XGBoost's and CatBoost's estimators for scikit-learn. It has no TreeSHAP for trees and forests of its own, and in a pipeline the
last step's features are no longer the intake's columns: both are sampled.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from reconciler.engine.models.estimator_columns import library
from reconciler.engine.models.model import Scores

# Gives (n, features + 1), or (n, classes, features + 1): in the library's own order of the classes, and of two for the second.
_Trees = Callable[[Any, Any], Any]


def contributions(target_type: str, estimator: Any, order: list[int]) -> Callable[[Any], Scores] | None:
    """`ExplainingModel.contributions` for what the estimator itself predicts from; None for one whose library has none.

    `order` says for each of the metadata's labels its place among the estimator's; none for a regression.
    """
    trees = _TREES.get(library(estimator))
    if trees is None or target_type not in ("Regression", "Binary", "Multiclass"):
        return None

    def ordered(table: Any) -> Scores:
        found = np.asarray(trees(estimator, table), np.float64)
        if target_type == "Binary":
            return found if order[0] == 1 else -found
        return found[:, order] if order else found

    return ordered


def _lightgbm(estimator: Any, table: Any) -> Any:
    found = np.asarray(estimator.predict(table, pred_contrib=True, num_threads=1))
    outputs = estimator.booster_.num_model_per_iteration()
    return found if outputs == 1 else found.reshape(len(found), outputs, -1)


def _xgboost(estimator: Any, table: Any) -> Any:
    import xgboost

    given = {"missing": estimator.missing, "feature_types": estimator.feature_types, "enable_categorical": estimator.enable_categorical}
    last = getattr(estimator, "best_iteration", -1)  # of a model that was stopped early, its own predict goes as far
    return estimator.get_booster().predict(xgboost.DMatrix(table, nthread=1, **given), pred_contribs=True, iteration_range=(0, last + 1))


def _catboost(estimator: Any, table: Any) -> Any:
    import catboost

    categories, texts = estimator.get_cat_feature_indices(), estimator.get_text_feature_indices()
    pool = catboost.Pool(table, cat_features=categories, text_features=texts, thread_count=1)
    return estimator.get_feature_importance(pool, type="ShapValues", thread_count=1)


_TREES: dict[str, _Trees] = {"lightgbm.LGBMModel": _lightgbm, "xgboost.XGBModel": _xgboost, "catboost.CatBoost": _catboost}

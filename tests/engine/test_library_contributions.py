"""Explanations beside those of the models' own libraries, from model file to output file. The rule here: to 1e-9, and they add up to the raw score.

XGBoost computes in float32, so that its own contributions add up to its own raw score only so far: ours add up to the sum of its contributions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import catboost
import joblib
import lightgbm
import numpy as np
import pandas as pd
import pytest
import skops.io
import table
import xgboost
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression, LogisticRegression

Scored = Callable[..., bytes]
Numbers = NDArray[np.float64]
NEAR = 1e-9
NAMES = ["x", "z", "level"]
SHOWN = 2  # of three: what the third adds is in the remaining total


@dataclass(frozen=True)
class Family:
    """`said` gives (n, outputs, features + 1): the library's own contributions; `raw` (n, outputs): its own raw scores, `close` to their sum."""

    regressor: Callable[[], Any]
    classifier: Callable[[], Any]
    said: Callable[[Any, pd.DataFrame], Any]
    raw: Callable[[Any, pd.DataFrame], Any]
    save: Callable[[Any, Path], object] | None = None  # in the library's own format
    close: float = NEAR
    takes_gaps: bool = True

    def filled(self, rows: pd.DataFrame) -> pd.DataFrame:
        return rows[NAMES] if self.takes_gaps else rows[NAMES].fillna(0.25)


def closed_form(model: Any, rows: pd.DataFrame) -> Any:
    """Coefficient times the distance from the mean of the background, which is the intake itself here."""
    coefficients, means = np.atleast_2d(model.coef_), rows.mean().to_numpy()
    parts = (rows.to_numpy() - means)[:, None] * coefficients
    base = coefficients @ means + np.atleast_1d(model.intercept_)
    return np.concatenate([parts, np.broadcast_to(base[:, None], (*parts.shape[:2], 1))], axis=2)


def of_xgboost(model: Any, rows: pd.DataFrame, **what: bool) -> Any:
    return model.get_booster().predict(xgboost.DMatrix(rows), **what)


TREES = {"n_estimators": 12, "n_jobs": 1}
QUIET: dict[str, Any] = {"iterations": 12, "verbose": 0, "allow_writing_files": False, "thread_count": 1}
FAMILIES: Mapping[str, Family] = {
    "LightGBM": Family(
        lambda: lightgbm.LGBMRegressor(**TREES, verbosity=-1),
        lambda: lightgbm.LGBMClassifier(**TREES, verbosity=-1),
        lambda model, rows: model.predict(rows, pred_contrib=True),
        lambda model, rows: model.predict(rows, raw_score=True),
        lambda model, folder: model.booster_.save_model(folder / "model.txt"),
    ),
    "XGBoost": Family(
        lambda: xgboost.XGBRegressor(**TREES),
        lambda: xgboost.XGBClassifier(**TREES),
        lambda model, rows: of_xgboost(model, rows, pred_contribs=True),
        lambda model, rows: of_xgboost(model, rows, output_margin=True),
        lambda model, folder: model.save_model(folder / "model.json"),
        close=1e-5,
    ),
    "CatBoost": Family(
        lambda: catboost.CatBoostRegressor(**QUIET),
        lambda: catboost.CatBoostClassifier(**QUIET),
        lambda model, rows: model.get_feature_importance(catboost.Pool(rows), type="ShapValues"),
        lambda model, rows: model.predict(rows, prediction_type="RawFormulaVal"),
        lambda model, folder: model.save_model(str(folder / "model.cbm")),
    ),
    "linear": Family(
        LinearRegression,
        LogisticRegression,
        closed_form,
        lambda model, rows: model.decision_function(rows) if hasattr(model, "decision_function") else model.predict(rows),
        takes_gaps=False,
    ),
}
# The target type, the labels, and the outputs that are explained: their places among the library's, -1 for the negative of its only one.
KINDS: Mapping[str, tuple[str, dict[str, Any], tuple[int, ...]]] = {
    "regression": ("regression", {}, (0,)),
    "binary": ("binary", {"positiveClassLabel": "1", "negativeClassLabel": "0"}, (0,)),
    "binary, turned": ("binary", {"positiveClassLabel": "0", "negativeClassLabel": "1"}, (-1,)),
    "multiclass": ("multiclass", {"classLabels": ["0", "1", "2"]}, (0, 1, 2)),
    "multiclass, turned": ("multiclass", {"classLabels": ["2", "0", "1"]}, (2, 0, 1)),
}


def cases() -> list[Any]:
    found = []
    for family in FAMILIES:
        for file in ("its own", "model.pkl", "model.skops"):
            for kind in KINDS:
                # The files of LightGBM and of XGBoost know no labels: a class is a place.
                if file == "its own" and (FAMILIES[family].save is None or (kind.endswith("turned") and family != "CatBoost")):
                    continue
                found.append(pytest.param(FAMILIES[family], file, KINDS[kind], id=f"{family}-{file}-{kind}"))
    return found


def fitted(family: Family, target_type: str) -> Any:
    values, target = family.filled(table.training()), table.target(table.training())
    if target_type == "regression":
        return family.regressor().fit(values, target)
    return family.classifier().fit(values, np.digitize(target, [0] if target_type == "binary" else [-0.5, 1]))


def saved(family: Family, model: Any, folder: Path, file: str) -> None:
    if file == "its own":
        assert family.save
        family.save(model, folder)
    else:
        (joblib if file.endswith("pkl") else skops.io).dump(model, folder / file)


def shown(row: dict[str, str], prefix: str) -> tuple[dict[str, float], float, float]:
    """The strengths by feature, the base value and the remaining total."""
    each = [f"{prefix}EXPLANATION_{place}_" for place in range(1, SHOWN + 1)]
    strengths = {row[f"{name}FEATURE_NAME"]: float(row[f"{name}STRENGTH"]) for name in each}
    return strengths, float(row[f"{prefix}SHAP_BASE_VALUE"]), float(row[f"{prefix}SHAP_REMAINING_TOTAL"])


@pytest.mark.parametrize(("family", "file", "kind"), cases())
def test_explanations_are_the_librarys_own_and_add_up(
    tmp_path: Path, scored: Scored, family: Family, file: str, kind: tuple[str, dict[str, Any], tuple[int, ...]]
) -> None:
    target_type, labels, places = kind
    model = fitted(family, target_type)
    saved(family, model, tmp_path, file)
    table.folder_for(tmp_path, target_type, **labels)
    classes = {"explanation_class_names": labels["classLabels"]} if target_type == "multiclass" else {}
    given = family.filled(table.unseen())
    output = scored(tmp_path, table.as_csv(given), is_trusted=True, max_explanations=SHOWN, **classes)
    count, outputs = len(given), 3 if target_type == "multiclass" else 1
    said = np.asarray(family.said(model, given), np.float64)
    # LightGBM has the classes side by side, XGBoost and CatBoost one behind the other.
    said = said.reshape(count, outputs, len(NAMES) + 1)
    raw = np.asarray(family.raw(model, given), np.float64).reshape(count, outputs)
    if places == (-1,):
        said, raw, places = -said, -raw, (0,)
    assert said.sum(axis=2) == pytest.approx(raw, abs=family.close)
    rows = table.rows_of(output)
    assert len(rows) == count == 90
    for index, row in enumerate(rows):
        for number, place in enumerate(places, 1):
            strengths, base, remaining = shown(row, f"CLASS_{number}_" if classes else "")
            own = dict(zip(NAMES, said[index, place], strict=False))
            # The greatest are shown; two of the same size may be shown in either order.
            assert sorted(map(abs, strengths.values())) == pytest.approx(sorted(map(abs, own.values()))[-SHOWN:], abs=NEAR)
            assert strengths == pytest.approx({name: own[name] for name in strengths}, abs=NEAR)
            assert base == pytest.approx(said[index, place, -1], abs=NEAR)
            assert remaining == pytest.approx(sum(own.values()) - sum(own[name] for name in strengths), abs=NEAR)
            assert base + sum(strengths.values()) + remaining == pytest.approx(said[index, place].sum(), abs=NEAR)
            assert base + sum(strengths.values()) + remaining == pytest.approx(raw[index, place], abs=family.close)

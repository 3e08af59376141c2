"""CatBoost. The rule here: every row scores as the library's own predict has it; a missing category is the empty text."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import catboost
import joblib
import numpy as np
import pandas as pd
import pytest
import table

from reconciler.engine.metadata import read_metadata
from reconciler.engine.models.registry import load_model
from reconciler.errors import ModelError

Scored = Callable[..., bytes]
TEXTS = ["color", "level"]


def framed(rows: pd.DataFrame) -> pd.DataFrame:
    """As the library wants it: texts for categories, none missing."""
    return rows.assign(color=rows.color.fillna("").astype(str), level=rows.level.astype(str))


def fitted(kind: type[catboost.CatBoost], labels: Any, **more: Any) -> Any:
    model = kind(iterations=12, depth=4, verbose=0, allow_writing_files=False, thread_count=1, random_seed=1, cat_features=TEXTS, **more)
    return model.fit(framed(table.training()), labels)


def regression(**more: Any) -> Any:
    return fitted(catboost.CatBoostRegressor, table.target(table.training()), **more)


def binary() -> Any:
    return fitted(catboost.CatBoostClassifier, table.yes_or_no(table.target(table.training())))


def multiclass() -> Any:
    return fitted(catboost.CatBoostClassifier, table.classes(table.target(table.training())))


def multilabel() -> Any:
    values = table.target(table.training())
    labels = np.column_stack([values < 0, values > 1, np.abs(values) < 1]).astype(int)
    return fitted(catboost.CatBoostClassifier, labels, loss_function="MultiLogloss")


def saved(folder: Path, model: Any, name: str = "model.cbm") -> Path:
    model.save_model(str(folder / name))
    return folder


def test_regression_scores_as_the_library(tmp_path: Path, scored: Scored) -> None:
    model, rows = regression(), table.unseen()
    output = scored(table.folder_for(saved(tmp_path, model), "regression"), table.as_csv(rows))
    assert table.numbers(output) == model.predict(framed(rows)).tolist()


def test_a_linked_regression_scores_as_the_library(tmp_path: Path, scored: Scored) -> None:
    counts = np.round(np.abs(table.target(table.training())))
    model, rows = fitted(catboost.CatBoostRegressor, counts, loss_function="Poisson"), table.unseen()
    output = scored(table.folder_for(saved(tmp_path, model), "regression"), table.as_csv(rows))
    assert table.numbers(output) == model.predict(framed(rows)).tolist()


def test_binary_scores_as_the_library(tmp_path: Path, scored: Scored) -> None:
    model, rows = binary(), table.unseen()
    output = scored(table.folder_for(saved(tmp_path, model), "binary"), table.as_csv(rows))
    assert list(model.classes_) == ["no", "yes"]
    assert table.numbers(output, "t_yes_PREDICTION") == model.predict_proba(framed(rows))[:, 1].tolist()


def test_multiclass_scores_as_the_library(tmp_path: Path, scored: Scored) -> None:
    model, rows = multiclass(), table.unseen()
    output = scored(table.folder_for(saved(tmp_path, model), "multiclass"), table.as_csv(rows))
    wanted = dict(zip(model.classes_, model.predict_proba(framed(rows)).T.tolist(), strict=True))
    assert {label: table.numbers(output, f"t_{label}_PREDICTION") for label in ("low", "mid", "high")} == wanted
    assert table.column(output, "t_PREDICTION") == model.predict(framed(rows))[:, 0].tolist()


def test_multilabel_scores_as_the_library(tmp_path: Path, scored: Scored) -> None:
    model, rows = multilabel(), table.unseen()
    folder = table.folder_for(saved(tmp_path, model), "multilabel", predictionThreshold=0.4)
    output = scored(folder, table.as_csv(rows))
    wanted = model.predict_proba(framed(rows))
    for place, label in enumerate(("low", "mid", "high")):
        assert table.numbers(output, f"t_{label}_PROBABILITY") == wanted[:, place].tolist()
        assert set(table.column(output, f"t_{label}_THRESHOLD")) == {"0.4"}
        assert table.column(output, f"t_{label}_DECISION") == np.where(wanted[:, place] >= 0.4, "True", "False").tolist()


def test_numeric_labels_are_met_by_value(tmp_path: Path, scored: Scored) -> None:
    model, rows = fitted(catboost.CatBoostClassifier, (table.target(table.training()) > 0).astype(int)), table.unseen()
    folder = table.folder_for(saved(tmp_path, model), "binary", positiveClassLabel="0.0", negativeClassLabel="1.0")
    assert table.numbers(scored(folder, table.as_csv(rows)), "t_0.0_PREDICTION") == model.predict_proba(framed(rows))[:, 0].tolist()


def test_a_model_without_names_takes_those_of_the_metadata(tmp_path: Path, scored: Scored) -> None:
    train, rows = table.training()[["x", "z"]], table.unseen()[["x", "z"]]
    model = catboost.CatBoostRegressor(iterations=5, verbose=0, allow_writing_files=False, thread_count=1)
    model.fit(train.to_numpy(), table.target(table.training()))
    folder = table.folder_for(saved(tmp_path, model), "regression", feature_names=["x", "z"])
    assert table.numbers(scored(folder, table.as_csv(rows))) == model.predict(rows.to_numpy()).tolist()


def test_a_missing_category_is_what_the_librarys_file_reader_makes_of_it(tmp_path: Path, scored: Scored) -> None:
    model = regression()
    (tmp_path / "rows.tsv").write_text("0.5\t\t0.1\t30\n")
    (tmp_path / "columns").write_text("0\tNum\n1\tCateg\n2\tNum\n3\tCateg\n")
    wanted = model.predict(catboost.Pool(str(tmp_path / "rows.tsv"), column_description=str(tmp_path / "columns")))
    folder = table.folder_for(saved(tmp_path, model), "regression")
    assert table.numbers(scored(folder, "x,color,z,level\n0.5,,0.1,30\n")) == wanted.tolist()


@pytest.mark.parametrize(
    ("target_type", "model", "shape"), [("regression", regression, (90, 5)), ("binary", binary, (90, 5)), ("multiclass", multiclass, (90, 3, 5))]
)
def test_contributions_are_the_librarys(tmp_path: Path, target_type: str, model: Callable[[], Any], shape: tuple[int, ...]) -> None:
    made, rows = model(), table.unseen()
    loaded: Any = load_model(read_metadata(table.folder_for(saved(tmp_path, made), target_type)))
    contributions = loaded.contributions(table.batch(rows, loaded.features))
    assert contributions.shape == shape
    pool = catboost.Pool(framed(rows), cat_features=TEXTS)
    order = [list(made.classes_).index(label) for label in ("low", "mid", "high")] if target_type == "multiclass" else ...
    library = made.get_feature_importance(pool, type="ShapValues")
    assert contributions == pytest.approx(library if order is ... else library[:, order], abs=1e-12)
    raw = made.predict(pool, prediction_type="RawFormulaVal")
    assert contributions.sum(axis=-1) == pytest.approx(raw if order is ... else raw[:, order], abs=1e-9)


def test_contributions_are_those_of_the_positive_class(tmp_path: Path) -> None:
    made, rows = binary(), table.unseen()
    sides: list[Any] = []
    for positive, negative in (("yes", "no"), ("no", "yes")):
        folder = table.folder_for(saved(tmp_path, made), "binary", positiveClassLabel=positive, negativeClassLabel=negative)
        model: Any = load_model(read_metadata(folder))
        sides.append(model.contributions(table.batch(rows, model.features)))
    assert np.array_equal(sides[0], -sides[1])


@pytest.mark.parametrize(
    ("target_type", "model", "sentence"),
    [
        ("binary", regression, "its loss function is RMSE, but targetType is Binary"),
        ("regression", binary, "its loss function is Logloss, but targetType is Regression"),
        ("multiclass", binary, "its loss function is Logloss, but targetType is Multiclass"),
        ("multilabel", multiclass, "its loss function is MultiClass, but targetType is Multilabel"),
    ],
)
def test_a_model_that_does_not_fit_is_explained(tmp_path: Path, target_type: str, model: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(read_metadata(table.folder_for(saved(tmp_path, model()), target_type)))
    assert sentence in caught.value.detail


def test_labels_that_differ_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(read_metadata(table.folder_for(saved(tmp_path, multiclass()), "multiclass", classLabels=["low", "mid", "top"])))
    assert "its labels are high, low, mid, those of the metadata low, mid, top" in caught.value.detail


# The format has no checksum: bytes that were overwritten within it go unseen, where the library does not stumble over them.
@pytest.mark.parametrize("damaged", [each for each in table.DAMAGED if each.id != "overwritten"])
def test_a_damaged_file_is_refused(tmp_path: Path, damaged: Callable[[bytes], bytes]) -> None:
    path = saved(tmp_path, regression()) / "model.cbm"
    path.write_bytes(damaged(path.read_bytes()))
    with pytest.raises(ModelError):
        load_model(read_metadata(table.folder_for(tmp_path, "regression")))


@pytest.mark.parametrize("name", ["model.cbm", "model.pkl"])
@pytest.mark.parametrize("policy", ["SymmetricTree", "Lossguide"])
def test_words_for_booleans_are_what_the_model_was_trained_on(tmp_path: Path, scored: Scored, name: str, policy: str) -> None:
    """To the library, a boolean in a frame is `1` or `0`, and a text is what it says."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"a": rng.random(300) < 0.5, "b": rng.random(300) < 0.5, "c": rng.choice(["red", "blue", "1"], 300)})
    frame = rows.assign(b=rows.b.map({True: "True", False: "False"}))
    quiet: dict[str, Any] = {"iterations": 12, "verbose": 0, "allow_writing_files": False, "thread_count": 1, "grow_policy": policy}
    model = catboost.CatBoostRegressor(**quiet, cat_features=list("abc")).fit(frame, rows.a * 2 + rows.b * 3 + (rows.c == "red"))
    saved(tmp_path, model, name) if name.endswith("cbm") else joblib.dump(model, tmp_path / name)
    given = rows.assign(a=rows.a.map({True: "true", False: "False"}).where(rows.index % 2 == 0, rows.a.astype(int).astype(str)))
    output = scored(table.folder_for(tmp_path, "regression"), table.as_csv(given), is_trusted=True)
    assert table.numbers(output) == model.predict(frame).tolist()

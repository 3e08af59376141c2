"""The deployment's folder. The rule here: every broken folder has its sentence."""

import math
from pathlib import Path

import pytest

from reconciler.engine.metadata import read_metadata
from reconciler.errors import ModelError

GOOD = "name: m\ntype: inference\ntargetType: binary\ninferenceModel: {targetName: t, positiveClassLabel: 1, negativeClassLabel: 0.0}\n"
REGRESSION = "targetType: regression\ninferenceModel: {targetName: t, outlierLimits: LIMITS}\n"


def folder_with(tmp_path: Path, metadata: str = GOOD, files: tuple[str, ...] = ("model.txt",)) -> Path:
    (tmp_path / "model-metadata.yaml").write_text(metadata)
    for name in files:
        (tmp_path / name).write_text("tree\nversion=v4\n")
    return tmp_path


def test_labels_keep_their_yaml_text(tmp_path: Path) -> None:
    metadata = read_metadata(folder_with(tmp_path))
    assert (metadata.positive_label, metadata.negative_label) == ("1", "0.0")


@pytest.mark.parametrize("written", ["binary", "Binary", "BINARY"])
def test_target_type_is_normalised(tmp_path: Path, written: str) -> None:
    assert read_metadata(folder_with(tmp_path, GOOD.replace("binary", written))).target_type == "Binary"


def test_threshold_is_one_half_unless_given(tmp_path: Path) -> None:
    assert read_metadata(folder_with(tmp_path)).prediction_threshold == 0.5
    assert read_metadata(folder_with(tmp_path, GOOD.replace("targetName", "predictionThreshold: 0.3, targetName"))).prediction_threshold == 0.3


@pytest.mark.parametrize(
    ("written", "limits"), [("{low: 1, high: 2.5}", (1.0, 2.5)), ("{low: -1}", (-1.0, math.inf)), ("{high: 3}", (-math.inf, 3.0))]
)
def test_outlier_limits_may_leave_one_side_open(tmp_path: Path, written: str, limits: tuple[float, float]) -> None:
    assert read_metadata(folder_with(tmp_path, REGRESSION.replace("LIMITS", written))).outlier_limits == limits


def test_texts_that_are_no_model_may_lie_beside_one(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    (folder / "requirements.txt").write_text("lightgbm\n")
    assert read_metadata(folder).artifact.name == "model.txt"


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ("a: [", "cannot be read"),
        ("- a", "must be a mapping"),
        (GOOD.replace("binary", "Unstructured"), "targetType is 'Unstructured'; this engine serves regression, binary, multiclass, multilabel"),
        (GOOD.replace("targetType: binary\n", ""), "targetType is missing"),
        (GOOD.replace("type: inference", "type: training"), "only inference models"),
        (GOOD.replace("targetName: t, ", ""), "targetName is missing"),
        (GOOD.replace("positiveClassLabel: 1, ", ""), "positiveClassLabel is missing"),
        (GOOD.replace("0.0", "1"), "are both '1'"),
        (GOOD.replace("targetName", "predictionThreshold: 2, targetName"), "must be a number from 0 to 1"),
        (GOOD.replace("binary", "multiclass"), "classLabels must list"),
        (GOOD.replace("targetName", "outlierLimits: {low: 1}, targetName"), "outlierLimits are for regression models only"),
        (REGRESSION.replace("LIMITS", "3"), "outlierLimits must be a mapping with low, high or both"),
        (REGRESSION.replace("LIMITS", "{}"), "outlierLimits must be a mapping with low, high or both"),
        (REGRESSION.replace("LIMITS", "{lower: 1}"), "outlierLimits must be a mapping with low, high or both"),
        (REGRESSION.replace("LIMITS", "{low: x}"), "outlierLimits must be numbers, low below high"),
        (REGRESSION.replace("LIMITS", "{low: 2, high: 1}"), "outlierLimits must be numbers, low below high"),
        (GOOD.replace("targetName", "classLabels: [a, a], targetName").replace("binary", "multiclass"), "names a more than once"),
        ("targetType: binary\ninferenceModel: 3\n", "inferenceModel must be a mapping"),
    ],
)
def test_invalid_metadata_says_what_is_wrong(tmp_path: Path, metadata: str, sentence: str) -> None:
    with pytest.raises(ModelError) as caught:
        read_metadata(folder_with(tmp_path, metadata))
    assert sentence in caught.value.detail
    assert "model-metadata.yaml" in caught.value.detail


def test_a_family_has_its_own_target_types(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        read_metadata(folder_with(tmp_path, GOOD.replace("binary", "Anomaly")))
    assert "scores LightGBM models as Regression, Binary, Multiclass, and targetType is Anomaly" in caught.value.detail


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        read_metadata(tmp_path / "no")


def test_missing_metadata_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has no metadata"):
        read_metadata(tmp_path)


@pytest.mark.parametrize(("files", "sentence"), [((), "has no artifact"), (("a.txt", "b.onnx"), "more than one artifact")])
def test_there_is_one_artifact(tmp_path: Path, files: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        read_metadata(folder_with(tmp_path, files=files)) if files != ("a.txt", "b.onnx") else read_metadata(two_artifacts(tmp_path))


def two_artifacts(tmp_path: Path) -> Path:
    folder = folder_with(tmp_path, files=("a.txt",))
    (folder / "b.onnx").write_bytes(b"\x08")
    return folder

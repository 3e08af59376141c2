"""A table with gaps, categories and numbers that are categories. The rule here: the same rows for every family of models."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from numpy.typing import NDArray

from reconciler.engine.models.model import Feature

COLORS = ["NA", "blue", "red", "10"]
LEVELS = [1, 2, 30]
CLASSES = ["low", "mid", "high"]
NAMES = ["x", "color", "z", "level"]


def training(rows: int = 300) -> pd.DataFrame:
    """x and z are numbers with gaps, color is text with gaps, level a number that stands for a category."""
    rng = np.random.default_rng(7)
    frame = pd.DataFrame({"x": rng.normal(size=rows), "color": rng.choice(COLORS, rows).astype(object), "z": rng.normal(size=rows)})
    frame["level"] = rng.choice(LEVELS, rows)
    for name in ("x", "color", "z"):
        frame[name] = frame[name].mask(rng.random(rows) < 0.1)
    return frame


def target(frame: pd.DataFrame) -> NDArray[np.float64]:
    return np.asarray(frame.x.fillna(0) + (frame.color == "red") * 2 - frame.z.fillna(1) + (frame.level == 30), np.float64)


def unseen() -> pd.DataFrame:
    """Rows to score: other numbers, a color and a level that no model has met, more gaps."""
    frame = training(90).sample(frac=1, random_state=1).reset_index(drop=True)
    frame["x"] = frame.x * 3
    frame["color"] = frame.color.mask(frame.index % 7 == 0, "purple").mask(frame.index % 11 == 0)
    frame["level"] = frame.level.mask(frame.index % 13 == 0, 7)
    return frame


def as_csv(frame: pd.DataFrame) -> str:
    """The columns shuffled, among others that no model asks for."""
    wider = frame.assign(id=[f"{number:03}" for number in range(len(frame))], note='a "quoted", word')
    return str(wider[["note", *reversed(frame.columns), "id"]].to_csv(index=False))


def folder_for(folder: Path, target_type: str, **inference: Any) -> Path:
    model = {"targetName": "t", "positiveClassLabel": "yes", "negativeClassLabel": "no", "classLabels": ["low", "mid", "high"], **inference}
    (folder / "model-metadata.yaml").write_text(yaml.safe_dump({"name": "m", "targetType": target_type, "inferenceModel": model}))
    return folder


def rows_of(output: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(output.decode())))


def column(output: bytes, name: str) -> list[str]:
    return [row[name] for row in rows_of(output)]


def numbers(output: bytes, name: str = "t_PREDICTION") -> list[float]:
    return [float(text) for text in column(output, name)]


def classes(values: NDArray[np.float64]) -> NDArray[np.str_]:
    return np.array(["low", "mid", "high"])[np.digitize(values, [-0.5, 1])]


def yes_or_no(values: NDArray[np.float64]) -> NDArray[np.str_]:
    return np.where(values > 0, "yes", "no")


DAMAGED = [
    pytest.param(lambda content: b"", id="empty"),
    pytest.param(lambda content: content[:9], id="nine bytes"),
    pytest.param(lambda content: content[: len(content) // 2], id="half"),
    pytest.param(lambda content: content[:-20], id="without its end"),
    pytest.param(lambda content: content[: len(content) // 3] + b"\xff" * 40 + content[len(content) // 3 + 40 :], id="overwritten"),
    pytest.param(lambda content: b"tree\nversion=v4\n", id="another library's"),
    pytest.param(lambda content: b"\x00" * len(content), id="zeros"),
]


def batch(frame: pd.DataFrame, features: Sequence[Feature]) -> pa.RecordBatch:
    """The rows as the pipeline gives them to a model."""
    arrays = [_texts(frame[each.name]) if each.is_text else pa.array(frame[each.name].astype(float), from_pandas=True) for each in features]
    return pa.RecordBatch.from_arrays(arrays, [each.name for each in features])


def _texts(values: pd.Series) -> pa.Array:
    return pa.array([None if pd.isna(value) else str(value) for value in values], pa.string())

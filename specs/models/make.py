"""Makes the example models and the data to score, from scikit-learn's packaged data sets. The rule here: every run gives the same models.

python specs/models/make.py [--into DIR]      (needs pip install '.[test]')
"""

import argparse
import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import yaml
from numpy.typing import NDArray
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Table = NDArray[np.float64]

SPECS = Path(__file__).resolve().parent.parent
BOOSTING = {"deterministic": True, "force_row_wise": True, "num_threads": 1, "seed": 7, "verbosity": -1, "num_leaves": 8, "learning_rate": 0.1}


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes the example models and their data.")
    parser.add_argument("--into", type=Path, default=SPECS, metavar="DIR", help="where models/ and data/ are written")
    into = parser.parse_args().into
    for make in (make_breast_cancer, make_wine, make_diabetes):
        print(make(into))


def make_breast_cancer(into: Path) -> Path:
    """Binary, LightGBM; the data are the rows held out of training."""
    bunch = load_breast_cancer()
    names = [name.replace(" ", "_") for name in bunch.feature_names]
    is_training = split(len(bunch.data), 0.6)
    is_malignant = bunch.target == list(bunch.target_names).index("malignant")
    data = lightgbm.Dataset(bunch.data[is_training], is_malignant[is_training], feature_name=names)
    booster = lightgbm.train(BOOSTING | {"objective": "binary"}, data, num_boost_round=60)
    folder = into / "models" / "breast_cancer"
    labels = {"targetName": "diagnosis", "positiveClassLabel": "malignant", "negativeClassLabel": "benign", "predictionThreshold": 0.5}
    write_metadata(folder, "Breast cancer diagnosis", "binary", labels)
    booster.save_model(folder / "model.txt")
    ids = [f"{number:04d}" for number in np.flatnonzero(~is_training)]
    write_csv(into / "data" / "breast_cancer.csv", ["patient_id", *names], ids, bunch.data[~is_training])
    return folder


def make_wine(into: Path) -> Path:
    """Multiclass, ONNX; the data are all rows, so that every cultivar is well represented."""
    bunch = load_wine()
    names = [name.replace("/", "_") for name in bunch.feature_names]
    labels = ["barolo", "grignolino", "barbera"]
    is_training = split(len(bunch.data), 0.6)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    classifier.fit(bunch.data[is_training], np.array(labels)[bunch.target[is_training]])
    features = bunch.data.astype(np.float32)
    model = to_onnx(classifier, features[:1], options={"zipmap": False}, target_opset=17)
    entry = model.metadata_props.add()
    entry.key, entry.value = "feature_names", json.dumps(names)
    folder = into / "models" / "wine"
    write_metadata(folder, "Wine cultivar", "multiclass", {"targetName": "cultivar", "classLabels": labels})
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    ids = [f"B-{number:03d}" for number in range(1, len(features) + 1)]
    write_csv(into / "data" / "wine.csv", ["bottle_id", *names], ids, bunch.data)
    return folder


def make_diabetes(into: Path) -> Path:
    """Regression, LightGBM; the rows held out of training, as two months."""
    bunch = load_diabetes(scaled=False)
    is_training = split(len(bunch.data), 0.5)
    data = lightgbm.Dataset(bunch.data[is_training], bunch.target[is_training], feature_name=list(bunch.feature_names))
    booster = lightgbm.train(BOOSTING | {"objective": "regression"}, data, num_boost_round=50)
    folder = into / "models" / "diabetes"
    write_metadata(folder, "Diabetes progression", "regression", {"targetName": "progression"})
    booster.save_model(folder / "model.txt")
    held_out = np.flatnonzero(~is_training)
    for month, numbers in zip(("2026-09", "2026-10"), np.array_split(held_out, 2), strict=True):
        ids = [f"{number:04d}" for number in numbers]
        write_csv(into / "data" / "diabetes" / f"{month}.csv", ["patient_id", *bunch.feature_names], ids, bunch.data[numbers])
    return folder


def split(rows: int, share: float) -> NDArray[np.bool_]:
    """Which rows are for training."""
    return np.random.default_rng(7).random(rows) < share


def write_metadata(folder: Path, name: str, target_type: str, model: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    document = {"name": name, "type": "inference", "targetType": target_type, "inferenceModel": model}
    (folder / "model-metadata.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def write_csv(path: Path, header: Sequence[str], ids: Iterable[str], rows: Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        # Python's floats print in the shortest form that is read as the same number.
        writer.writerows([each, *row] for each, row in zip(ids, rows.tolist(), strict=True))


if __name__ == "__main__":
    main()

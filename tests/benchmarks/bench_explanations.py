"""How fast rows are explained, beside the bare library and `shap`, if it is installed, in the same run. The rule here: ratios, no limits.

python tests/benchmarks/bench_explanations.py [--rows 2000] [--columns 15] [--trees 100] [--sampled 200]
"""

import argparse
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import lightgbm
import numpy as np
import onnxruntime
from bench_scoring import timed, write_intake
from numpy.typing import NDArray
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from reconciler.engine.job import ScoringJob
from reconciler.engine.pipeline import score
from reconciler.engine.strengths import COMPARED
from reconciler.options import Options

warnings.simplefilter("ignore")
METADATA = {"targetName": "y", "positiveClassLabel": "1", "negativeClassLabel": "0", "classLabels": ["0", "1", "2"]}


@dataclass
class Bench:
    folder: Path
    values: NDArray[np.float64]
    trees: int
    sampled: int
    shap: ModuleType | None
    names: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.names = [f"x{index}" for index in range(self.values.shape[1])]

    def boosting(self) -> None:
        for target_type, objective in (("binary", {"objective": "binary"}), ("multiclass", {"objective": "multiclass", "num_class": 3})):
            booster = self.trained(objective)
            booster.save_model(self.folder / "model.txt")
            print(f"\nLightGBM, {target_type}, {self.trees} trees x {booster.num_model_per_iteration()}, {len(self.values)} rows")
            pipeline = self.pipeline(target_type, len(self.values), max_explanations=3)
            library = self.measured(
                "pred_contrib, one thread", lambda b=booster: b.predict(self.values, pred_contrib=True, num_threads=1), self.values
            )
            self.ratio("pipeline / pred_contrib", pipeline, library)
            if self.shap:
                explainer = self.shap.TreeExplainer(booster)
                self.ratio(
                    "pipeline / shap.TreeExplainer",
                    pipeline,
                    self.measured("shap.TreeExplainer", lambda e=explainer: e.shap_values(self.values), self.values),
                )
            (self.folder / "model.txt").unlink()

    def trained(self, objective: dict[str, Any]) -> lightgbm.Booster:
        raw = self.values[:, 0] * self.values[:, 1] + self.values[:, 2]
        target = np.digitize(raw, [-0.5, 0.5]) if "num_class" in objective else raw > 0
        params = objective | {"verbosity": -1, "num_threads": 1}
        return lightgbm.train(params, lightgbm.Dataset(self.values, target, feature_name=self.names), self.trees)

    def linear(self) -> None:
        values = self.values.astype(np.float32)
        classifier = LogisticRegression().fit(values, values[:, 0] + values[:, 1] > 0)
        print(f"\nONNX, logistic regression, {len(self.values)} rows")
        self.saved(classifier)
        without = self.pipeline("binary", len(self.values))
        self.ratio("with / without explanations", self.pipeline("binary", len(self.values), max_explanations=3), without)

    def forest(self) -> None:
        values = self.values.astype(np.float32)
        classifier = RandomForestClassifier(self.trees, max_depth=6, random_state=0, n_jobs=1).fit(
            values[:5000], values[:5000, 0] * values[:5000, 1] > 0
        )
        print(f"\nONNX, forest of {self.trees} trees, {self.sampled} rows: {COMPARED} rows of background")
        session = self.saved(classifier)
        some = values[: self.sampled]
        shap = self.pipeline("binary", self.sampled, max_explanations=3)
        many = np.tile(some, (2 * COMPARED * (values.shape[1] - 1), 1))
        self.ratio("pipeline / its predictions", shap, self.measured("as many bare predictions", lambda: session.run(None, {"X": many}), some))
        self.pipeline("binary", self.sampled, max_explanations=3, explanation_algorithm="xemp")
        if self.shap:
            explainer = self.shap.PermutationExplainer(
                lambda rows: session.run(None, {"X": rows.astype(np.float32)})[1][:, 1], values[:COMPARED], seed=0
            )
            peer = self.measured("shap.PermutationExplainer", lambda: explainer(some, silent=True), some)
            self.ratio("pipeline / shap.PermutationExplainer", shap, peer)

    def saved(self, classifier: Any) -> onnxruntime.InferenceSession:
        model = to_onnx(classifier, self.values[:1].astype(np.float32), target_opset=17, options={"zipmap": False})
        (self.folder / "model.onnx").write_bytes(model.SerializeToString())
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(model.SerializeToString(), options)

    def pipeline(self, target_type: str, rows: int, **options: Any) -> tuple[float, float]:
        document = {"targetType": target_type, "inferenceModel": METADATA | {"feature_names": self.names}}
        (self.folder / "model-metadata.yaml").write_text(json.dumps(document))
        write_intake(self.folder / "in.csv", self.values[:rows])
        job = ScoringJob(self.folder, self.folder / "in.csv", self.folder / "out.csv", Options(**options))
        what = f"pipeline, {options.get('explanation_algorithm', 'shap' if options else 'no explanations')}"
        return self.measured(what, lambda: score(job, report=lambda progress: None, is_cancelled=lambda: False), self.values[:rows])

    def measured(self, what: str, run: Callable[[], object], rows: NDArray[Any]) -> tuple[float, float]:
        timing = timed(what, run)
        print(f"  {what:36}{timing.wall:8.2f} s wall {timing.cpu:8.2f} s CPU {len(rows) / timing.wall:12,.0f} rows/s")
        return timing.wall, timing.cpu

    def ratio(self, what: str, ours: tuple[float, float], theirs: tuple[float, float]) -> None:
        print(f"  {what:36}{ours[0] / theirs[0]:8.2f} x wall {ours[1] / theirs[1]:8.2f} x CPU")


def main() -> None:
    parser = argparse.ArgumentParser(description="Times the explanations.")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--columns", type=int, default=15)
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--sampled", type=int, default=200, help="rows for the models that are sampled")
    args = parser.parse_args()
    values = np.random.default_rng(0).normal(size=(args.rows, args.columns)).round(6)
    print(f"{args.columns} columns, {os.cpu_count()} cores")
    for part in parts():
        with tempfile.TemporaryDirectory() as folder:
            part(Bench(Path(folder), values, args.trees, args.sampled, peer()))


def parts() -> Iterator[Callable[[Bench], None]]:
    yield from (Bench.boosting, Bench.linear, Bench.forest)


def peer() -> ModuleType | None:
    try:
        import shap
    except ImportError:
        print("shap is not installed: no peers")
        return None
    return shap


if __name__ == "__main__":
    main()

"""scikit-learn's models in skops' format. The rule here: only types that were reviewed are loaded, unless the user trusts the model."""

import zipfile
from typing import Any

import skops.io

from reconciler.engine.metadata import Metadata
from reconciler.engine.models.estimator import model_of
from reconciler.engine.models.model import Model
from reconciler.errors import ModelError

# Beyond what skops itself takes for safe (0.16). Reviewed: each is a container of numbers, or a pure function of arrays, that scikit-learn's own
# estimators are made of; none opens a file, imports or evaluates what it is given. A partial calls what it holds, which is looked at itself.
REVIEWED = frozenset(
    {
        "builtins.object",
        "collections.OrderedDict",
        "functools.partial",
        "numpy.dtype",
        "numpy.exp",
        "numpy.expm1",
        "numpy.log",
        "numpy.log10",
        "numpy.log1p",
        "numpy.log2",
        "numpy.mean",
        "numpy.sqrt",
        "scipy.interpolate._bsplines.BSpline",
        "scipy.sparse._csr.csr_matrix",
        "sklearn._loss.loss.HalfTweedieLoss",
        "sklearn._loss.loss.HalfTweedieLossIdentity",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.cluster._bisect_k_means._BisectingTree",
        "sklearn.cluster._kmeans._kmeans_single_lloyd",
        "sklearn.compose._column_transformer._RemainderColsList",
        "sklearn.compose._column_transformer.make_column_selector",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.feature_selection._mutual_info.mutual_info_classif",
        "sklearn.feature_selection._mutual_info.mutual_info_regression",
        "sklearn.feature_selection._univariate_selection.chi2",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.feature_selection._univariate_selection.f_regression",
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        "sklearn.gaussian_process.kernels.ConstantKernel",
        "sklearn.gaussian_process.kernels.Matern",
        "sklearn.gaussian_process.kernels.Product",
        "sklearn.gaussian_process.kernels.RBF",
        "sklearn.gaussian_process.kernels.RationalQuadratic",
        "sklearn.gaussian_process.kernels.Sum",
        "sklearn.gaussian_process.kernels.WhiteKernel",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.metrics._dist_metrics.ManhattanDistance64",
        "sklearn.metrics._dist_metrics.MinkowskiDistance64",
        "sklearn.metrics._scorer._PassthroughScorer",
        "sklearn.model_selection._split.KFold",
        "sklearn.model_selection._split.StratifiedKFold",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
        "sklearn.utils.validation.check_array",
    }
)


def load(metadata: Metadata) -> Model:
    return model_of(metadata, _loaded(metadata))


def _loaded(metadata: Metadata) -> Any:
    try:
        if damaged := zipfile.ZipFile(metadata.artifact).testzip():
            raise _unloadable(metadata, f"{damaged} in it is damaged")
        unknown = skops.io.get_untrusted_types(file=metadata.artifact)
        if not metadata.is_trusted and (strangers := sorted(set(unknown) - REVIEWED)):
            raise ModelError(
                "The model is not trusted",
                f"{metadata.artifact}: it holds {', '.join(strangers)}, which nobody has reviewed for this engine. If you know whose model it is, "
                "say so in the specs, as deployments: {NAME: {local: {model: FOLDER, trust: true}}}.",
            )
        return skops.io.load(metadata.artifact, trusted=unknown)
    except ModelError:
        raise
    except Exception as error:  # what a damaged file makes of skops, zipfile and numpy has no common root
        raise _unloadable(metadata, " ".join(str(error).split()).removesuffix(".") or type(error).__name__) from error


def _unloadable(metadata: Metadata, why: str) -> ModelError:
    return ModelError("The scikit-learn model cannot be loaded", f"{metadata.artifact}: {why}. Save it again with skops.io.dump.")

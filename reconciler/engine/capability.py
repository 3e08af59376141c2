"""What the engine serves. The rule here: every option has one place in the tables; none is ignored in silence."""

from collections.abc import Callable, Iterator

from reconciler.engine import dialect
from reconciler.engine.metadata import TARGET_TYPES, Metadata
from reconciler.options import Options

SERVED = frozenset(
    {
        "pinned_model_id",
        "num_concurrent",
        "chunk_size",
        "abort_on_error",
        "disable_row_level_error_handling",
        "csv_settings",
        "passthrough_columns",
        "passthrough_columns_set",
        "column_names_remapping",
        "include_prediction_status",
        "include_probabilities",
        "include_probabilities_classes",
        "prediction_threshold",
        "prediction_warning_enabled",
        "max_explanations",
        "max_ngram_explanations",
        "threshold_high",
        "threshold_low",
        "explanation_algorithm",
        "explanation_class_names",
        "explanation_num_top_classes",
    }
)

# Accepted, because they cannot change the output here; with the reason.
WITHOUT_EFFECT = {
    "skip_drift_tracking": "the embedded service tracks no drift, so there is nothing to skip",
}

_MONITORING = "The embedded engine scores and does not monitor; leave this out, or run the job on DataRobot."

# Refused unless they have the API's default.
REFUSED = {
    "batch_job_type": "The embedded engine runs prediction jobs only; run a monitoring job on DataRobot.",
    "prediction_instance": "The embedded engine runs on this machine; leave prediction_instance out.",
    "secondary_datasets_config_id": "The embedded engine does no feature discovery; leave this out, or score on DataRobot.",
    "timeseries_settings": "The embedded engine does not serve time series models yet; score on DataRobot.",
    "monitoring_batch_prefix": _MONITORING,
    "monitoring_aggregation": _MONITORING,
    "monitoring_columns": _MONITORING,
    "monitoring_output_settings": _MONITORING,
}

# Values other than the default that ask for nothing, or for what the engine does anyway.
_NOTHING_ASKED: dict[str, tuple[object, ...]] = {
    "max_ngram_explanations": (0,),
    "explanation_class_names": ([],),
}

# Target types of which each class has an explanation of its own.
BY_CLASS = frozenset({"Multiclass", "Multilabel", "Clustering"})
_OF_ONE_OUTPUT = frozenset({"Regression", "Binary", "Anomaly", "TextGeneration"})

# What does not fit the model: the field, the target types it is wrong for, when it is, and the sentence.
_MISFITS: tuple[tuple[str, frozenset[str], Callable[[Options], bool], str], ...] = (
    (
        "prediction_threshold",
        frozenset(TARGET_TYPES.values()) - {"Binary"},
        lambda options: options.prediction_threshold is not None,
        "Only a binary model has a threshold; leave prediction_threshold out.",
    ),
    (
        "include_probabilities_classes",
        frozenset({"Regression", "Anomaly", "TextGeneration"}),
        lambda options: bool(options.include_probabilities_classes),
        "This kind of model has no classes; leave include_probabilities_classes out.",
    ),
    (
        "prediction_warning_enabled",
        frozenset(TARGET_TYPES.values()) - {"Regression"},
        lambda options: bool(options.prediction_warning_enabled),
        "Only a regression model has prediction warnings; leave prediction_warning_enabled out.",
    ),
    (
        "max_explanations",
        frozenset({"TextGeneration"}),
        lambda options: options.max_explanations > 0,
        "A text has no strengths that it is made of; leave max_explanations out.",
    ),
    (
        "explanation_class_names",
        _OF_ONE_OUTPUT,
        lambda options: bool(options.explanation_class_names),
        "Only a model of several classes is explained class by class; leave explanation_class_names out.",
    ),
    (
        "explanation_num_top_classes",
        _OF_ONE_OUTPUT,
        lambda options: options.explanation_num_top_classes is not None,
        "Only a model of several classes is explained class by class; leave explanation_num_top_classes out.",
    ),
)

UNLIMITED = (
    "The model has no limits beyond which a prediction is an outlier. Add outlierLimits: {low: …, high: …} to inferenceModel in its "
    "model-metadata.yaml, or leave prediction_warning_enabled out."
)
WORDLESS = (
    "The model does not say which of its columns are texts of words. List them as textFeatures: [COLUMN] in inferenceModel in its "
    "model-metadata.yaml, or leave max_ngram_explanations out."
)
# Options that name classes of the model, and the target types that have them.
_OF_CLASSES = {"explanation_class_names": BY_CLASS, "include_probabilities_classes": BY_CLASS | {"Binary"}}
# Options that say which explanations to give, and so say nothing without max_explanations.
_OF_EXPLANATIONS = ("explanation_class_names", "explanation_num_top_classes", "max_ngram_explanations")


def refusals(options: Options, target_type: str | None = None) -> Iterator[tuple[str, str]]:
    """The field (snake_case) and the sentence for each option that the engine cannot serve, or that does not fit the model."""
    if problem := dialect.problem(options.csv_settings):
        yield "csv_settings", f"The engine cannot serve these csv_settings: {problem}."
    yield from ((field, sentence) for field, sentence in REFUSED.items() if _is_asked(options, field))
    if not options.max_explanations:
        yield from ((field, f"{field} needs max_explanations above 0.") for field in _OF_EXPLANATIONS if _is_asked(options, field))
    for field, misfits, is_given, sentence in _MISFITS:
        if target_type in misfits and is_given(options):
            yield field, sentence


def model_refusals(options: Options, metadata: Metadata) -> Iterator[tuple[str, str]]:
    """`refusals`, and what this model in particular does not have."""
    yield from refusals(options, metadata.target_type)
    if options.prediction_warning_enabled and metadata.target_type == "Regression" and metadata.outlier_limits is None:
        yield "prediction_warning_enabled", UNLIMITED
    if options.max_explanations and _is_asked(options, "max_ngram_explanations") and not metadata.text_features:
        yield "max_ngram_explanations", WORDLESS
    for field, target_types in _OF_CLASSES.items():
        unknown = [name for name in getattr(options, field) or () if name not in metadata.class_labels]
        if unknown and metadata.target_type in target_types:
            yield field, f"The model has no class {', '.join(unknown)}; its classes are {', '.join(metadata.class_labels)}."


def _is_asked(options: Options, field: str) -> bool:
    value = getattr(options, field)
    return value != Options.model_fields[field].default and value not in _NOTHING_ASKED.get(field, ())

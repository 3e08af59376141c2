"""The job options of the Batch Prediction API, as spec and wire share them. The rule here: the API's names, types, defaults and cross-field rules.

Names, defaults and limits: DataRobot's Batch Prediction API reference ("Job options"). Both spellings of a key are read
(`max_explanations`, `maxExplanations`).
"""

import codecs
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Strict(BaseModel):
    """A block of settings: no unknown keys, no silent conversion (`yes` is not a boolean, `"3"` is not a number)."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, strict=True)

    def wire(self) -> dict[str, Any]:
        """As the API spells it, without nulls and without what equals the API's own default."""
        return self.model_dump(by_alias=True, exclude_none=True, exclude_defaults=True)


def _text_id(value: Any) -> Any:
    # YAML reads an all-digit id as an integer; our reader keeps its digits, so nothing is lost by writing them back.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _known_codec(name: str) -> str:
    try:
        codec = codecs.lookup(name).name
    except LookupError:
        raise ValueError(f"{name!r} is not a known encoding; use a Python codec name such as utf-8, latin_1 or shift_jis") from None
    return "utf-8" if codec == "utf-8" else name


def _mapping(value: Any) -> Any:
    """The API writes a remapping as an object or as a list of pairs; a null or false target drops the column."""
    if isinstance(value, list) and all(isinstance(pair, dict) and set(pair) <= {"inputName", "outputName"} for pair in value):
        value = {pair.get("inputName"): pair.get("outputName") for pair in value}
    if isinstance(value, dict):
        return {name: None if target is False else target for name, target in value.items()}
    return value


Id = Annotated[str, BeforeValidator(_text_id), Field(min_length=1)]
Character = Annotated[str, Field(min_length=1, max_length=1)]
ChunkBytes = Annotated[int, Field(ge=20, le=41_943_040)]


class CsvSettings(Strict):
    """The CSV dialect of both intake and output."""

    delimiter: Character | Literal["tab"] = Field(",", description="One character, or `tab`.")
    quotechar: Character = Field('"', description="The character that quotes a value.")
    encoding: Annotated[str, AfterValidator(_known_codec)] = Field("utf-8", description="A Python codec name: utf-8, latin_1, shift_jis, ….")


class PredictionInstance(Strict):
    """Another prediction server than the deployment's own."""

    host_name: str
    ssl_enabled: bool = True
    datarobot_key: str | None = None
    api_key: str | None = None


class Forecast(Strict):
    type: Literal["forecast"]
    forecast_point: str | None = None
    relax_known_in_advance_features_check: bool = False


class Historical(Strict):
    type: Literal["historical"]
    predictions_start_date: str | None = None
    predictions_end_date: str | None = None
    relax_known_in_advance_features_check: bool = False


class Training(Strict):
    type: Literal["training"]
    relax_known_in_advance_features_check: bool = False


TimeseriesSettings = Annotated[Forecast | Historical | Training, Field(discriminator="type")]


class Options(Strict):
    """What a job may say beside its target, intake and output."""

    pinned_model_id: Id | None = Field(None, description="Score with this model instead of the deployment's champion.")
    batch_job_type: Literal["prediction", "monitoring"] = "prediction"
    csv_settings: CsvSettings = Field(default_factory=CsvSettings)
    num_concurrent: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Parallel requests to the prediction instance. Never a reason to rerun."
    )
    chunk_size: Literal["auto", "fixed", "dynamic"] | ChunkBytes = Field("auto", description="How the intake is cut. Never a reason to rerun.")
    abort_on_error: bool = Field(True, description="End the job when too many rows fail; false counts them and goes on.")
    disable_row_level_error_handling: bool = False
    passthrough_columns: list[str] | None = Field(None, description="Intake columns to copy into the output.")
    passthrough_columns_set: Literal["all"] | None = Field(None, description="`all` copies every intake column.")
    column_names_remapping: Annotated[dict[str, str | None], BeforeValidator(_mapping)] = Field(
        default_factory=dict, description="Output columns to rename; null drops one."
    )
    include_prediction_status: bool = Field(False, description="Adds the column `prediction_status`.")
    include_probabilities: bool = Field(True, description="One probability column for each class.")
    include_probabilities_classes: list[str] = Field(default_factory=list, description="Only these classes get a probability column.")
    prediction_threshold: Annotated[float, Field(ge=0, le=1)] | None = Field(None, description="Binary only; the deployment's by default.")
    prediction_warning_enabled: bool | None = None
    skip_drift_tracking: bool = False
    max_explanations: Annotated[int, Field(ge=0, le=100)] = Field(0, description="Prediction explanations for each row.")
    max_ngram_explanations: Annotated[int, Field(ge=0)] | Literal["all"] | None = None
    explanation_algorithm: Literal["shap", "xemp"] | None = None
    explanation_class_names: Annotated[list[str], Field(max_length=10)] | None = None
    explanation_num_top_classes: Annotated[int, Field(ge=1, le=10)] | None = None
    threshold_high: float | None = Field(None, description="Explain only rows with a prediction above this (or below `threshold_low`).")
    threshold_low: float | None = None
    prediction_instance: PredictionInstance | None = None
    secondary_datasets_config_id: Id | None = None
    timeseries_settings: TimeseriesSettings | None = None
    monitoring_batch_prefix: str | None = None
    monitoring_aggregation: dict[str, Any] | None = None
    monitoring_columns: dict[str, Any] | None = None
    monitoring_output_settings: dict[str, Any] | None = None


# Options that only say how fast: they change no prediction and no place, so they are no part of a fingerprint.
PACE = frozenset({"numConcurrent", "chunkSize"})

Rule = tuple[tuple[str, ...], Callable[[Options], bool], str]

_MONITORING = ("monitoring_aggregation", "monitoring_columns", "monitoring_output_settings")

# Cross-field rules: the fields (the first is where the problem is shown), when they are broken, and the sentence.
_RULES: tuple[Rule, ...] = (
    (
        ("passthrough_columns", "passthrough_columns_set"),
        lambda o: o.passthrough_columns is not None and o.passthrough_columns_set is not None,
        "passthrough_columns and passthrough_columns_set exclude each other; keep one of them",
    ),
    (
        ("threshold_low", "threshold_high"),
        lambda o: o.threshold_low is not None and o.threshold_high is not None and o.threshold_low > o.threshold_high,
        "threshold_low is above threshold_high",
    ),
    (
        ("explanation_num_top_classes", "explanation_class_names"),
        lambda o: o.explanation_class_names is not None and o.explanation_num_top_classes is not None,
        "explanation_num_top_classes and explanation_class_names exclude each other; keep one of them",
    ),
    (
        ("include_probabilities_classes", "include_probabilities"),
        lambda o: bool(o.include_probabilities_classes) and not o.include_probabilities,
        "include_probabilities_classes needs include_probabilities: true",
    ),
    (
        ("max_explanations",),
        lambda o: o.max_explanations == 0 and (o.threshold_high is not None or o.threshold_low is not None or o.explanation_algorithm is not None),
        "thresholds and an algorithm for explanations need max_explanations above 0",
    ),
    (
        ("csv_settings",),
        lambda o: o.csv_settings.delimiter == o.csv_settings.quotechar,
        "delimiter and quotechar are the same character",
    ),
    (
        ("timeseries_settings",),
        lambda o: (
            isinstance(o.timeseries_settings, Historical)
            and (o.timeseries_settings.predictions_start_date is None) != (o.timeseries_settings.predictions_end_date is None)
        ),
        "predictions_start_date and predictions_end_date need each other",
    ),
    (
        _MONITORING,
        lambda o: o.batch_job_type == "prediction" and any(getattr(o, name) is not None for name in _MONITORING),
        "monitoring settings need batch_job_type: monitoring",
    ),
)


def broken_rules(options: Options) -> Iterator[tuple[str, str]]:
    """The field (snake_case) and the sentence of every cross-field rule that `options` breaks."""
    for fields, is_broken, sentence in _RULES:
        if is_broken(options):
            shown = next((name for name in fields if name in options.model_fields_set), fields[0])
            yield shown, sentence

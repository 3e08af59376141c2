"""Where rows come from and where scores go: every intake and output type. The rule here: the API's fields, as the wire has them.

Types, fields and limits: DataRobot's Batch Prediction API reference ("Intake options", "Output options").
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from reconciler.options import Id, Strict

Format = Literal["csv", "parquet"]
Cloud = Literal["s3", "azure", "gcp"]

_STATEMENTS = {"insert_update": "insertUpdate", "create_table": "createTable"}


def _statement(value: Any) -> Any:
    return _STATEMENTS.get(value, value) if isinstance(value, str) else value


Statement = Annotated[Literal["insert", "update", "insertUpdate", "createTable"], BeforeValidator(_statement)]


class LocalFileIntake(Strict):
    type: Literal["localFile"]
    async_: bool = Field(True, alias="async")
    multipart: bool = False


class FileSystemIntake(Strict):
    type: Literal["fileSystem"]
    path: str


class S3Intake(Strict):
    type: Literal["s3"]
    url: Annotated[str, Field(pattern=r"^s3://[^/]+/.")]
    credential_id: Id | None = None
    endpoint_url: str | None = None
    format: Format = "csv"


class AzureIntake(Strict):
    type: Literal["azure"]
    url: Annotated[str, Field(pattern=r"^https?://")]
    credential_id: Id | None = None
    format: Format = "csv"


class GcpIntake(Strict):
    type: Literal["gcp"]
    url: Annotated[str, Field(pattern=r"^(https?|gs)://")]
    credential_id: Id | None = None
    format: Format = "csv"


class DatasetIntake(Strict):
    type: Literal["dataset"]
    dataset_id: Id
    dataset_version_id: Id | None = None


class Source(Strict):
    """The rows of a table or of a query; exactly one of the two."""

    query: str | None = None
    table: str | None = None
    db_schema: str | None = Field(None, alias="schema")


class JdbcIntake(Source):
    type: Literal["jdbc"]
    data_store_id: Id
    catalog: str | None = None
    credential_id: Id | None = None
    fetch_size: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class SnowflakeIntake(Source):
    type: Literal["snowflake"]
    data_store_id: Id
    catalog: str | None = None
    external_stage: str | None = None
    credential_id: Id | None = None
    cloud_storage_type: Cloud = "s3"
    cloud_storage_credential_id: Id | None = None


class SynapseIntake(Source):
    type: Literal["synapse"]
    data_store_id: Id
    external_data_source: str | None = None
    credential_id: Id | None = None
    cloud_storage_credential_id: Id | None = None


class BigQueryIntake(Strict):
    type: Literal["bigquery"]
    dataset: str
    table: str
    bucket: str | None = None
    credential_id: Id | None = None


class HttpIntake(Strict):
    type: Literal["http"]
    url: Annotated[str, Field(pattern=r"^https?://")]


class DssIntake(Strict):
    type: Literal["dss"]
    project_id: Id
    dataset_id: Id | None = None
    partition: Literal["holdout", "validation", "allBacktests"] | None = None


class DatasphereIntake(Strict):
    type: Literal["datasphere"]
    data_store_id: Id
    table: str
    db_schema: str = Field(alias="schema")
    credential_id: Id | None = None


class DataStageIntake(Strict):
    type: Literal["dataStage"]
    data_stage_id: Id


class LocalFileOutput(Strict):
    type: Literal["localFile"]


class FileSystemOutput(Strict):
    type: Literal["fileSystem"]
    path: str


class ServerSideEncryption(Strict):
    """Names mirror S3's own request headers."""

    algorithm: str | None = None
    customer_algorithm: str | None = None
    customer_key: str | None = None
    kms_encryption_context: str | None = None
    kms_key_id: str | None = None


class S3Output(Strict):
    type: Literal["s3"]
    url: Annotated[str, Field(pattern=r"^s3://[^/]+/.")]
    credential_id: Id | None = None
    endpoint_url: str | None = None
    format: Format = "csv"
    partition_columns: list[str] | None = None
    server_side_encryption: ServerSideEncryption | None = None


class AzureOutput(Strict):
    type: Literal["azure"]
    url: Annotated[str, Field(pattern=r"^https?://")]
    credential_id: Id | None = None
    format: Format = "csv"
    partition_columns: list[str] | None = None


class GcpOutput(Strict):
    type: Literal["gcp"]
    url: Annotated[str, Field(pattern=r"^(https?|gs)://")]
    credential_id: Id | None = None
    format: Format = "csv"
    partition_columns: list[str] | None = None


class Target(Strict):
    """A table that scores are written to."""

    table: str
    db_schema: str | None = Field(None, alias="schema")
    statement_type: Statement
    create_table_if_not_exists: bool = False
    credential_id: Id | None = None


class JdbcOutput(Target):
    type: Literal["jdbc"]
    data_store_id: Id
    catalog: str | None = None
    update_columns: list[str] | None = None
    where_columns: list[str] | None = None
    commit_interval: Annotated[int, Field(ge=0, le=86_400)] = 600


class SnowflakeOutput(Target):
    type: Literal["snowflake"]
    data_store_id: Id
    catalog: str | None = None
    external_stage: str | None = None
    cloud_storage_type: Cloud = "s3"
    cloud_storage_credential_id: Id | None = None
    update_columns: list[str] | None = None
    where_columns: list[str] | None = None


class SynapseOutput(Target):
    type: Literal["synapse"]
    data_store_id: Id
    external_data_source: str | None = None
    cloud_storage_credential_id: Id | None = None
    update_columns: list[str] | None = None
    where_columns: list[str] | None = None


class BigQueryOutput(Strict):
    type: Literal["bigquery"]
    dataset: str
    table: str
    bucket: str | None = None
    credential_id: Id | None = None


class HttpOutput(Strict):
    type: Literal["http"]
    url: Annotated[str, Field(pattern=r"^https?://")]
    method: Literal["POST", "PUT"] = "POST"
    headers: dict[str, str] | None = None


class DatasphereOutput(Strict):
    type: Literal["datasphere"]
    data_store_id: Id
    table: str
    db_schema: str = Field(alias="schema")
    credential_id: Id | None = None


class TableauOutput(Strict):
    type: Literal["tableau"]
    data_source_id: Id
    overwrite: bool = False
    url: str | None = None
    site_name: str | None = None
    content_url: str | None = None
    credential_id: Id | None = None


INTAKES: dict[str, type[Strict]] = {
    "localFile": LocalFileIntake,
    "s3": S3Intake,
    "azure": AzureIntake,
    "gcp": GcpIntake,
    "dataset": DatasetIntake,
    "jdbc": JdbcIntake,
    "snowflake": SnowflakeIntake,
    "synapse": SynapseIntake,
    "bigquery": BigQueryIntake,
    "http": HttpIntake,
    "fileSystem": FileSystemIntake,
    "dss": DssIntake,
    "datasphere": DatasphereIntake,
    "dataStage": DataStageIntake,
}
OUTPUTS: dict[str, type[Strict]] = {
    "localFile": LocalFileOutput,
    "s3": S3Output,
    "azure": AzureOutput,
    "gcp": GcpOutput,
    "jdbc": JdbcOutput,
    "snowflake": SnowflakeOutput,
    "synapse": SynapseOutput,
    "bigquery": BigQueryOutput,
    "http": HttpOutput,
    "fileSystem": FileSystemOutput,
    "datasphere": DatasphereOutput,
    "tableau": TableauOutput,
}

# What the wire calls a type, when it is spelled in one of the other ways that are in use.
SYNONYMS = {"bigQuery": "bigquery", "local_file": "localFile"}


def broken_rules(settings: Strict) -> Iterator[tuple[str, str]]:
    """The field (snake_case) and the sentence of every cross-field rule that one intake or output breaks."""
    if isinstance(settings, Source) and (settings.query is None) == (settings.table is None):
        yield "query" if settings.query is not None else "type", "exactly one of query and table is needed"
    if isinstance(settings, S3Output | AzureOutput | GcpOutput):
        is_directory = settings.url.endswith("/")
        if is_directory and (settings.format != "parquet" or not settings.partition_columns):
            yield "url", "a directory (a url that ends in /) needs format: parquet and partition_columns"
        if not is_directory and settings.partition_columns:
            yield "partition_columns", "partition_columns need a directory: a url that ends in /"
    if isinstance(settings, JdbcOutput | SnowflakeOutput | SynapseOutput):
        updates = settings.statement_type in ("update", "insertUpdate")
        if updates and not settings.where_columns:
            yield "statement_type", f"{settings.statement_type} needs where_columns"
        if updates and not settings.update_columns:
            yield "statement_type", f"{settings.statement_type} needs update_columns"

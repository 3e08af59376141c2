"""What a data store and a data driver are. The rule here: kept and shown as given, but for its secrets."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from reconciler.options import Id, Strict

Text = Annotated[str, Field(min_length=1)]


class Parameter(Strict):
    id: Text
    name: Text
    value: str


class Parameters(Strict):
    """How the database is reached: a JDBC URL with its driver, a connector, or the fields of a native driver."""

    driver_id: Id | None = None
    connector_id: Id | None = None
    jdbc_url: Text | None = None
    fields: list[Parameter] | None = None

    @model_validator(mode="after")
    def _says_where(self) -> "Parameters":
        if self.jdbc_url is None and self.connector_id is None and not self.fields:
            raise ValueError("one of jdbcUrl, fields and connectorId is needed")
        if self.jdbc_url is not None and not self.jdbc_url.startswith("jdbc:"):
            raise ValueError("jdbcUrl begins with jdbc:")
        return self


class DataStore(Strict):
    type: Literal["jdbc", "dr-connector-v1", "dr-database-v1"]
    canonical_name: Text
    params: Parameters

    def shown(self) -> dict[str, Any]:
        return self.model_dump(by_alias=True) | {"driverClassType": self.type}


class DataDriver(Strict):
    """A JDBC driver is named by its class; a native one (`dr-database-v1`) by its database."""

    type: Literal["jdbc", "dr-database-v1"] = "jdbc"
    class_name: Text | None = None
    canonical_name: Text | None = None
    base_names: list[Text] = Field(default_factory=list)
    local_jar_urls: Annotated[list[str], Field(max_length=0, description="No jar can be uploaded: there is no Java here.")] = Field(
        default_factory=list
    )
    database_driver: Text | None = None
    version: Text | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> "DataDriver":
        if self.type == "jdbc" and (self.class_name is None or self.canonical_name is None):
            raise ValueError("a jdbc driver needs className and canonicalName")
        if self.type == "dr-database-v1" and self.database_driver is None:
            raise ValueError("a dr-database-v1 driver needs databaseDriver")
        return self

    def shown(self) -> dict[str, Any]:
        shown = self.model_dump(by_alias=True, exclude={"local_jar_urls"})
        return shown | {"canonicalName": self.canonical_name or self.database_driver}

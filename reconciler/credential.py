"""What a credential of each type holds. The rule here: the API's fields, one class for each `credentialType`; what is not in `OPEN` is secret.

Where the API lets a shared secure configuration stand for the inline fields, `configId` excludes them.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, model_validator

from reconciler.options import Strict

Text = Annotated[str, Field(min_length=1)]


class Basic(Strict):
    credential_type: Literal["basic"]
    user: Text
    password: Text
    snowflake_account_name: Text | None = None


class OAuth(Strict):
    credential_type: Literal["oauth"]
    token: Text
    refresh_token: Text


class Configurable(Strict):
    """A credential whose inline fields may be replaced by `configId`; `credential_type` and what has a default are not asked for."""

    config_id: Text | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "Configurable":
        given = {name for name in type(self).model_fields.keys() - _ABOUT if getattr(self, name) is not None}
        if self.config_id is not None and given:
            raise ValueError("configId excludes the inline secrets; keep one of them")
        missing = [field.alias for name, field in type(self).model_fields.items() if name in needed(type(self)) - given]
        if self.config_id is None and missing:
            raise ValueError(f"missing: {', '.join(str(name) for name in missing)}; or give a configId")
        return self


class S3(Configurable):
    credential_type: Literal["s3"]
    aws_access_key_id: Text | None = None
    aws_secret_access_key: Text | None = None
    aws_session_token: Text | None = None


class Azure(Strict):
    credential_type: Literal["azure"]
    azure_connection_string: Text


class Gcp(Configurable):
    credential_type: Literal["gcp"]
    gcp_key: Annotated[dict[str, Any], Field(min_length=1)] | None = None


class SnowflakeKeyPair(Configurable):
    credential_type: Literal["snowflake_key_pair_user_account"]
    user: Text | None = None
    private_key_str: Text | None = None
    passphrase: Text | None = None


class SnowflakeOAuth(Strict):
    credential_type: Literal["snowflake_oauth_user_account"]
    client_id: Text
    client_secret: Text
    oauth_issuer_type: Text | None = None
    oauth_issuer_url: Text | None = None
    oauth_scopes: list[Text] | None = None
    snowflake_account_name: Text | None = None


class DatabricksAccessToken(Strict):
    credential_type: Literal["databricks_access_token_account"]
    databricks_access_token: Text


class DatabricksServicePrincipal(Configurable):
    credential_type: Literal["databricks_service_principal_account"]
    client_id: Text | None = None
    client_secret: Text | None = None


class AzureServicePrincipal(Configurable):
    credential_type: Literal["azure_service_principal"]
    client_id: Text | None = None
    client_secret: Text | None = None
    azure_tenant_id: Text | None = None


class AdlsOAuth(Configurable):
    credential_type: Literal["adls_gen2_oauth"]
    client_id: Text | None = None
    client_secret: Text | None = None
    oauth_scopes: list[Text] | None = None


class ExternalOAuth(Strict):
    credential_type: Literal["external_oauth_provider"]
    authentication_id: Text


class BoxJwt(Strict):
    credential_type: Literal["box_jwt"]
    client_id: Text
    client_secret: Text
    enterprise_id: Text
    public_key_id: Text
    private_key_str: Text
    passphrase: Text


class TableauAccessToken(Strict):
    credential_type: Literal["tableau_access_token"]
    token_name: Text
    personal_access_token: Text


Secrets = (
    Basic
    | OAuth
    | S3
    | Azure
    | Gcp
    | SnowflakeKeyPair
    | SnowflakeOAuth
    | DatabricksAccessToken
    | DatabricksServicePrincipal
    | AzureServicePrincipal
    | AdlsOAuth
    | ExternalOAuth
    | BoxJwt
    | TableauAccessToken
)
SECRETS: TypeAdapter[Secrets] = TypeAdapter(Annotated[Secrets, Field(discriminator="credential_type")])
KINDS: dict[str, type[Strict]] = {kind.model_fields["credential_type"].annotation.__args__[0]: kind for kind in Secrets.__args__}
TYPES: tuple[str, ...] = tuple(KINDS)

_AZURE = ("azure", "azure_service_principal", "adls_gen2_oauth")
_SNOWFLAKE = ("basic", "snowflake_key_pair_user_account", "snowflake_oauth_user_account", "oauth")
# The types of credential that each type of intake and output can be opened with: batch-prediction API, "Credentials".
FITTING: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "s3": ("s3",),
        "azure": _AZURE,
        "gcp": ("gcp",),
        "jdbc": ("basic",),
        "snowflake": _SNOWFLAKE,
        "synapse": ("basic",),
        "bigquery": ("gcp",),
    }
)
# How the JDBC URL of a data store begins, by the type of intake and output that it is for.
URLS: Mapping[str, str] = MappingProxyType({"jdbc": "jdbc:postgresql:", "snowflake": "jdbc:snowflake:", "synapse": "jdbc:sqlserver:"})
# Fields that say who asks, and where; they open nothing.
OPEN = frozenset(
    {
        "user",
        "client_id",
        "azure_tenant_id",
        "snowflake_account_name",
        "oauth_issuer_type",
        "oauth_issuer_url",
        "oauth_scopes",
        "authentication_id",
        "enterprise_id",
        "public_key_id",
        "token_name",
    }
)
# Secrets without which nothing would say whose account is meant: what names them stands for it.
WHOSE = frozenset({"aws_access_key_id", "azure_connection_string", "gcp_key"})
_ABOUT = frozenset({"credential_type", "config_id"})
# What a credential that may have a `configId` can do without.
_OPTIONAL = frozenset({"aws_session_token", "passphrase"})


def needed(kind: type[Strict]) -> frozenset[str]:
    """The fields that a credential needs beside its type, when it has no `configId`."""
    if issubclass(kind, Configurable):
        return frozenset(kind.model_fields) - _ABOUT - _OPTIONAL
    return frozenset(name for name, field in kind.model_fields.items() if field.is_required()) - _ABOUT

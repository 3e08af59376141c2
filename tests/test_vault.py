"""What opens the systems of a workspace: read when it is asked for, and never said."""

import json
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import ScoringError
from reconciler.vault import Vault

SECRET = "s3cr3t"


def vault(root: Path, fields: dict[str, Any], **environment: str) -> Vault:
    return Vault(
        {"credentials": {"7": {"name": "lake", "fields": fields}}, "data_stores": {"crm": {"name": "crm", "fields": fields}}},
        "prod",
        root,
        environment,
    )


def test_references_are_read_when_asked(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{SECRET}\n")
    fields = {"credentialType": "basic", "user": "${env.WHO}-eu", "password": {"file": "key"}}
    assert vault(tmp_path, fields, WHO="ada").credential("7") == {"credentialType": "basic", "user": "ada-eu", "password": SECRET}


@pytest.mark.parametrize("key", ["${env.KEY}", {"file": "key.json"}])
def test_key_of_a_service_account_is_an_object(tmp_path: Path, key: Any) -> None:
    text = json.dumps({"type": "service_account", "private_key": "a\nb"})
    (tmp_path / "key.json").write_text(text)
    found = vault(tmp_path, {"credentialType": "gcp", "gcpKey": key}, KEY=text).credential("7")
    assert found == {"credentialType": "gcp", "gcpKey": {"type": "service_account", "private_key": "a\nb"}}


def test_data_store_is_filled_in(tmp_path: Path) -> None:
    assert vault(tmp_path, {"jdbcUrl": "jdbc:postgresql://${env.H}/d"}, H="db").data_store("crm") == {"jdbcUrl": "jdbc:postgresql://db/d"}
    fields = [{"id": "a", "name": "address", "value": "${env.H}"}]
    assert vault(tmp_path, {"fields": fields}, H="db").data_store("crm") == {"fields": [{"id": "a", "name": "address", "value": "db"}]}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"password": "${env.NONE}"}, "its password is ${env.NONE}. The environment has no NONE"),
        ({"password": "${env.EMPTY}"}, "The environment has no EMPTY"),
        ({"password": {"file": "nowhere"}}, "its password is in the file nowhere, which cannot be read: No such file"),
        ({"password": {"file": "empty"}}, "which is empty"),
        ({"password": {"file": "bytes"}}, "which is no text"),
        ({"gcpKey": "${env.SECRET}"}, "its gcp_key is not a JSON object"),
        ({"gcpKey": "${env.LIST}"}, "its gcp_key is not a JSON object"),
    ],
)
def test_what_is_missing_is_named_with_its_credential_and_workspace(tmp_path: Path, fields: dict[str, Any], said: str) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "bytes").write_bytes(b"\xff" + SECRET.encode())
    holder = vault(tmp_path, {"user": "${env.SECRET}", **fields}, EMPTY="", SECRET=SECRET, LIST=f'["{SECRET}"]')
    with pytest.raises(ScoringError) as caught:
        holder.credential("7")
    assert caught.value.summary == 'The credential "lake" cannot be used'
    assert caught.value.detail.startswith('In the workspace "prod", ')
    assert said in caught.value.detail
    assert SECRET not in f"{caught.value} {caught.value.detail} {caught.value.__context__} {holder!r}"


@pytest.mark.parametrize(("section", "word"), [("credential", "credential"), ("data_store", "data store")])
def test_name_that_stands_for_nothing_is_told(tmp_path: Path, section: str, word: str) -> None:
    with pytest.raises(ScoringError, match=f"There is no such {word}") as caught:
        getattr(vault(tmp_path, {}), section)("nobody")
    assert 'nobody is in the workspace "prod"' in caught.value.detail


def test_all_that_is_missing_is_told_at_once(tmp_path: Path) -> None:
    fields = {"awsAccessKeyId": "${env.NONE}", "awsSecretAccessKey": {"file": "nowhere"}}
    with pytest.raises(ScoringError) as caught:
        vault(tmp_path, fields).credential("7")
    assert "its aws_access_key_id is ${env.NONE}. The environment has no NONE: set it. Also its aws_secret_access_key is in" in caught.value.detail

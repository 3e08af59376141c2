"""An intake or an output of another system. The rule here: what is secret of it is never shown."""

from typing import Any

import pytest

from reconciler.engine.place import Fields, Place, intake_place, output_place

HUSH = "hush"


class Known:
    def credential(self, id: str) -> dict[str, Any]:
        return {"credentialType": "s3", "awsAccessKeyId": "AKIA", "awsSecretAccessKey": HUSH}

    def data_store(self, id: str) -> dict[str, Any]:
        return {"jdbcUrl": f"jdbc:postgresql://h/d?password={HUSH}"}

    def opened(self, settings: Fields) -> Fields:
        return settings


PLACES = [
    output_place({"type": "http", "url": f"https://h/?token={HUSH}", "headers": {"Authorization": HUSH}}, Known(), "1"),
    output_place({"type": "s3", "url": "s3://b/k", "credentialId": "c", "serverSideEncryption": {"customerKey": HUSH}}, Known(), "1"),
    intake_place({"type": "jdbc", "dataStoreId": "d", "credentialId": "c", "table": "t"}, Known()),
]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.type)
def test_a_place_does_not_show_its_secrets(place: Place) -> None:
    assert HUSH not in f"{place!r} {place}"

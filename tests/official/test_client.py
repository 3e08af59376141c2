"""The official `datarobot` client, unmodified, against `reconciler serve` as a process of its own: every call path of §1.11, and every quirk."""

import gc
import io
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import datarobot as dr
import httpx
import lightgbm
import numpy as np
import pandas as pd
import pytest
from datarobot.errors import AsyncProcessUnsuccessfulError, ClientError, InvalidUsageError
from datarobot.models.prediction_explanations import ClassListMode, TopPredictionsMode
from served import Held, Served, Wire, awaited, check_scored, predictions, table

Job = dr.BatchPredictionJob
LOCAL = {"type": "localFile"}
PANDAS = 1e-14  # how well it reads a decimal fraction
# The client prints what goes wrong in its upload thread; the caller learns it from the job.
upload_fails = pytest.mark.filterwarnings("ignore:Exception in thread:pytest.PytestUnhandledThreadExceptionWarning")
STORE = "5" * 24
MORE = 130  # so many times the biopsies are 6.5 MB: two parts of the client's


@pytest.fixture
def wire(served: Served) -> Iterator[Wire]:
    """The same client, through a relay that remembers what it asks for."""
    with Wire(served.port) as relay:
        dr.Client(endpoint=relay.endpoint, token=served.token)
        relay.requests.clear()
        yield relay


@pytest.fixture
def wines(served: Served) -> Path:
    return served.root / "specs/data/wine.csv"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "scored.csv"


@pytest.fixture
def is_wine(is_wine: Callable[..., None]) -> Callable[..., None]:
    """The same of a whole file."""

    def check(scored: str | bytes, *kept: str, **dialect: Any) -> None:
        is_wine(table(scored.decode() if isinstance(scored, bytes) else scored, **dialect), *kept)

    return check


@pytest.fixture(scope="session")
def many(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Path:
    header, _, rows = served.data("breast_cancer").partition("\n")
    path = tmp_path_factory.mktemp("many") / "many.csv"
    path.write_text(f"{header}\n{rows * MORE}")
    return path


@pytest.fixture(scope="session")
def is_many(served: Served) -> Callable[[str], None]:
    """Compares a whole result with what LightGBM says of the biopsies, over and over."""
    given = table(served.data("breast_cancer"))
    expected = predictions(served.root, "breast_cancer", {name: values * MORE for name, values in given.items()})

    def check(scored: str) -> None:
        check_scored(table(scored), expected, {"patient_id": given["patient_id"] * MORE})

    return check


def scored_wine(wine: str, wines: Path, **options: Any) -> Job:
    return Job.score(wine, intake_settings={"type": "localFile", "file": str(wines)}, **options)


def downloaded(job: Job) -> bytes:
    job.download(buffer := io.BytesIO())
    return buffer.getvalue()


# Scoring: what comes back is what the model's own library says


def test_score_to_file_writes_the_models_own_predictions(wine, wines, output, is_wine):
    job = Job.score_to_file(wine, str(wines), str(output))
    is_wine(output.read_text())
    assert job.get_status()["status"] == "COMPLETED"


def test_score_to_file_keeps_the_columns_that_are_asked_for(wine, wines, output, is_wine):
    Job.score_to_file(wine, str(wines), str(output), passthrough_columns=["bottle_id", "hue"])
    is_wine(output.read_text(), "bottle_id", "hue")
    assert "proline" not in table(output.read_text())


def test_score_to_file_keeps_every_column(served, wine, wines, output, is_wine):
    Job.score_to_file(wine, wines, str(output), passthrough_columns_set="all", num_concurrent=4, download_timeout=-1)
    is_wine(output.read_text(), *table(served.data("wine")))


def test_score_to_file_reads_and_writes_a_custom_csv_format(served, wine, output, tmp_path, is_wine):
    source = tmp_path / "semicolons.csv"
    notes = ["'süß; rund'", "'l''été'", "plain"]
    lines = served.data("wine").splitlines()
    rows = [line.replace(",", ";") + f";{notes[index % 3]}" for index, line in enumerate(lines[1:])]
    source.write_bytes("\n".join([lines[0].replace(",", ";") + ";note", *rows, ""]).encode("latin_1"))
    settings = {"delimiter": ";", "quotechar": "'", "encoding": "latin_1"}
    Job.score_to_file(wine, str(source), str(output), csv_settings=settings, passthrough_columns=["bottle_id", "note"])
    text = output.read_bytes().decode("latin_1")
    is_wine(text, "bottle_id", delimiter=";", quotechar="'")
    assert table(text, delimiter=";", quotechar="'")["note"][:3] == ["süß; rund", "l'été", "plain"]


@pytest.mark.parametrize("encoding", ["utf-16", "shift_jis", "utf_8_sig"])
def test_a_file_is_scored_in_the_encoding_it_is_in(served, wine, is_wine, encoding):
    intake = {"type": "localFile", "file": io.BytesIO(served.data("wine").encode(encoding))}
    job = Job.score(wine, intake, csv_settings={"encoding": encoding}, passthrough_columns=["bottle_id"])
    is_wine(downloaded(job).decode(encoding), "bottle_id")


def test_the_delimiter_tab_is_spelled_out(served, wine, output, is_wine):
    source = io.BytesIO(served.data("wine").replace(",", "\t").encode())
    Job.score_to_file(wine, source, str(output), csv_settings={"delimiter": "tab"})
    is_wine(output.read_text(), delimiter="\t")


def test_options_of_the_scored_file_are_heeded(served, output):
    given = table(served.data("breast_cancer"))
    expected = predictions(served.root, "breast_cancer", given, threshold=0.9)
    Job.score_to_file(
        served.deployments["breast_cancer"],
        str(served.root / "specs/data/breast_cancer.csv"),
        str(output),
        prediction_threshold=0.9,
        include_prediction_status=True,
        include_probabilities_classes=["malignant"],
        column_names_remapping={"diagnosis_PREDICTION": "my_label", "POSITIVE_CLASS": None},
    )
    scored = table(output.read_text())
    check_scored(scored, {"diagnosis_malignant_PREDICTION": expected["diagnosis_malignant_PREDICTION"], "my_label": expected["diagnosis_PREDICTION"]})
    assert set(scored["prediction_status"]) == {"OK"}
    assert {float(value) for value in scored["THRESHOLD"]} == {0.9}
    assert not {"POSITIVE_CLASS", "diagnosis_benign_PREDICTION", "diagnosis_PREDICTION"} & set(scored)


def test_explanations_are_what_lightgbm_says_of_every_row(served, output):
    Job.score_to_file(served.deployments["breast_cancer"], str(served.root / "specs/data/breast_cancer.csv"), str(output), max_explanations=30)
    scored, given = table(output.read_text()), table(served.data("breast_cancer"))
    booster = lightgbm.Booster(model_file=served.root / "specs/models/breast_cancer/model.txt")
    names = booster.feature_name()
    said = booster.predict(np.array([given[name] for name in names], float).T, pred_contrib=True)
    assert len(said) == len(scored["SHAP_BASE_VALUE"]) == len(given["patient_id"]) > 200
    for row, contributions in enumerate(said):
        found = {scored[f"EXPLANATION_{n}_FEATURE_NAME"][row]: float(scored[f"EXPLANATION_{n}_STRENGTH"][row]) for n in range(1, 31)}
        assert [found[name] for name in names] == pytest.approx(contributions[:-1], abs=1e-9)
        assert float(scored["SHAP_BASE_VALUE"][row]) == pytest.approx(contributions[-1], abs=1e-9)


@pytest.mark.parametrize(
    ("mode", "classes"),
    [
        pytest.param(None, 1, id="the predicted class"),
        pytest.param(TopPredictionsMode(2), 2, id="two classes"),
        pytest.param(ClassListMode(["barbera", "barolo"]), 2, id="by name"),
    ],
)
@pytest.mark.parametrize("algorithm", [None, "xemp"])
def test_classes_of_an_onnx_model_are_explained(wine, wines, output, mode, classes, algorithm):
    Job.score_to_file(wine, str(wines), str(output), max_explanations=13, explanations_mode=mode, explanation_algorithm=algorithm)
    scored = table(output.read_text())
    labels = scored["CLASS_1"]
    assert f"CLASS_{classes}" in scored and f"CLASS_{classes + 1}" not in scored
    assert set(labels) == {"barbera"} if isinstance(mode, ClassListMode) else labels == scored["cultivar_PREDICTION"]
    assert ("CLASS_1_SHAP_BASE_VALUE" in scored) == (algorithm is None)
    if isinstance(mode, ClassListMode) and algorithm is None:
        raw = [[float(cell) for cell in whole_class(scored, place)] for place in (1, 2)]
        odds = [float(b) / float(a) for b, a in zip(scored["cultivar_barbera_PREDICTION"], scored["cultivar_barolo_PREDICTION"], strict=True)]
        assert np.exp(np.subtract(*raw)) == pytest.approx(odds, rel=1e-3)


def whole_class(scored, place):
    """The raw prediction of the class in this place: all the parts of each row's explanation, added up."""
    names = ["SHAP_BASE_VALUE", "SHAP_REMAINING_TOTAL", *(f"EXPLANATION_{n}_STRENGTH" for n in range(1, 14))]
    return np.array([scored[f"CLASS_{place}_{name}"] for name in names], float).sum(axis=0)


# The client leaves the output file that a refused job was to fill to the garbage collector: it shall come in this test.
@pytest.mark.filterwarnings("ignore:unclosed file .*scored.csv:ResourceWarning")
def test_explanations_of_an_unknown_class_are_refused_with_the_reason(wine, wines, output):
    with pytest.raises(ClientError, match="The model has no class merlot; its classes are barolo, grignolino, barbera") as refused:
        Job.score_to_file(wine, str(wines), str(output), max_explanations=3, explanations_mode=ClassListMode(["merlot"]))
    assert refused.value.status_code == 422
    assert set(refused.value.json["errors"]) == {"explanationClassNames"}
    del refused
    gc.collect()


def test_score_without_an_output_path_leaves_the_result_to_be_downloaded(wine, wines, is_wine):
    job = scored_wine(wine, wines)
    is_wine(downloaded(job))
    is_wine(job.get_result_when_complete())
    job.wait_for_completion()
    assert job.status == "COMPLETED"


def test_score_with_an_output_path_downloads_the_result(wine, wines, output, is_wine):
    scored_wine(wine, wines, output_settings={"type": "localFile", "path": str(output)})
    is_wine(output.read_text())


def test_a_dataframe_is_uploaded_with_every_field_quoted(served, wine, is_wine):
    frame = pd.read_csv(io.StringIO(served.data("wine")), dtype=str)
    job = Job.score(wine, intake_settings={"type": "localFile", "file": frame}, passthrough_columns=["bottle_id"])
    is_wine(downloaded(job), "bottle_id")


def test_every_version_of_a_dataset_is_scored(wine, wines, output, is_wine):
    with wines.open("rb") as file:
        dataset = dr.Dataset.create_from_file(filelike=file)
    assert dr.Dataset.get(dataset.id) == dataset
    job = Job.score(wine, {"type": "dataset", "dataset": dataset}, passthrough_columns=["bottle_id"])
    is_wine(downloaded(job), "bottle_id")
    newer = dr.Dataset.create_version_from_file(dataset.id, filelike=io.BytesIO(wines.read_bytes()[: wines.read_bytes().index(b"\nB-003")]))
    Job.score(wine, {"type": "dataset", "dataset": newer}, {"type": "localFile", "path": str(output)}, passthrough_columns=["bottle_id"])
    assert table(output.read_text())["bottle_id"] == ["B-001", "B-002"]
    intake = {"type": "dataset", "dataset": newer, "dataset_version_id": dataset.version_id}
    is_wine(downloaded(Job.score(wine, intake)))


def test_a_path_of_the_services_own_machine_is_downloaded_by_the_client(served, wines, is_wine):
    is_wine(downloaded(Job.get(served.created("wine", {"type": "fileSystem", "path": str(wines)})["id"])))


def test_an_upload_is_scored_to_a_path_of_the_services_own_machine(served, wines, tmp_path, is_wine):
    created = served.created("wine", output={"type": "fileSystem", "path": str(tmp_path / "there.csv")})
    assert served.http.put(created["links"]["csvUpload"], content=wines.read_bytes(), headers={"Content-Type": "text/csv"}).status_code == 202
    served.until(created["id"], "COMPLETED")
    is_wine((tmp_path / "there.csv").read_text())
    with pytest.raises(RuntimeError, match="cannot download predictions from jobs that did not use local_file"):
        downloaded(Job.get(created["id"]))


def test_score_pandas_joins_predictions_to_their_rows(served):
    frame = pd.read_csv(served.root / "specs/data/diabetes/2026-09.csv", dtype=str).sample(frac=1, random_state=0)
    frame.index += 7_000
    _, joined = Job.score_pandas(served.deployments["diabetes"], frame, passthrough_columns=["sex"], column_names_remapping={"sex": "kept"})
    expected = predictions(served.root, "diabetes", {name: list(frame[name]) for name in frame})["progression_PREDICTION"]
    assert list(joined.index) == list(frame.index)
    assert list(joined["kept"]) == [float(value) for value in frame["sex"]]
    assert joined["progression_PREDICTION"].to_numpy() == pytest.approx(expected, rel=PANDAS, abs=0)


def test_score_pandas_sends_a_long_frame_in_one_chunked_upload(served, wire, many):
    frame = pd.read_csv(many, dtype=str)
    _, joined = Job.score_pandas(served.deployments["breast_cancer"], frame)
    assert len(joined) == len(frame) > 10_000
    expected = predictions(served.root, "breast_cancer", table(served.data("breast_cancer")))["diagnosis_malignant_PREDICTION"]
    assert joined["diagnosis_malignant_PREDICTION"].to_numpy() == pytest.approx(list(expected) * MORE, rel=PANDAS, abs=0)
    upload = wire.request("PUT", "/csvUpload/")
    assert upload.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in upload.headers


def test_predict_batch_gives_a_frame(served):
    deployment = dr.Deployment.get(served.deployments["diabetes"])
    frame = deployment.predict_batch(str(served.root / "specs/data/diabetes/2026-10.csv"), passthrough_columns=["age"])
    expected = predictions(served.root, "diabetes", table(served.data("diabetes/2026-10")))["progression_PREDICTION"]
    assert frame["progression_PREDICTION"].to_numpy() == pytest.approx(expected, rel=PANDAS, abs=0)


def test_score_from_existing_scores_the_kept_rows_again(wine, wines, is_wine):
    first = scored_wine(wine, wines, passthrough_columns=["bottle_id"])
    again = Job.score_from_existing(first.id)
    assert again.id != first.id
    is_wine(downloaded(again), "bottle_id")


@pytest.mark.parametrize("is_async", [True, False])
def test_an_upload_in_parts_is_scored_as_one(served, wire, many, is_many, is_async):
    intake = {"type": "localFile", "file": str(many), "multipart": True, "async": is_async}
    job = Job.score(served.deployments["breast_cancer"], intake, passthrough_columns=["patient_id"])
    is_many(downloaded(job).decode())
    assert [line.partition("csvUpload/")[2] for line in wire.lines if "csvUpload" in line] == ["part/0/", "part/1/", "finalizeMultipart/"]


@pytest.mark.parametrize("is_async", [True, False])
def test_parts_are_uploaded_while_score_to_file_waits(served, many, output, is_many, is_async):
    intake = {"type": "localFile", "file": str(many), "multipart": True, "async": is_async}
    to = {"type": "localFile", "path": str(output)}
    Job.score(served.deployments["breast_cancer"], intake, to, passthrough_columns=["patient_id"])
    is_many(output.read_text())


def test_many_callers_at_once_get_each_their_own(served, wine, wines, many, tmp_path, is_wine, is_many):
    paths = [tmp_path / f"{number}.csv" for number in range(12)]
    callers = []
    with ThreadPoolExecutor(len(paths)) as pool:
        for number, path in enumerate(paths):
            deployment, source, kept = (wine, wines, "bottle_id") if number % 4 else (served.deployments["breast_cancer"], many, "patient_id")
            callers.append(pool.submit(Job.score_to_file, deployment, str(source), str(path), passthrough_columns=[kept]))
    assert len({caller.result().id for caller in callers}) == len(paths)
    for number, path in enumerate(paths):
        if number % 4:
            is_wine(path.read_text(), "bottle_id")
        else:
            is_many(path.read_text())


def test_an_upload_that_is_not_async_waits_for_its_end(wine, wines, is_wine):
    job = Job.score(wine, {"type": "localFile", "file": str(wines), "async": False})
    is_wine(downloaded(job))


# What cannot be scored is refused before anything is stored


@pytest.mark.parametrize(
    ("intake", "reason"),
    [
        ({"type": "datasphere", "data_store_id": STORE, "table": "t", "schema": "s"}, "SAP Datasphere has no client library"),
        ({"type": "dss", "project_id": "5" * 24}, "are in DataRobot only"),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_a_place_that_is_not_served_is_refused_by_its_field(wine, intake, reason):
    with pytest.raises(ClientError) as refused:
        Job.score(wine, intake, LOCAL)
    assert refused.value.status_code == 422
    assert re.search(f"is not served here: .*{reason}.*; served are: localFile, fileSystem, ", refused.value.json["errors"]["intakeSettings"]["type"])


@pytest.mark.parametrize(
    ("intake", "field", "reason"),
    [
        ({"type": "s3", "url": "s3://b/in.csv", "credential_id": STORE}, "credentialId", "there is no credential"),
        ({"type": "jdbc", "data_store_id": STORE, "table": "t"}, "dataStoreId", "there is no data store"),
        ({"type": "snowflake", "data_store_id": STORE, "table": "t", "external_stage": "s"}, "dataStoreId", "there is no data store"),
        ({"type": "synapse", "data_store_id": STORE, "table": "t", "external_data_source": "s"}, "dataStoreId", "there is no data store"),
        ({"type": "bigquery", "dataset": "d", "table": "t", "bucket": "b", "credential_id": STORE}, "credentialId", "there is no credential"),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_a_place_that_nothing_opens_is_refused_by_its_field(wine, intake, field, reason):
    with pytest.raises(ClientError) as refused:
        Job.score(wine, intake, LOCAL)
    assert refused.value.status_code == 422
    assert refused.value.json["errors"]["intakeSettings"][field] == f"{reason} {STORE}"


def test_an_output_that_is_not_served_is_refused_before_the_upload(wire, wine, wines):
    with pytest.raises(ClientError, match="'datasphere' is not served here: SAP Datasphere has no client library"):
        scored_wine(wine, wines, output_settings={"type": "datasphere", "data_store_id": STORE, "table": "t", "schema": "s"})
    assert wire.lines == ["POST batchPredictions/"]


@pytest.mark.parametrize(
    ("call", "source", "to", "needed"),
    [
        (Job.score_s3, "s3://b/in.csv", "s3://b/out.csv", "s3 needs s3"),
        (Job.score_azure, "https://a.blob.core.windows.net/c/in.csv", "https://a.blob.core.windows.net/c/out.csv", "azure needs azure"),
        (Job.score_gcp, "gs://b/in.csv", "gs://b/out.csv", "gcp needs gcp"),
    ],
    ids=["s3", "azure", "gcp"],
)
def test_the_shorthand_for_a_cloud_is_refused_a_credential_of_another_system(wine, call, source, to, needed):
    credential = dr.Credential.create_basic(f"for {source}", "me", "mine")
    with pytest.raises(ClientError) as refused:
        call(wine, source, to, credential=dr.Credential.get(credential.credential_id))
    assert refused.value.status_code == 422
    for side in ("intakeSettings", "outputSettings"):
        assert f"credential {credential.credential_id} is basic; {needed}" in refused.value.json["errors"][side]["credentialId"]


def test_a_leaderboard_model_is_refused_with_its_reason(wines):
    with pytest.raises(ClientError, match="scores with deployments only"):
        Job.score_with_leaderboard_model("5" * 24, {"type": "localFile", "file": str(wines)})


def test_time_series_are_refused_with_the_reason(wine, wines):
    with pytest.raises(ClientError, match="does not serve time series models yet"):
        scored_wine(wine, wines, timeseries_settings={"type": "forecast"})


def test_time_series_preparation_ends_in_the_client_for_want_of_a_project(wire, served, wines, output):
    deployment = dr.Deployment.get(served.deployments["wine"])
    wire.requests.clear()
    intake, settings = {"type": "localFile", "file": str(wines)}, {"type": "forecast"}
    with pytest.raises(InvalidUsageError):
        Job.apply_time_series_data_prep_and_score(deployment, intake, settings)
    with pytest.raises(InvalidUsageError):
        Job.apply_time_series_data_prep_and_score_to_file(deployment, str(wines), str(output), settings)
    assert wire.lines == []


def test_a_deployment_that_is_not_served_is_404(wines):
    with pytest.raises(ClientError) as unknown:
        scored_wine("5" * 24, wines)
    assert unknown.value.status_code == 404


# A job's life, as the client sees it


def test_waiting_for_completion_ends_and_gives_the_result(wine, wines, is_wine):
    job = scored_wine(wine, wines)
    job.wait_for_completion()
    assert (job.status, job.get_status()["percentage_completed"]) == ("COMPLETED", 100.0)
    is_wine(job.get_result_when_complete())


def test_the_status_tells_the_whole_story(served, wine, wines):
    job = scored_wine(wine, wines)
    served.until(job.id, "COMPLETED")
    status = job.get_status()
    assert (status["scored_rows"], status["failed_rows"], status["skipped_rows"]) == (178, 0, 0)
    assert (status["job_intake_size"], status["job_output_size"]) == (wines.stat().st_size, len(downloaded(job)))
    assert status["status_details"] == status["logs"][-1]
    assert "csv_upload" not in status["links"]


def test_jobs_are_listed_by_status_over_every_page(served, wine, wines):
    path = {"type": "fileSystem", "path": str(wines)}
    for _ in range(3):
        served.until(served.created("wine", path)["id"], "COMPLETED")
    waiting = served.created("wine")["id"]
    listed = Job.list_by_status(["COMPLETED", "INITIALIZING"])
    assert {job["status"] for job in listed} >= {"COMPLETED", "INITIALIZING"}
    assert waiting in [job["id"] for job in listed]
    assert waiting not in [job["id"] for job in Job.list_by_status(["COMPLETED", "ABORTED"])]
    everything = {job["id"] for job in Job.list_by_status()}
    assert everything >= {job["id"] for job in listed}
    pages = dr.utils.pagination.unpaginate("batchPredictions/", {"limit": 2}, Job._client)
    assert {job["id"] for job in pages} == everything


def test_every_state_of_a_job_satisfies_the_clients_schema(served, wine, wines):
    waiting = served.created("wine")["id"]
    assert Job.get(waiting).status == "INITIALIZING"
    with ThreadPoolExecutor(1) as pool:
        held = Held(wines.read_bytes())
        upload = pool.submit(Job.score, wine, {"type": "localFile", "file": held}, num_concurrent=2)
        (running,) = awaited(lambda: Job.list_by_status(["RUNNING"]))
        assert Job.get(running["id"]).status == "RUNNING"
        held.gate.set()
        completed = upload.result()
    served.until(completed.id, "COMPLETED")
    assert Job.get(completed.id).status == "COMPLETED"
    Job.get(waiting).delete(ignore_404_errors=True)


def test_an_ended_job_is_not_deleted_and_an_unknown_one_is_not_known(served, wine, wines, is_wine):
    job = scored_wine(wine, wines)
    served.until(job.id, "COMPLETED")
    for remove in (job.delete, job.cancel):
        with pytest.raises(ClientError, match="has already ended: COMPLETED") as refused:
            remove()
        assert refused.value.status_code == 409
    is_wine(downloaded(job))
    with pytest.raises(ClientError) as unknown:
        Job.get("5" * 24)
    assert unknown.value.status_code == 404


@pytest.mark.parametrize("remove", [Job.delete, Job.cancel], ids=["delete", "cancel"])
@upload_fails
def test_a_running_job_that_is_deleted_is_aborted_and_stays_readable(wire, wine, wines, output, remove):
    held = Held(wines.read_bytes())
    with ThreadPoolExecutor(1) as pool:
        scoring = pool.submit(Job.score_to_file, wine, held, str(output))
        awaited(wire.is_downloading)
        (running,) = awaited(lambda: Job.list_by_status(["RUNNING"]))
        job = Job.get(running["id"])
        remove(job)
        status = job.get_status()
        held.gate.set()
        with pytest.raises(RuntimeError, match="was aborted: Job aborted"):
            scoring.result()
    assert status["status"] == "ABORTED"
    assert "download" not in status["links"]
    assert job.id not in [one["id"] for one in Job.list_by_status()]


def test_a_server_is_ready_when_it_says_so_and_its_token_is_its_owners(served):
    assert (served.root / "storage/token").stat().st_mode & 0o777 == 0o600
    assert served.http.get("version/").json()["versionString"]
    assert httpx.get(f"{served.endpoint}/version/").status_code == 401


# Quirks: what the client punishes, and what it does to a server


def test_the_client_is_made_with_one_request_and_without_a_warning_of_ours(served, recwarn):
    with Wire(served.port) as relay:
        dr.Client(endpoint=relay.endpoint, token=served.token)
    assert relay.lines == ["GET version/"]
    assert [str(warning.message) for warning in recwarn if "'allowed_methods'" not in str(warning.message)] == []


def test_the_client_finds_the_server_in_the_environment(served, monkeypatch):
    monkeypatch.setenv("DATAROBOT_ENDPOINT", served.endpoint)
    monkeypatch.setenv("DATAROBOT_API_TOKEN", served.token)
    dr.Client()
    assert {one.label for one in dr.Deployment.list()} == set(served.deployments)


@pytest.mark.parametrize("scheme", ["Token", "Bearer"])
def test_an_upload_says_token_whatever_the_client_was_told(served, wire, wine, wines, is_wine, scheme):
    dr.Client(endpoint=wire.endpoint, token=served.token, token_type=scheme)
    is_wine(downloaded(scored_wine(wine, wines)))
    assert wire.request("POST", "/batchPredictions/").headers["authorization"] == f"{scheme} {served.token}"
    assert wire.request("PUT", "/csvUpload/").headers["authorization"] == f"Token {served.token}"


def test_a_wrong_token_is_refused_when_the_client_is_made(served):
    with pytest.raises(ClientError, match="Unable to authenticate to the server") as refused:
        dr.Client(endpoint=served.endpoint, token="wrong")
    assert refused.value.status_code == 401


def test_a_job_is_accepted_with_a_location_whose_second_last_segment_is_its_id(served):
    answer = served.http.post("batchPredictions/", json={"deploymentId": served.deployments["wine"], "intakeSettings": LOCAL})
    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == job["links"]["self"] == f"{served.endpoint}/batchPredictions/{job['id']}/"
    assert answer.headers["Location"].split("/")[-2] == job["id"]
    assert job["links"]["csvUpload"] == f"{job['links']['self']}csvUpload/"


def test_a_running_job_is_downloaded_while_its_rows_are_uploaded(wire, wine, wines, output, is_wine):
    held = Held(wines.read_bytes())
    with ThreadPoolExecutor(1) as pool:
        scoring = pool.submit(Job.score_to_file, wine, held, str(output))
        awaited(wire.is_downloading)
        (running,) = Job.list_by_status(["RUNNING"])
        assert running["links"]["download"]
        held.gate.set()
        job = scoring.result()
    assert job.id == running["id"]
    is_wine(output.read_text())


def test_a_result_is_streamed_as_csv_and_never_compressed(wire, wine, wines):
    job = scored_wine(wine, wines)
    downloaded(job)
    asked = wire.request("GET", "/download/")
    (answer,) = [answer for answer in wire.answers if answer.headers.get("content-type", "").startswith("text/csv")]
    assert "gzip" in asked.headers["accept-encoding"]
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.headers["content-disposition"] == f"attachment; filename=result-{job.id}.csv"
    assert not {"content-encoding", "content-length"} & set(answer.headers)


def test_completed_is_stored_before_the_stream_ends(served, many, output, is_many):
    for _ in range(3):
        job = Job.score_to_file(served.deployments["breast_cancer"], str(many), str(output), passthrough_columns=["patient_id"])
        assert served.job(job.id)["status"] == "COMPLETED"
    is_many(output.read_text())


def test_a_download_that_is_not_there_is_absent_and_not_empty(served):
    created = served.created("wine")
    assert created["links"].get("download") is None
    job = Job.get(created["id"])
    assert "download" not in job.get_status()["links"]
    with pytest.raises(RuntimeError, match="Timed out waiting for download to become available"):
        job.download(io.BytesIO(), timeout=0)
    assert served.job(job.id)["status"] in ("INITIALIZING", "ABORTED")  # the client has asked to delete it


def test_a_job_that_goes_wrong_is_aborted_so_that_waiting_ends(served, wine, wines):
    job = Job.score(wine, {"type": "localFile", "file": io.BytesIO(wines.read_bytes() + b'"open\n')})
    served.until(job.id, "ABORTED")
    with pytest.raises(AsyncProcessUnsuccessfulError):
        job.wait_for_completion()
    with pytest.raises(AsyncProcessUnsuccessfulError):
        job.get_result_when_complete()
    assert "line 180" in job.get_status()["status_details"]


BAD_FILES = [
    pytest.param(b"bottle_id,alcohol\nB-001,14.23\n", "lacks malic_acid", id="columns are missing"),
    pytest.param("größe\nübel\n".encode(), "lacks alcohol", id="another table"),
    pytest.param(None, "line 180", id="a quote is open"),
    pytest.param("alcohol,hue\n1,2\nübel,3\n".encode("latin-1"), "is not utf-8: byte 16", id="another encoding"),
    pytest.param(b"\n\n\n\n", "is empty", id="no rows"),
]


@pytest.mark.parametrize(("content", "reason"), BAD_FILES)
@upload_fails
def test_a_bad_file_ends_a_download_that_has_begun_with_the_reason(wire, wine, wines, output, content, reason):
    held = Held(content or wines.read_bytes() + b'"open\n')
    with ThreadPoolExecutor(1) as pool:
        scoring = pool.submit(Job.score_to_file, wine, held, str(output))
        awaited(wire.is_downloading)
        held.gate.set()
        with pytest.raises(RuntimeError, match=f"was aborted: .*{reason}"):
            scoring.result()


@pytest.mark.parametrize(("content", "reason"), [*BAD_FILES, pytest.param(b"", "is empty", id="no bytes")])
@upload_fails
def test_a_bad_file_ends_score_to_file_with_the_reason(wine, wines, output, content, reason):
    rows = wines.read_bytes() + b'"open\n' if content is None else content
    # ClientError: the job ended between the client's look at it and its download.
    with pytest.raises((RuntimeError, ClientError), match=f"was aborted: .*{reason}"):
        Job.score_to_file(wine, io.BytesIO(rows), str(output))


def test_a_refused_upload_is_the_answer_of_score_and_its_job_stays(wine):
    with pytest.raises(ClientError, match="is not utf-8") as refused:
        Job.score(wine, {"type": "localFile", "file": io.BytesIO(b"alcohol\n\xff\n")})
    assert refused.value.status_code == 422
    assert any("is not utf-8: byte 8" in job["statusDetails"] for job in Job.list_by_status(["ABORTED"]))


def test_a_part_whose_last_bytes_the_client_cuts_off_is_scored_when_nothing_is_missing(served, wine, is_wine):
    """The client counts characters and sends bytes: of two umlauts, the last line's CRLF is lost, and then the connection is."""
    content = served.data("wine").replace("B-001", "Bü001").replace("B-002", "Bü002")
    intake = {"type": "localFile", "file": io.BytesIO(content.encode()), "multipart": True, "async": False}
    job = Job.score(wine, intake, passthrough_columns=["bottle_id"])
    scored = downloaded(job)
    is_wine(scored)
    assert table(scored.decode())["bottle_id"] == table(content)["bottle_id"]


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("surplus", [1, 20_000], ids=["some", "megabytes"])
def test_a_part_that_lost_bytes_ends_its_job_with_advice_and_harms_no_other(served, wine, wines, is_wine, surplus, is_async):
    content = served.data("wine").replace("B-", f"B{'ü' * surplus}-")
    intake = {"type": "localFile", "file": io.BytesIO(content.encode()), "multipart": True, "async": is_async}
    with pytest.raises(ClientError, match=r"counted its characters, not its bytes.*multipart: false") as refused:
        Job.score(wine, intake)
    assert refused.value.status_code == 422
    assert any("lost its last bytes" in job["statusDetails"] for job in _listed(served, "ABORTED"))
    is_wine(downloaded(scored_wine(wine, wines)))


def test_parts_that_the_client_has_garbled_end_their_job_with_the_reason(served, wine):
    """It reads a file as if it had commas, whatever csv_settings say."""
    intake = {"type": "localFile", "file": io.BytesIO(served.data("wine").replace(",", ";").encode()), "multipart": True}
    job = Job.score(wine, intake, csv_settings={"delimiter": ";"})
    assert "lacks" in served.until(job.id, "ABORTED")["statusDetails"]


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        pytest.param("GET", "version/", {"headers": {"Authorization": "Token wrong"}}, 401, id="401"),
        pytest.param("GET", "batchPredictions/größe/", {}, 404, id="404"),
        pytest.param("GET", "größe/", {}, 404, id="404 path"),
        pytest.param("PUT", "größe/version/", {}, 404, id="404 put"),
        pytest.param("PUT", "version/", {}, 405, id="405"),
        pytest.param("POST", "batchPredictions/", {"json": {"deploymentId": "größe"}}, 404, id="404 deployment"),
        pytest.param("POST", "batchPredictions/", {"json": {"größe": 1, "intakeSettings": {"type": "größe"}}}, 422, id="422"),
        pytest.param("POST", "batchPredictions/", {"content": "größe"}, 400, id="400"),
        pytest.param("GET", "batchPredictions/?status=größe", {}, 422, id="422 query"),
    ],
)
def test_an_error_is_ascii_json_of_exactly_this_type(served, method, path, options, status):
    answer = served.http.request(method, path, **options)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert answer.content.isascii()
    assert answer.json()["message"]


def test_the_client_shows_a_refusal_that_is_not_ascii(wine, wines):
    with pytest.raises(ClientError, match="größe"):
        scored_wine(wine, wines, csv_settings={"encoding": "größe"})


# The other resources


def test_deployments_are_listed_and_read(served):
    assert {one.label: one.id for one in dr.Deployment.list()} == served.deployments
    wine = dr.Deployment.get(served.deployments["wine"])
    assert (wine.label, wine.status, wine.model["target_name"]) == ("wine", "active", "cultivar")
    with pytest.raises(ClientError) as unknown:
        dr.Deployment.get("5" * 24)
    assert unknown.value.status_code == 404


def test_a_deployment_object_is_scored_like_its_id(served, wines, output, is_wine):
    Job.score_to_file(dr.Deployment.get(served.deployments["wine"]), str(wines), str(output))
    is_wine(output.read_text())


def test_a_credential_is_made_and_read_without_its_secret(served):
    made = dr.Credential.create_s3("a lake", "the-id", "the-s3cret")
    assert (dr.Credential.get(made.credential_id).name, made.credential_type) == ("a lake", "s3")
    assert "the-s3cret" not in served.http.get(f"credentials/{made.credential_id}/").text
    assert not [path for path in (served.root / "storage").rglob("*") if path.is_file() and b"the-s3cret" in path.read_bytes()]


@pytest.fixture
def spec(wine: str, wines: Path) -> dict[str, Any]:
    with wines.open("rb") as file:
        dataset = dr.Dataset.create_from_file(filelike=file)
    return {
        "deployment_id": wine,
        "num_concurrent": 4,
        "intake_settings": {"type": "dataset", "dataset_id": dataset.id},
        "output_settings": {"type": "localFile"},
        "passthrough_columns": ["bottle_id"],
    }


def test_a_definition_is_created_updated_run_scheduled_and_deleted(served, spec, is_wine):
    made = dr.BatchPredictionJobDefinition.create(enabled=False, batch_prediction_job=spec, name="wines")
    assert [one.id for one in dr.BatchPredictionJobDefinition.list(limit=0) if one.name == "wines"] == [made.id]
    is_wine(downloaded(made.run_once()), "bottle_id")
    updated = made.update(enabled=False, name="more wines", batch_prediction_job=spec | {"passthrough_columns": ["hue"]})
    assert (updated.name, updated.batch_prediction_job["passthrough_columns"]) == ("more wines", ["hue"])
    is_wine(downloaded(updated.run_once()), "hue")
    nightly = {"minute": [0], "hour": [3], "day_of_month": ["*"], "month": ["*"], "day_of_week": ["*"]}
    scheduled = updated.run_on_schedule(nightly)
    assert (scheduled.enabled, scheduled.schedule) == (True, nightly)
    assert served.http.get(f"batchPredictionJobDefinitions/{made.id}/").json()["nextScheduledRunTime"].endswith("T03:00:00.000000Z")
    scheduled.delete()
    with pytest.raises(ClientError) as gone:
        dr.BatchPredictionJobDefinition.get(made.id)
    assert gone.value.status_code == 404


def test_a_definition_is_changed_at_a_path_without_a_slash(wire, spec):
    made = dr.BatchPredictionJobDefinition.create(enabled=False, batch_prediction_job=spec)
    wire.requests.clear()
    wire.answers.clear()
    made.update(enabled=False, name="renamed without a slash")
    made.delete()
    assert wire.lines == [f"PATCH batchPredictionJobDefinitions/{made.id}", f"DELETE batchPredictionJobDefinitions/{made.id}/"]
    assert [answer.status for answer in wire.answers] == [200, 204]


def test_a_schedule_really_runs(served, spec, is_wine):
    """The one test that waits for the clock: a schedule knows no less than a minute."""
    always = {key: ["*"] for key in ("minute", "hour", "day_of_month", "month", "day_of_week")}
    made = dr.BatchPredictionJobDefinition.create(enabled=True, batch_prediction_job=spec, name="each minute", schedule=always)
    (job,) = awaited(lambda: [job for job in _listed(served, "COMPLETED") if job["source"] == "Scheduled Run"])
    made.delete()
    assert job["batchPredictionJobDefinition"]["name"] == "each minute"
    is_wine(downloaded(Job.get(job["id"])), "bottle_id")


def _listed(served: Served, status: str) -> list[dict[str, Any]]:
    return list(served.http.get("batchPredictions/", params={"status": status, "limit": 100}).json()["data"])

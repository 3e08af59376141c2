"""What each word of a text adds. The rule here: its strength is the library's own prediction, less that of the text without it."""

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import catboost
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import skops.io
import table
from numpy.typing import NDArray
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline

from reconciler.engine.metadata import read_metadata
from reconciler.engine.models.model import Feature, Scores
from reconciler.engine.models.registry import load_model
from reconciler.engine.ngrams import Ngrams
from reconciler.errors import ModelError, ScoringError

Scored = Callable[..., bytes]
Words = list[dict[str, Any]]
REVIEWS = pd.DataFrame(
    {
        "review": ["a good film", "bad, so bad", "good plot, bad film", "Not good", "fine", "a bad plot", "the best film", "the worst plot"],
        "stars": [4.0, 1.0, 3.0, 2.0, 4.0, 1.0, 5.0, 1.0],
    }
)
DIABETES = read_metadata(Path(__file__).parents[2] / "specs/models/diabetes")
KINDS = ["high", "low", "mid", "low", "high", "low", "high", "low"]


def text_model(final: Any, answers: Any) -> Any:
    parts = make_column_transformer((TfidfVectorizer(ngram_range=(1, 2)), "review"), remainder="passthrough")
    return make_pipeline(parts, final).fit(REVIEWS, answers)


def saved(folder: Path, model: Any, target_type: str, **inference: Any) -> Path:
    skops.io.dump(model, folder / "model.skops")
    return table.folder_for(folder, target_type, **{"textFeatures": ["review"], **inference})


def told(row: dict[str, str], prefix: str = "") -> Words:
    """The n-grams of the explanation that is of the text."""
    place = next(place for place in (1, 2) if row[f"{prefix}EXPLANATION_{place}_FEATURE_NAME"] == "review")
    assert row[f"{prefix}EXPLANATION_{3 - place}_PER_NGRAM_TEXT_EXPLANATIONS"] == ""
    words: Words = json.loads(row[f"{prefix}EXPLANATION_{place}_PER_NGRAM_TEXT_EXPLANATIONS"])
    return words


def without(text: str, spans: list[tuple[int, int]]) -> str:
    return "".join(letter for place, letter in enumerate(text) if not any(start <= place < end for start, end in spans))


def moves(predict: Callable[[pd.DataFrame], NDArray[Any]], text: str, stars: float, words: Words) -> NDArray[Any]:
    """What the library says of the same words."""
    spans = [[(each["startingIndex"], each["endingIndex"]) for each in word["ngrams"]] for word in words]
    rows = pd.DataFrame({"review": [text, *(without(text, each) for each in spans)], "stars": stars})
    found = predict(rows)
    return found[0] - found[1:]


def test_a_word_is_what_the_prediction_loses_without_it(tmp_path: Path, scored: Scored) -> None:
    model = text_model(Ridge(), REVIEWS.stars)
    rows = pd.DataFrame({"review": ["A good, good film: not bad?", "quite unheard of", "Žižkov film"], "stars": [1.0, 2.0, 3.0]})
    output = table.rows_of(scored(saved(tmp_path, model, "regression"), rows.to_csv(index=False), max_explanations=2, max_ngram_explanations="all"))
    for row, (text, stars) in zip(output, rows.itertuples(index=False), strict=True):
        words = told(row)
        strengths = [word["strength"] for word in words]
        assert strengths == pytest.approx(moves(model.predict, text, stars, words), abs=1e-9)
        assert strengths == sorted(strengths, key=abs, reverse=True)
        assert [word["isUnknown"] for word in words] == [strength == 0 for strength in strengths]
    first = {tuple(rows.review[0][each["startingIndex"] : each["endingIndex"]] for each in word["ngrams"]) for word in told(output[0])}
    assert first == {("A",), ("good", "good"), ("film",), ("not",), ("bad",)}
    assert all(word["isUnknown"] for word in told(output[1]))
    assert {word["qualitativeStrength"] for word in told(output[1])} == {"<-"}
    assert [(word["ngrams"], word["isUnknown"]) for word in told(output[2])] == [
        ([{"startingIndex": 7, "endingIndex": 11}], False),
        ([{"startingIndex": 0, "endingIndex": 6}], True),
    ]


def test_a_number_bounds_the_words_of_a_text(tmp_path: Path, scored: Scored) -> None:
    folder = saved(tmp_path, text_model(Ridge(), REVIEWS.stars), "regression")
    every = told(table.rows_of(scored(folder, REVIEWS.to_csv(index=False), max_explanations=2, max_ngram_explanations="all"))[2])
    assert len(every) == 4
    assert told(table.rows_of(scored(folder, REVIEWS.to_csv(index=False), max_explanations=2, max_ngram_explanations=3))[2]) == every[:3]


@pytest.mark.parametrize("algorithm", ["shap", "xemp"])
def test_each_class_has_its_own_words(tmp_path: Path, scored: Scored, algorithm: str) -> None:
    model = text_model(LogisticRegression(), KINDS)
    folder = saved(tmp_path, model, "multiclass")
    asked = {"max_explanations": 2, "max_ngram_explanations": 5, "explanation_class_names": ["mid", "high"], "explanation_algorithm": algorithm}
    classes = list(model.classes_)
    for row, (text, stars) in zip(table.rows_of(scored(folder, REVIEWS.to_csv(index=False), **asked)), REVIEWS.itertuples(index=False), strict=True):
        for place, label in enumerate(["mid", "high"], 1):
            words = told(row, f"CLASS_{place}_")
            wanted = moves(model.predict_proba, text, stars, words)[:, classes.index(label)]
            assert [word["strength"] for word in words] == pytest.approx(wanted, abs=1e-9)


def test_text_features_of_catboost_are_read_and_told_of(tmp_path: Path, scored: Scored) -> None:
    rng = np.random.default_rng(1)
    texts = [" ".join(rng.choice(["good", "bad", "film", "plot", "fine", "poor"], 5)) for _ in range(300)]
    rows = pd.DataFrame({"review": texts, "stars": rng.normal(size=300), "color": rng.choice(["red", "blue", "green"], 300)})
    labels = np.where(rows.review.str.count("good") + rows.stars > 1, "yes", "no")
    model = catboost.CatBoostClassifier(
        iterations=20, verbose=0, thread_count=1, random_seed=1, allow_writing_files=False, text_features=["review"], cat_features=["color"]
    ).fit(rows, labels)
    model.save_model(str(tmp_path / "model.cbm"))
    folder = table.folder_for(tmp_path, "binary", textFeatures=["review"])
    content = (tmp_path / "model.cbm").read_bytes()
    for length in range(content.index(b"text_process"), len(content), 997):
        (tmp_path / "model.cbm").write_bytes(content[:length])
        with pytest.raises(ModelError, match="cannot be loaded"):
            load_model(read_metadata(folder))
    (tmp_path / "model.cbm").write_bytes(content)
    some = rows[:20].assign(review=["good Good film", "", *texts[2:20]])
    output = scored(folder, some.to_csv(index=False), max_explanations=3, max_ngram_explanations="all")
    assert table.numbers(output, "t_yes_PREDICTION") == model.predict_proba(some)[:, 1].tolist()
    for row, (_, each) in zip(table.rows_of(output), some.iterrows(), strict=True):
        place = next(place for place in (1, 2, 3) if row[f"EXPLANATION_{place}_FEATURE_NAME"] == "review")
        cell = row[f"EXPLANATION_{place}_PER_NGRAM_TEXT_EXPLANATIONS"]
        if not each.review:
            assert cell == ""  # an empty field is missing
            continue
        words = json.loads(cell)
        shorter = [without(each.review, [(span["startingIndex"], span["endingIndex"]) for span in word["ngrams"]]) for word in words]
        found = model.predict_proba(pd.DataFrame({**each.to_dict(), "review": [each.review, *shorter]})[["review", "stars", "color"]])[:, 1]
        assert [word["strength"] for word in words] == pytest.approx(found[0] - found[1:], abs=1e-9)


def test_a_word_keeps_the_marks_on_its_letters(tmp_path: Path, scored: Scored) -> None:
    texts = ["cafe\u0301 \u0939\u093f\u0928\u094d\u0926\u0940", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645, a_b", "映画、とても良い"]
    folder = saved(tmp_path, text_model(Ridge(), REVIEWS.stars), "regression")
    output = scored(folder, pd.DataFrame({"review": texts, "stars": 1}).to_csv(index=False), max_explanations=2, max_ngram_explanations="all")
    found = [
        [[text[each["startingIndex"] : each["endingIndex"]] for each in word["ngrams"]] for word in told(row)]
        for text, row in zip(texts, table.rows_of(output), strict=True)
    ]
    assert found == [[[word] for word in text.replace(",", "").replace("、", " ").split()] for text in texts]


def test_custom_code_is_given_a_text_as_a_text(tmp_path: Path, scored: Scored) -> None:
    model = text_model(Ridge(), REVIEWS.stars)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    (tmp_path / "custom.py").write_text("def score(data, model, **labels):\n    return model.predict(data[['review', 'stars']])\n")
    folder = table.folder_for(tmp_path, "regression", textFeatures=["review"])
    rows = pd.DataFrame({"review": ["good", "4.5", "7", "bad film"], "stars": [1.0, 2.0, 3.0, 4.0]})
    options = {"max_explanations": 2, "max_ngram_explanations": "all", "include_prediction_status": True}
    for some in (rows, rows[:1], rows[1:2], rows[2:3]):
        output = scored(folder, some.to_csv(index=False), is_trusted=True, **options)
        assert table.column(output, "prediction_status") == ["OK"] * len(some)
        assert table.numbers(output) == pytest.approx(model.predict(some), abs=1e-9)
        for row, (text, stars) in zip(table.rows_of(output), some.itertuples(index=False), strict=True):
            words = told(row)
            assert [word["strength"] for word in words] == pytest.approx(moves(model.predict, text, stars, words), abs=1e-9)


def test_a_long_text_is_never_in_memory_once_for_each_word() -> None:
    """What the model is given at once is bounded, and all of it is told of."""
    given: list[int] = []

    class Lengths:
        features = (Feature("review", is_text=True), Feature("other", is_text=True))
        rows_at_once = 4096

        def predict(self, rows: pa.RecordBatch) -> Scores:
            given.append(rows.nbytes)
            return np.array([float(len(text)) for text in rows.column(0).to_pylist()])

    words = [f"w{place}" * 2 for place in range(3000)]
    model, metadata = Lengths(), replace(DIABETES, text_features=("review",))
    row = pa.RecordBatch.from_pydict({"review": [" ".join(words)], "other": ["x" * 50_000]})
    (cell,) = Ngrams(model, model.features, metadata, "all", lambda: False).of(row)(np.array([0]), np.array([0])).to_pylist()
    assert sorted(word["strength"] for word in json.loads(cell)) == sorted(float(len(word)) for word in words)
    assert max(given) < 1 << 19


def test_a_text_without_words_has_none_to_tell_of(tmp_path: Path, scored: Scored) -> None:
    folder = saved(tmp_path, text_model(Ridge(), REVIEWS.stars), "regression")
    (row,) = table.rows_of(scored(folder, 'review,stars\n"",1\n', max_explanations=2, max_ngram_explanations="all"))
    assert told(row) == []


def test_a_model_without_texts_is_refused_before_the_first_row(tmp_path: Path, scored: Scored) -> None:
    model = text_model(Ridge(), REVIEWS.stars)
    with pytest.raises(ScoringError) as caught:
        scored(saved(tmp_path, model, "regression", textFeatures=[]), REVIEWS.to_csv(index=False), max_explanations=2, max_ngram_explanations=3)
    assert "List them as textFeatures" in caught.value.detail
    with pytest.raises(ModelError) as wrong:
        scored(
            saved(tmp_path, model, "regression", textFeatures=["stars", "x"]),
            REVIEWS.to_csv(index=False),
            max_explanations=2,
            max_ngram_explanations=3,
        )
    assert "textFeatures names stars, x; the model reads as text review." in wrong.value.detail
    assert not (tmp_path / "out.csv").exists()

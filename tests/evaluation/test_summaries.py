import json
import math
from pathlib import Path

import pytest
import torch

from leylora.errors import UsageError
from leylora.evaluation.backends import Continuation
from leylora.evaluation.report import write_report
from leylora.evaluation.results import Results, Variant
from leylora.evaluation.run import compare
from leylora.evaluation.summaries import ROWS, Seq2SeqModel, compare_summaries, find_tuned, summary_items
from leylora.files import read_jsonl
from leylora.models.tiny import make_tiny_t5
from leylora.training.seq2seq import means, score_summaries


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("t5") / "tiny-t5"
    make_tiny_t5([row[column] for _, row in read_jsonl(ROWS) for column in ("text", "summary")], folder)
    talkative(folder, folder, seed=1)
    return folder


def talkative(base: Path, out: Path, seed: int) -> None:
    """The base with other random weights, large enough that it writes words rather than nothing."""
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    model = AutoModelForSeq2SeqLM.from_pretrained(base)
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in model.decoder.block.parameters():
            weight.normal_(std=1.0)
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(base).save_pretrained(out)


@pytest.fixture(scope="module")
def tuned(base: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """An adapter, and a whole model."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForSeq2SeqLM

    adapter, whole = (tmp_path_factory.mktemp("tuned") / name for name in ("adaptador", "entero"))
    torch.manual_seed(3)
    model = AutoModelForSeq2SeqLM.from_pretrained(base)
    config = LoraConfig(
        r=4, lora_alpha=64, target_modules=["q", "v"], init_lora_weights=False, task_type="SEQ_2_SEQ_LM"
    )
    get_peft_model(model, config).save_pretrained(adapter)
    talkative(base, whole, seed=2)
    for folder, kind in ((adapter, "lora"), (whole, "full")):
        run = {"base_model": str(base), "kind": kind, "rouge": {}, "prompt": "Resume el siguiente artículo:", "log": []}
        (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    return [adapter, whole]


@pytest.fixture(scope="module")
def results(base: Path, tuned: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Results:
    out = tmp_path_factory.mktemp("comparison") / "out"
    return compare_summaries([str(base)], out, adapters=",".join(map(str, tuned)), limit=4, max_new_tokens=12, lora=out)


def test_base_adapter_and_whole_model_are_compared(results: Results) -> None:
    (model,) = results.provenance.models
    assert [variant.name for variant in model.variants] == ["base", "adaptador", "entero"]
    assert {score.variant for score in results.scores.scores if score.headline} == {"base", "adaptador", "entero"}
    assert {(one.variant, one.against) for one in results.scores.differences} >= {
        ("adaptador", "base"),
        ("entero", "base"),
    }
    texts = {
        name: [results.answers[model.label, name, "summary", item].text for _, item in results.items]
        for name in ("base", "adaptador", "entero")
    }
    assert all(texts["base"])
    assert texts["base"] != texts["entero"]
    assert len({key.key for key in results.answers.values()}) == 3 * len(results.items)


def test_scores_are_those_of_the_training(results: Results) -> None:
    (model,) = results.provenance.models
    items = list(results.items.values())
    for variant in ("base", "adaptador"):
        texts = [results.answers[model.label, variant, "summary", item.id].text for item in items]
        wanted = means(score_summaries(texts, [item.reference for item in items]))
        for metric, kind in (("rouge_1", "rouge1"), ("rouge_2", "rouge2"), ("rouge_l", "rougeL"), ("score", "rougeL")):
            (score,) = [
                one for one in results.scores.scores if (one.variant, one.metric, one.part) == (variant, metric, "all")
            ]
            assert score.value == pytest.approx(wanted[kind])


def test_the_report_shows_it(results: Results) -> None:
    write_report(results.folder)
    text = (results.folder / "report.html").read_text("utf-8")
    assert "Resúmenes" in text
    assert "adaptador" in text


def test_likelihoods_are_the_models_own_and_switching_leaves_no_trace(base: Path, tuned: list[Path]) -> None:
    model = Seq2SeqModel(str(base), batch_size=3)
    items = summary_items(ROWS, limit=4)
    wanted = [Continuation(item.messages, item.reference) for item in items]
    model.use(Variant(name="base", role="base"))
    first = model.likelihoods(wanted)
    for folder in tuned:
        model.use(Variant(name=folder.name, role="other", adapter=str(folder)))
        assert [one and one[0] for one in model.likelihoods(wanted)] != [one and one[0] for one in first]
    model.use(Variant(name="base", role="base"))
    assert model.likelihoods(wanted) == first
    from transformers import AutoModelForSeq2SeqLM

    alone = AutoModelForSeq2SeqLM.from_pretrained(base)
    item, told = items[0], first[0]
    assert told is not None
    ids = model.tokenizer(item.messages[0]["content"], truncation=True, max_length=512, return_tensors="pt").input_ids
    labels = model.tokenizer(text_target=item.reference, return_tensors="pt").input_ids
    with torch.no_grad():
        loss = alone(input_ids=ids, labels=labels).loss.item()
    assert told[0] == pytest.approx(-loss * labels.shape[1], rel=1e-4)
    assert told[1] == labels.shape[1]
    assert math.isfinite(told[0])


def test_auto_finds_what_was_trained_from_the_base(base: Path, tuned: list[Path], tmp_path: Path) -> None:
    for folder in tuned:
        (tmp_path / folder.name).symlink_to(folder)
    found = find_tuned(str(base), "auto", tmp_path)
    assert [variant.name for variant in found][:3] == ["base", "adaptador", "entero"]
    assert [variant.name for variant in find_tuned("other/model", "auto", tmp_path)] == ["base"]


def test_what_cannot_be_compared_is_one_sentence(
    tiny_base: object, base: Path, tuned: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="neither an adapter"):
        find_tuned(str(base), "nowhere")
    with pytest.raises(UsageError, match="was trained from"):
        find_tuned("other/model", str(tuned[0]))
    assert callable(tiny_base)
    with pytest.raises(UsageError, match="has no encoder"):
        compare_summaries([str(tiny_base("tiny-mistral"))], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_other_suites_send_such_a_model_to_its_own(base: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="compare it with --suite summary"):
        compare([str(base)], tmp_path / "out")
    assert not (tmp_path / "out").exists()

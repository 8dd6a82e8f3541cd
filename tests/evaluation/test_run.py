"""A whole small comparison: what it writes can be made again from the raw answers, and fakes do not pass."""

import functools
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model

from leylora.adapters.files import WEIGHTS_FILE
from leylora.errors import LeyloraError, UsageError
from leylora.evaluation import grading
from leylora.evaluation.asking import Facts, Ledger
from leylora.evaluation.backends import Continuation, LocalModel
from leylora.evaluation.items import Sources
from leylora.evaluation.results import Answer, Results, Variant, answers_file, load_results
from leylora.evaluation.run import CompareSettings, compare, plan
from leylora.evaluation.scoring import tally
from leylora.files import sha256_file
from leylora.models.families import FAMILIES
from leylora.models.generate import IGNORED
from leylora.models.load import load_base
from leylora.models.templates import instruction_template

TARGETS = {"tiny-mistral": ["q_proj", "up_proj"], "tiny-falcon": ["query_key_value"]}
ASKED = CompareSettings(max_new_tokens=6, limit=9)


def make_adapter(base: Path, folder: Path, seed: int) -> Path:
    """An adapter with random factors, large enough to be felt."""
    torch.manual_seed(seed)
    config = LoraConfig(
        r=4, lora_alpha=32, target_modules=TARGETS[base.name], init_lora_weights=False, task_type="CAUSAL_LM"
    )
    get_peft_model(load_base(str(base), compute_dtype=torch.float32), config).save_pretrained(folder)
    run = {"revision": f"sha256:{sha256_file(base / 'model.safetensors')}", "wall_seconds": 12.5, "device": "cpu"}
    (folder / "run.json").write_text(json.dumps(run), "utf-8")
    return folder


@pytest.fixture(scope="module")
def base(tiny_base: Callable[[str], Path]) -> Path:
    return tiny_base("tiny-mistral")


@pytest.fixture(scope="module")
def lora(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("LORA")
    for seed, kind in enumerate(("instructions", "law", "combined")):
        make_adapter(base, folder / f"tiny-mistral-{kind}", seed)
    return folder


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """The benchmark, and a few held-out instruction rows."""
    folder = tmp_path_factory.mktemp("rows")
    rows = [
        {
            "id": f"r{at}",
            "task": "instruction",
            "source": "s",
            "license": "cc0-1.0",
            "messages": [
                {"role": "user", "content": f"¿Qué es {word}?"},
                {"role": "assistant", "content": f"Es {word}, nada más."},
            ],
        }
        for at, word in enumerate(["un faro", "una red", "un muelle", "una talega", "un telar", "una rifa"])
    ]
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return Sources(instruction_rows=(folder,))


@pytest.fixture(scope="module")
def run(base: Path, lora: Path, sources: Sources) -> Callable[..., Results]:
    """`compare` of the small base and its adapters, into the folder given."""
    return functools.partial(compare, [str(base)], sources=sources, settings=ASKED, lora=lora)


@pytest.fixture(scope="module")
def results(run: Callable[..., Results], tmp_path_factory: pytest.TempPathFactory) -> Results:
    return run(tmp_path_factory.mktemp("out") / "done")


def test_all_is_asked_and_told(results: Results, base: Path, lora: Path) -> None:
    variants = ["base", "instructions", "law", "merged"]
    assert [variant.name for variant in results.provenance.models[0].variants] == variants
    assert len(results.answers) == len(results.marks) == 4 * 3 * 9
    headlines = [score for score in results.scores.scores if score.headline]
    assert [(one.variant, one.suite) for one in headlines] == [
        (variant, suite) for variant in variants for suite in ("law", "instructions", "spanish")
    ]
    bounds = [(one.low, one.value, one.high) for one in results.scores.scores]
    assert all(low is None or high is None or low <= value <= high for low, value, high in bounds)
    model = results.provenance.models[0]
    assert (model.family, model.load, model.template) == ("mistral", "4bit", "leylora-mistral")
    law = next(cost for cost in results.scores.costs if cost.variant == "law")
    assert law.training_seconds == 12.5
    assert law.adapter_mib == pytest.approx((lora / "tiny-mistral-law" / WEIGHTS_FILE).stat().st_size / 2**20)
    assert (law.tokens_per_second or 0) > 0
    kept = {(one.suite, one.variant, one.single) for one in results.scores.retention}
    assert ("law", "merged", "law") in kept
    assert ("instructions", "merged", "instructions") in kept
    assert any(finding.kind == "no-laws" for finding in results.scores.findings)


def test_every_number_is_made_again_from_the_raw_answers(results: Results) -> None:
    items = {
        suite.name: [item for (name, _), item in results.items.items() if name == suite.name]
        for suite in results.provenance.suites
    }
    model = results.provenance.models[0]
    answers = {
        (model.label, variant.name, suite): [
            results.answers[model.label, variant.name, suite, item.id] for item in asked
        ]
        for variant in model.variants
        for suite, asked in items.items()
    }
    marks, scores = tally([model], items, answers)
    assert scores.scores == results.scores.scores
    assert scores.differences == results.scores.differences
    assert scores.retention == results.scores.retention
    assert {mark for found in marks.values() for mark in map(str, found)} == set(map(str, results.marks.values()))


def test_the_main_numbers_by_other_means(results: Results) -> None:
    """The same scores by the shortest formula that says what each is, from items and raw answers."""
    value = {(one.variant, one.suite, one.metric, one.part): one.value for one in results.scores.scores}
    for variant in ("base", "law"):
        raw = {
            suite: [
                (results.items[suite, item], answer)
                for (_, name, of, item), answer in results.answers.items()
                if (name, of) == (variant, suite)
            ]
            for suite in ("law", "instructions", "spanish")
        }
        for suite, pairs in raw.items():
            judged = [answer for _, answer in pairs if answer.nll is not None]
            assert all(len(results.items[suite, one.item].reference.encode()) == one.reference_bytes for one in judged)
            nats, size = sum(one.nll or 0 for one in judged), sum(one.reference_bytes or 0 for one in judged)
            bits = nats / math.log(2) / size
            assert value[variant, suite, "bits_per_byte", "all"] == pytest.approx(bits)
            written = [answer for item, answer in pairs if item.ask == "generate"]
            open_ended = np.mean([not answer.finished for answer in written])
            assert value[variant, suite, "unfinished", "all"] == pytest.approx(open_ended)
        chosen = [(item, answer) for item, answer in raw["law"] if item.ask == "choose"]
        hits = [
            max(range(len(row)), key=row.__getitem__) == item.correct
            for item, answer in chosen
            for row in answer.option_logprobs or []
        ]
        assert value[variant, "law", "accuracy", "all"] == pytest.approx(np.mean(hits))
        questions = [
            grading.token_f1(answer.text, item.accepted) for item, answer in raw["spanish"] if item.task == "qa"
        ]
        assert value[variant, "spanish", "score", "task:qa"] == pytest.approx(np.mean(questions))


def test_a_run_that_was_stopped_goes_on(results: Results, run: Callable[..., Results], tmp_path: Path) -> None:
    out = tmp_path / "stopped"
    shutil.copytree(results.folder, out)
    path = answers_file(out, "tiny-mistral", "law")
    lines = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:10]) + lines[10][:40], "utf-8")  # killed in the middle of a line
    (out / "scores.json").unlink()
    before = answers_file(out, "tiny-mistral", "merged").stat().st_mtime_ns
    again = run(out)
    assert again.scores.scores == results.scores.scores
    assert answers_file(out, "tiny-mistral", "merged").stat().st_mtime_ns == before  # nothing was asked twice
    assert len(path.read_text("utf-8").splitlines()) == len(lines)


def test_a_comparison_that_is_all_there_is_read_and_repeated_without_torch(
    results: Results, base: Path, lora: Path, sources: Sources, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(results.folder, out)
    code = f"""
import sys
from pathlib import Path
from leylora.evaluation.items import Sources
from leylora.evaluation.report import write_report
from leylora.evaluation.results import load_results
from leylora.evaluation.run import CompareSettings, compare
out = Path({str(out)!r})
before = load_results(out)
sources = Sources(instruction_rows=(Path({str(sources.instruction_rows[0])!r}),))
again = compare([{str(base)!r}], out, sources=sources, settings=CompareSettings(max_new_tokens=6, limit=9),
                lora=Path({str(lora)!r}))
assert again.scores == before.scores and again.answers == before.answers
assert again.provenance.models == before.provenance.models
write_report(out)
heavy = {{"torch", "transformers", "datasets", "peft", "trl", "bitsandbytes"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_stopped_run_leaves_the_finished_one_before_it_whole(
    base: Path, results: Results, sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    shutil.copytree(results.folder, out)

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("leylora.evaluation.asking.ask_all", stopped)
    with pytest.raises(KeyboardInterrupt):
        compare([str(base)], out, adapters="none", sources=sources, settings=replace(ASKED, limit=4))
    left = load_results(out)
    assert (left.items, left.scores, left.answers) == (results.items, results.scores, results.answers)


def test_answers_of_another_adapter_never_count(results: Results, run: Callable[..., Results], tmp_path: Path) -> None:
    out = tmp_path / "planted"
    shutil.copytree(results.folder, out)
    theirs = [
        Answer.model_validate_json(line)
        for line in answers_file(out, "tiny-mistral", "instructions").read_text("utf-8").splitlines()
    ]
    planted = [one.model_copy(update={"variant": "law", "text": "PLANTED"}) for one in theirs]
    path = answers_file(out, "tiny-mistral", "law")
    path.write_text("".join(one.model_dump_json() + "\n" for one in planted), "utf-8")
    again = run(out)
    assert again.scores.scores == results.scores.scores
    assert not any(answer.text == "PLANTED" for answer in again.answers.values())
    item = next(iter(results.items.values()))
    wrong_prompt = planted[0].model_copy(update={"suite": item.suite, "item": item.id, "prompt_sha256": "0" * 64})
    path.write_text(wrong_prompt.model_dump_json() + "\n", "utf-8")
    facts = Facts.model_validate_json((path.parent / "backend.json").read_text("utf-8"))
    ledger = Ledger(path, "tiny-mistral", again.provenance.models[0].variants[2])
    path.write_text(wrong_prompt.model_copy(update={"key": ledger.key(item, facts)}).model_dump_json() + "\n", "utf-8")
    assert Ledger(path, "tiny-mistral", ledger.variant).find(item, facts) is None


def test_an_adapter_trained_again_is_asked_again(
    results: Results, run: Callable[..., Results], base: Path, lora: Path, tmp_path: Path
) -> None:
    changed, out = tmp_path / "LORA", tmp_path / "out"
    shutil.copytree(lora, changed)
    shutil.copytree(results.folder, out)
    shutil.rmtree(changed / "tiny-mistral-law")
    make_adapter(base, changed / "tiny-mistral-law", seed=77)
    new = run(out, lora=changed)

    def texts(found: Results, variant: str) -> list[tuple[str, float | None]]:
        return [(one.text, one.nll) for (_, name, _, _), one in found.answers.items() if name == variant]

    assert texts(new, "law") != texts(results, "law")
    assert texts(new, "merged") == texts(results, "merged")
    old = run(out)  # the adapter of before put back: its answers are still there
    assert texts(old, "law") == texts(results, "law")


def test_a_copy_under_another_name_is_said(base: Path, lora: Path, tmp_path: Path) -> None:
    shutil.copytree(lora / "tiny-mistral-law", tmp_path / "mine")
    asked = f"law={lora / 'tiny-mistral-law'},merged={tmp_path / 'mine'}"
    found = compare([str(base)], tmp_path / "out", adapters=asked, suites=["spanish"], settings=ASKED)
    (copy,) = [one for one in found.scores.findings if one.kind == "duplicate-variant"]
    assert (copy.variant, copy.names) == ("merged", ["law"])
    gaps = [one for one in found.scores.differences if (one.variant, one.against) == ("merged", "law")]
    assert gaps
    assert all(one.value == 0 and one.p == 1 for one in gaps)


def test_adapters_that_do_not_belong_stop_before_anything_is_loaded(base: Path, lora: Path, tmp_path: Path) -> None:
    stale = tmp_path / "stale-law"
    shutil.copytree(lora / "tiny-mistral-law", stale)
    run = json.loads((stale / "run.json").read_text("utf-8"))
    (stale / "run.json").write_text(json.dumps(run | {"revision": "sha256:" + "0" * 64}), "utf-8")
    on_top = tmp_path / "x-law"
    shutil.copytree(lora / "tiny-mistral-law", on_top)
    (on_top / "run.json").write_text(json.dumps(run | {"on_top_of": "LORA/i"}), "utf-8")
    for adapters, message in (
        (str(stale), "was trained on other weights than"),
        (str(on_top), "was trained on top of LORA/i and cannot be used without it"),
        ("nowhere", "There is no adapter 'nowhere'"),
        (f"lawyer={stale}", "'lawyer' is not a role"),
    ):
        with pytest.raises(LeyloraError, match=message):
            compare([str(base)], tmp_path / "out", adapters=adapters, settings=ASKED, lora=lora)
    with pytest.raises(UsageError, match="There is no instruction template 'x'"):
        compare([str(base)], tmp_path / "out", adapters="none", settings=CompareSettings(template="x"))
    assert not (tmp_path / "out").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x", "utf-8")
    with pytest.raises(UsageError, match="is not a comparison's folder"):
        compare([str(base)], tmp_path / "mine", settings=ASKED)


def test_an_encoder_decoder_is_sent_to_its_own_script(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "t5", "is_encoder_decoder": true}', "utf-8")
    with pytest.raises(UsageError, match=r"has an encoder; train/seq2seq\.py itself shows"):
        compare([str(tmp_path)], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_adapter_gone_stale_does_not_stop_the_others(base: Path, lora: Path, tmp_path: Path) -> None:
    shutil.copytree(lora, tmp_path / "LORA")
    record = tmp_path / "LORA" / "tiny-mistral-law" / "run.json"
    run = json.loads(record.read_text("utf-8"))
    record.write_text(json.dumps(run | {"revision": "sha256:" + "0" * 64}), "utf-8")
    (tmp_path / "LORA" / "tiny-mistral-combined" / WEIGHTS_FILE).unlink()
    (model,), findings = plan([str(base)], "auto", [], ASKED, tmp_path / "LORA")
    assert [variant.name for variant in model.variants] == ["base", "instructions"]
    assert {(one.kind, one.adapter) for one in findings} == {
        ("unusable-adapter", "tiny-mistral-combined"),
        ("stale-adapter", "tiny-mistral-law"),
    }
    assert any(WEIGHTS_FILE in one.error for one in findings)


MESSAGES = [
    [{"role": "user", "content": "¿Plazo?"}],
    [
        {"role": "system", "content": "Responda."},
        {"role": "user", "content": "¿Qué dice la ley sobre el préstamo? " * 9},
    ],
    [{"role": "user", "content": "Diga el nombre de la biblioteca y su horario."}],
]


@pytest.mark.parametrize("family", ["tiny-mistral", "tiny-falcon"])
def test_answers_and_likelihoods_do_not_depend_on_the_batch(
    tiny_base: Callable[[str], Path], tmp_path: Path, family: str
) -> None:
    folder = tiny_base(family)
    name = next(one.instruction_template for one in FAMILIES.values() if one.name == family.removeprefix("tiny-"))
    model = LocalModel(str(folder), instruction_template(name), max_new_tokens=12)
    variant = Variant(name="law", role="law", adapter=str(make_adapter(folder, tmp_path / "a", 3)))
    model.use(variant)
    together = model.generate(MESSAGES)
    assert together == [model.generate([messages])[0] for messages in MESSAGES]
    wanted = [
        Continuation(messages, text, ends=ends)
        for messages in MESSAGES
        for text in ("A", "B", "Tres días.")
        for ends in (True, False)
    ]
    values: list[Any] = model.likelihoods(wanted)
    for continuation, value in zip(wanted, values, strict=True):
        row = model.model.answer_row(continuation.messages, continuation.text, ends=continuation.ends)
        answer = [token for token in row.targets if token != IGNORED]
        prompt = row.inputs[: len(row.inputs) - len(answer) + 1]
        ids = torch.tensor([[*prompt, *answer]])
        with torch.no_grad(), model.model.using(variant) as active:
            logprobs = active(input_ids=ids).logits[0].float().log_softmax(-1)  # unpadded, one by one
        alone = sum(logprobs[len(prompt) - 1 + at, token].item() for at, token in enumerate(answer))
        assert value[0] == pytest.approx(alone, abs=2e-4)
        assert value[1] == len(answer)
        assert (answer[-1] == model.model.tokenizer.eos_token_id) is continuation.ends


def test_what_does_not_fit_the_context_is_left_out_and_said(tiny_base: Callable[[str], Path]) -> None:
    model = LocalModel(str(tiny_base("tiny-mistral")), instruction_template("leylora-mistral"), max_new_tokens=4)
    long = [{"role": "user", "content": "palabra " * 3000}]
    answers = model.generate([long, MESSAGES[0]])
    assert answers[0] == ("", 0, False)
    assert answers[1][1] > 0
    likelihoods: list[Any] = model.likelihoods([Continuation(long, "sí"), Continuation(MESSAGES[0], "sí")])
    assert likelihoods[0] is None
    assert likelihoods[1][0] < 0

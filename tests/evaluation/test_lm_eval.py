import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from peft import LoraConfig, get_peft_model

from leylora.errors import UsageError
from leylora.evaluation import lm_eval_bridge
from leylora.evaluation.asking import Ledger
from leylora.evaluation.lm_eval_bridge import SPANISH_TASKS, HarnessResult, cache_name, run_harness
from leylora.evaluation.lm_eval_tasks import LETTERS_TASK, TEXTS_TASK, write_tasks
from leylora.evaluation.local import LocalModel
from leylora.evaluation.marking import choice_values
from leylora.evaluation.questioning import ask_all
from leylora.evaluation.results import Item, Variant
from leylora.evaluation.suites import Sources, questions
from leylora.models.load import load_base
from leylora.models.templates import instruction_template


@pytest.fixture(scope="module")
def items() -> list[Item]:
    asked = questions(["law", "spanish"], Sources()).items
    choices = [item for item in asked["law"] if item.ask == "choose"][:8]
    return [*choices, *asked["spanish"][:2]]


@pytest.fixture(scope="module")
def base(tiny_base: Callable[[str], Path]) -> Path:
    return tiny_base("tiny-mistral")


@pytest.fixture(scope="module")
def variants(base: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Variant]:
    found = [Variant(name="base", role="base")]
    for seed, name in enumerate(("uno", "dos")):
        folder = tmp_path_factory.mktemp("adapters") / name
        torch.manual_seed(seed)
        config = LoraConfig(
            r=8, lora_alpha=64, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM"
        )
        get_peft_model(load_base(str(base), compute_dtype=torch.float32), config).save_pretrained(folder)
        found.append(Variant(name=name, role="other", adapter=str(folder), sha256=f"{seed}" * 64))
    return found


def local(base: Path) -> LocalModel:
    return LocalModel(str(base), instruction_template("leylora-mistral"), max_new_tokens=8)


@pytest.fixture(scope="module")
def harness(
    base: Path, variants: list[Variant], items: list[Item], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[HarnessResult]]:
    pytest.importorskip("lm_eval", reason="the extra lm-eval is not installed")
    out = tmp_path_factory.mktemp("harness")
    return out, run_harness(local(base), variants, items, out)


def value(results: list[HarnessResult], variant: str, task: str, metric: str = "acc") -> float:
    return next(
        one.value for one in results if (one.variant, one.task, one.metric) == (variant, task, metric)
    )  # fmt: skip


def test_multiple_choice_is_what_we_measure(
    base: Path, variants: list[Variant], items: list[Item], harness: tuple[Path, list[HarnessResult]], tmp_path: Path
) -> None:
    model = local(base)
    choices = [item for item in items if item.ask == "choose"]
    accuracies = set()
    for variant in variants:
        answers = ask_all(model, "m", variant, choices, Ledger(tmp_path / variant.name, "m", variant.name))
        values = [choice_values(item, answer) for item, answer in zip(choices, answers, strict=True)]
        letters, texts = (sum(one[key] for one in values) / len(values) for key in ("accuracy", "text"))
        assert value(harness[1], variant.name, LETTERS_TASK) == pytest.approx(letters, abs=1e-9)
        assert value(harness[1], variant.name, TEXTS_TASK) == pytest.approx(texts, abs=1e-9)
        accuracies.add((letters, texts))
    assert len(accuracies) > 1  # the variants differ, so that a mix-up would be seen


def test_no_adapter_gets_the_answers_of_another(
    base: Path, variants: list[Variant], items: list[Item], harness: tuple[Path, list[HarnessResult]]
) -> None:
    out, first = harness
    model = local(base)
    names = {cache_name(model, variant) for variant in variants}
    assert len(names) == len(variants)
    assert {file.name.partition("_rank")[0] for file in (out / "cache").iterdir()} >= names
    backwards = run_harness(model, [variants[2], variants[0]], items, out)  # all from the caches, in another order
    for one in backwards:
        assert one.value == pytest.approx(value(first, one.variant, one.task, one.metric))
    swapped = variants[1].model_copy(update={"sha256": "f" * 64})
    assert cache_name(model, swapped) not in names  # the same name with other weights is asked anew


def test_task_files_hold_the_prompt_once_and_exactly(base: Path, items: list[Item], tmp_path: Path) -> None:
    model = local(base)
    end = str(model.tokenizer.eos_token)
    names = write_tasks(items, tmp_path, model.render, end=end)
    assert names == [LETTERS_TASK, TEXTS_TASK, "leylora_spanish"]
    rows = [json.loads(line) for line in (tmp_path / f"{LETTERS_TASK}.jsonl").read_text("utf-8").splitlines()]
    choices = [item for item in items if item.ask == "choose"]
    assert len(rows) == sum(len(item.orders) for item in choices)
    for number, item in enumerate(choices):
        mine = rows[4 * number : 4 * number + 4]
        assert sorted(row["gold"] for row in mine) == [0, 1, 2, 3]  # the key stands in each place once
        for row in mine:
            assert row["prompt"].count(str(model.tokenizer.bos_token)) == 1
            assert [choice.strip() for choice in row["choices"]] == ["A", "B", "C", "D"]
            right = row["prompt"].partition(f"{'ABCD'[row['gold']]}) ")[2]
            assert right.startswith(item.reference)
    task = yaml.safe_load((tmp_path / f"{LETTERS_TASK}.yaml").read_text("utf-8"))
    assert (task["doc_to_text"], task["num_fewshot"], task["target_delimiter"]) == ("prompt", 0, "")


def test_its_spanish_tasks_exist_under_these_names() -> None:
    pytest.importorskip("lm_eval", reason="the extra lm-eval is not installed")
    import lm_eval.tasks

    folder = Path(lm_eval.tasks.__file__).parent
    places = ("spanish_bench", "include", "eus_exams", "global_mmlu")
    texts = [file.read_text("utf-8") for place in places for file in (folder / place).rglob("*.yaml")]
    named = {line.partition(":")[2].strip() for text in texts for line in text.splitlines()
             if line.startswith(("task:", "group:"))}  # fmt: skip
    assert set(SPANISH_TASKS) <= named


def test_an_unknown_task_and_a_missing_harness_are_one_sentence(
    base: Path, items: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lm_eval_bridge.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install"):
        run_harness(local(base), [], items, tmp_path)

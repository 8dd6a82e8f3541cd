"""The whole job on small models: a law's PDF and Spanish instructions in, a merged adapter and a comparison out.

The tiny models are made here, of random weights. A recipe for a CPU (smollm2-135m, qwen3-0.6b, ...) does the same with
a pretrained base, from the Hub or a folder, in as few steps as a demo allows.

Each stage calls what a user would call, or the library function behind it; training goes through
``accelerate launch train/sft.py`` like a real run. Bases and adapters whose inputs have not changed are kept
from the last time, so an interrupted demo goes on where it was.
"""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from leylora import console
from leylora.adapters.merge import Parent
from leylora.combining import Merging, Training, compare_variants, do, print_table
from leylora.data.build import build
from leylora.data.mixture import Mixture
from leylora.errors import UsageError
from leylora.evaluation.items import Sources
from leylora.evaluation.report import write_report
from leylora.evaluation.run import CompareSettings, compare
from leylora.files import read_jsonl, write_json
from leylora.laws.law import Law
from leylora.laws.parse import parse_file
from leylora.models.bases import TINY_BASES
from leylora.models.tiny import FAMILIES, make_tiny_base
from leylora.project import LORA, MIXTURES, SAMPLES
from leylora.training.recipe import compose, model_names
from leylora.webui.export import export

BUILD = Path("data/build")
SAMPLE_LAW = SAMPLES / "ley-de-muestra.pdf"
BASE_STEPS, QUICK_STEPS = 260, 4
QUESTIONS, ANSWER_TOKENS = 24, 40  # a suite, an answer: enough to show the page in less than a minute a model
COMBINED = ("plain-merge", "combined")
LABELS = {"plain-merge": "plain merge of the two", "combined": "law on top, with replay"}
REAL = {"per_device_train_batch_size": "4", "gradient_accumulation_steps": "1", "max_length": "512"}
REAL |= {"learning_rate": "1e-3", "eval_strategy": "no", "save_strategy": "no", "sample_every": "0"}
"""What a demo changes in the recipe of a pretrained base: 2,048 tokens a step, and steps that move something."""
REAL_STEPS = {"combined-on-top": 24}
ROLES = {"instructions": "instructions", "law": "law", "merged": "combined"}  # role in the report: adapter


@dataclass
class Demo:
    """One demo.

    Attributes:
        family: which small model: one of `leylora.models.tiny.FAMILIES`, or a recipe for a CPU.
        law_file: a real law instead of the sample, or None.
        quick: a few steps a training: everything runs, the figures mean nothing.
        base_steps: steps of the base's pre-training.
        base_folder: where a pretrained base lies, in place of the Hub.
    """

    family: str
    law_file: Path | None = None
    quick: bool = False
    base_steps: int = BASE_STEPS
    base_folder: Path | None = None

    def __post_init__(self) -> None:
        small = [name for name in real_bases() if name.startswith(self.family)]
        if self.family not in FAMILIES and len(small) != 1:
            raise UsageError(
                f"There is no small model '{self.family}'; there are {', '.join([*FAMILIES, *real_bases()])}."
            )
        if self.base_folder is not None and self.tiny:
            raise UsageError(f"The base of {self.family} is made here; leave BASE out, or name a real model's recipe.")
        if self.base_folder is not None and not (self.base_folder / "config.json").is_file():
            raise UsageError(f"{self.base_folder} is not the folder of a base model: it holds no config.json.")

    @property
    def tiny(self) -> bool:
        """Whether the base is made here."""
        return self.family in FAMILIES

    @property
    def recipe(self) -> str:
        """The name of the recipe in train/recipes."""
        return self.family if self.tiny else next(name for name in real_bases() if name.startswith(self.family))

    @property
    def folder(self) -> Path:
        """Where the demo's own files go."""
        return BUILD / "demo" / self.family

    @property
    def base(self) -> str:
        """The base's folder, or its name at the Hub."""
        if self.tiny:
            return str(TINY_BASES / self.family)
        return str(self.base_folder or compose(self.recipe, "law")["model_name_or_path"])

    @cached_property
    def law_id(self) -> str:
        """A short name for the law taken instead of the sample; empty for the sample."""
        if self.law_file is None:
            return ""
        return re.sub(r"[^a-z0-9]+", "-", self.law_file.stem.lower()).strip("-") or "law"

    @property
    def law_data(self) -> Path:
        """The dataset of the law taken."""
        return BUILD / (f"tiny-law-{self.law_id}" if self.law_id else "tiny-law")

    def lora(self, adapter: str) -> Path:
        """The folder of one of the demo's adapters; a real law's adapters carry its name."""
        law = f"-{self.law_id}" if self.law_id and adapter != "instructions" else ""
        return LORA / f"{self.family}{law}-{adapter}"

    def run(self) -> Path:
        """Do the whole job and give the folder of its results.

        Raises:
            LeyloraError: a stage failed.
        """
        console.out.rule(f"[bold]{self.family}")
        law = None if self.law_file is None else self.parse(self.law_file, self.law_id)  # first, lest it fail late
        instructions, data = self.prepare()
        if law is not None:
            data = self.build_dataset("tiny-law", [law], self.law_data)

        self.train("instructions", "instructions", instructions)
        self.train("law", "law", data)
        self.train("law-on-top", "combined-on-top", data)
        self.merge("plain-merge", "instructions", "law")
        self.merge("combined", "instructions", "law-on-top")

        losses = compare_variants(
            self.base,
            {name: self.lora(name) for name in ("instructions", "law", *COMBINED)},
            {"law": data, "instructions": instructions},
            COMBINED,
            ("validation", "test"),
            max_length=512,
        )
        write_json(self.folder / "comparison.json", [row.model_dump() for row in losses])
        install = self.export()
        print_table(losses, LABELS)
        places = {
            "corpus": BUILD / "demo" / "laws",
            "adapters": LORA,
            "exported": f"{install} (a stand-in that shows the layout; no webui to start)",
            "figures": self.folder / "comparison.json",
        }
        for what, path in places.items():
            console.say(f"{what:<13} {path}")
        console.say(
            f"chat          python scripts/chat.py --adapter {self.lora('combined').name} --laws {places['corpus']}"
        )
        return self.folder

    def prepare(self) -> tuple[Path, Path]:
        """The folders of the two sample datasets, and a tiny base pre-trained on their plain text."""
        instructions = self.build_dataset("tiny-instructions", [], BUILD / "tiny-instructions")
        law = self.build_dataset("tiny-law", [self.parse(SAMPLE_LAW, "ley-de-muestra")], BUILD / "tiny-law")
        if not self.tiny:
            return instructions, law
        # The base learns what users say and show in the training rows. Answers are left out, so that what an adapter
        # gains is not what its base has read before.
        rows = [row for folder in (instructions, law) for _, row in read_jsonl(folder / "train.jsonl")]
        prompts = [turn["content"] for row in rows for turn in row["messages"] if turn["role"] != "assistant"]
        texts = [text for prompt in prompts for text in prompt.split("\n\n")]
        made = make_tiny_base(self.family, texts, Path(self.base), steps=QUICK_STEPS if self.quick else self.base_steps)
        console.say(f"base model    {'made' if made else 'kept from the last time'} -> {self.base}")
        return instructions, law

    def parse(self, file: Path, law_id: str) -> Law:
        """A law's corpus, saved with its audit."""
        law = parse_file(file, law_id=law_id)
        folder = law.save(BUILD / "demo" / "laws" / law.id)
        console.say(f"law           {file.name}: {len(law)} articles of {law.name} -> {folder}")
        return law

    def build_dataset(self, mixture: str, laws: list[Law], out: Path) -> Path:
        """A dataset folder from one of the small mixtures."""
        report = build(Mixture.load(MIXTURES / f"{mixture}.yaml"), laws, out, overwrite=True)
        rows = ", ".join(f"{count} {split}" for split, count in report.rows.items())
        console.say(f"dataset       {rows} rows -> {out}")
        return out

    def train(self, adapter: str, recipe: str, dataset: Path) -> None:
        """Train one adapter with its recipe, unless the one that is there came from the same inputs."""
        changes = {"dataset_name": str(dataset)}
        if not self.tiny:
            changes |= REAL | {"model_name_or_path": self.base, "max_steps": str(REAL_STEPS.get(recipe, 12))}
        if not self.tiny and recipe == "combined-on-top":
            changes |= {
                "frozen_adapter": str(self.lora("instructions")),
                "replay_dataset": str(BUILD / "tiny-instructions"),
            }
        changes |= {"max_steps": str(QUICK_STEPS)} if self.quick else {}
        do(Training(self.recipe, recipe, self.lora(adapter), changes), overwrite=True)

    def merge(self, name: str, first: str, second: str) -> None:
        """The exact sum of two adapters as one."""
        parents = (Parent(self.lora(first)), Parent(self.lora(second)))
        do(Merging(self.lora(name), parents, picture=False), overwrite=True)

    def export(self) -> Path:
        """Three adapters, their template and presets in the empty folders of a text-generation-webui."""
        install = fresh_install(self.folder / "text-generation-webui")
        export(install, [self.lora(kind).name for kind in ("instructions", "law", "combined")])
        return install


def real_bases() -> list[str]:
    """The recipes that ask for no card."""
    return [name for name in model_names() if name not in FAMILIES and compose(name, "law")["min_gpu_memory_gib"] == 0]


def fresh_install(folder: Path) -> Path:
    """Make ``folder`` look like an empty text-generation-webui of today's layout, in place of the last demo's."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("loras", "presets", "instruction-templates", "models"):
        (folder / "user_data" / name).mkdir(parents=True)
    (folder / "server.py").write_text("# stands for text-generation-webui's own server.py\n", encoding="utf-8")
    return folder


def write_closing_report(demos: Sequence[Demo]) -> Path:
    """Ask every model's base and adapters the same held-out questions, and give the page with the answers.

    Questions come from the test rows of the demo's own datasets: the benchmark asks of real laws, and models this
    small know none.
    """
    first = demos[0]
    out = BUILD / "demo" / (f"report-{first.law_id}" if first.law_id else "report")
    quick = first.quick
    compare(
        [demo.base for demo in demos],
        out,
        adapters=[",".join(f"{role}={demo.lora(name)}" for role, name in ROLES.items()) for demo in demos],
        sources=Sources(
            benchmark=None,
            laws=(BUILD / "demo" / "laws" / (first.law_id or "ley-de-muestra"),),
            law_rows=(first.law_data,),
            instruction_rows=(BUILD / "tiny-instructions",),
        ),
        settings=CompareSettings(max_new_tokens=4 if quick else ANSWER_TOKENS, limit=3 if quick else QUESTIONS),
        command="make demo",
    )
    return write_report(out)[0]

"""The launchers' configurations: parsed by accelerate's own classes, and the scripts run against stand-ins."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from accelerate.commands.config.config_args import ClusterConfig
from accelerate.commands.launch import launch_command_parser
from accelerate.utils import DistributedType

from leylora.training.recipe import compose, recipe_of

TRAIN = Path(__file__).parents[2] / "train"
CONFIGS = sorted((TRAIN / "accelerate").glob("*.yaml"))
KINDS = {
    "cpu": DistributedType.NO,
    "one-gpu": DistributedType.NO,
    "ddp": DistributedType.MULTI_GPU,
    "fsdp-qlora": DistributedType.FSDP,
    "zero3": DistributedType.DEEPSPEED,
}
SKY_KEYS = {"name", "workdir", "num_nodes", "resources", "envs", "secrets", "file_mounts", "setup", "run", "config"}
SKY_RESOURCES = {
    "infra",
    "accelerators",
    "accelerator_args",
    "cpus",
    "memory",
    "instance_type",
    "use_spot",
    "disk_size",
    "disk_tier",
    "network_tier",
    "max_hourly_cost",
    "image_id",
    "ports",
    "labels",
    "autostop",
    "any_of",
    "ordered",
    "job_recovery",
}
SKY_VARIABLES = {
    "SKYPILOT_NODE_RANK",
    "SKYPILOT_NODE_IPS",
    "SKYPILOT_NUM_NODES",
    "SKYPILOT_NUM_GPUS_PER_NODE",
    "SKYPILOT_TASK_ID",
}
STAND_IN = '#!/bin/bash\nprintf "%s\\n" "$0" "$@" > "{out}/$SLURM_NODEID$SKYPILOT_NODE_RANK"\n'


def test_there_is_a_configuration_for_every_kind() -> None:
    assert {path.stem for path in CONFIGS} == set(KINDS)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_accelerate_knows_every_key(path: Path) -> None:
    config = ClusterConfig.from_yaml_file(str(path))  # refuses unknown keys at the top level
    assert config.distributed_type == KINDS[path.stem]
    assert config.mixed_precision == "no", "the recipe says the precision"
    options = vars(launch_command_parser().parse_args(["train/sft.py"]))
    for key in [*config.fsdp_config, *config.deepspeed_config]:  # below it, launch drops what it does not know
        assert key in options, f"{path.name}: accelerate launch has no option {key}"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_header_s_command_is_one_that_parses(path: Path) -> None:
    head = [line.removeprefix("#").strip() for line in path.read_text("utf-8").splitlines() if line.startswith("#")]
    text = " ".join(head).replace(" \\ ", " ")
    command = re.search(r"accelerate launch (.*?)(?= (?:On cards|Twice|Tested|Tried|The recipe)|$)", text)
    assert command is not None
    words = command.group(1).replace("…", "").split()
    arguments = launch_command_parser().parse_args(words)
    assert arguments.config_file == f"train/accelerate/{path.name}"
    assert arguments.training_script == "train/sft.py"
    recipe_of([word for word in arguments.training_script_args if word != "\\"])  # it is there


def test_fsdp_and_zero3_keep_what_qlora_needs() -> None:
    fsdp = ClusterConfig.from_yaml_file(str(TRAIN / "accelerate" / "fsdp-qlora.yaml")).fsdp_config
    assert fsdp["fsdp_version"] == 2
    assert not fsdp["fsdp_cpu_ram_efficient_loading"]
    zero3 = ClusterConfig.from_yaml_file(str(TRAIN / "accelerate" / "zero3.yaml")).deepspeed_config
    assert (zero3["zero_stage"], zero3["zero3_init_flag"]) == (3, True)


def launched(out: Path, machine: int) -> Any:
    """What the stand-in for accelerate was called with on a machine, as accelerate's launcher reads it."""
    program, command, *words = (out / str(machine)).read_text().splitlines()
    assert (Path(program).name, command) == ("accelerate", "launch")
    return launch_command_parser().parse_args(words)


def stand_ins(folder: Path, commands: dict[str, str]) -> Path:
    """A folder of executables; `accelerate` writes down its arguments."""
    (folder / "bin").mkdir()
    for name, text in {**commands, "accelerate": STAND_IN.format(out=folder)}.items():
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    return folder


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_slurm_script_starts_one_launcher_a_machine(tmp_path: Path) -> None:
    script = TRAIN / "launch" / "slurm.sbatch"
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    srun = '#!/bin/bash\nshift\nfor machine in 0 1; do SLURM_NODEID=$machine "$@"; done\n'
    folder = stand_ins(tmp_path, {"srun": srun, "scontrol": "#!/bin/bash\nprintf 'node7\\nnode8\\n'\n"})
    environment = {
        "PATH": f"{folder}/bin:{os.environ['PATH']}",
        "VENV": str(folder),
        "SLURM_JOB_NODELIST": "node[7-8]",
        "SLURM_JOB_ID": "123456",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_GPUS_ON_NODE": "4",
    }
    words = ["--model", "mistral-7b", "--max_steps", "5", "--output_dir", "LORA/two words"]
    subprocess.run(["bash", script, *words], env=environment, check=True, cwd=TRAIN.parent)
    for machine in (0, 1):
        asked = launched(folder, machine)
        assert (asked.num_machines, asked.num_processes, asked.machine_rank) == (2, 8, machine)
        assert (asked.main_process_ip, asked.main_process_port) == ("node7", 23456)
        assert (TRAIN.parent / asked.config_file).is_file()
        assert [asked.training_script, *asked.training_script_args] == ["train/sft.py", *words]
    missing = subprocess.run(["bash", script], env=environment, capture_output=True, text=True, check=False)
    assert missing.returncode != 0
    assert "say what to train" in missing.stderr


def sky() -> dict[str, Any]:
    return yaml.safe_load((TRAIN / "launch" / "sky.yaml").read_text("utf-8"))


def test_the_sky_task_has_only_documented_keys() -> None:
    task = sky()
    assert set(task) <= SKY_KEYS
    assert set(task["resources"]) <= SKY_RESOURCES
    assert set(task["resources"]["autostop"]) <= {"idle_minutes", "down", "wait_for", "hook", "hook_timeout"}
    used = set(re.findall(r"SKYPILOT_\w+", task["setup"] + task["run"]))
    assert used <= SKY_VARIABLES
    for key in ("MIXTURE", "LAUNCH"):
        assert (TRAIN.parent / task["envs"][key]).is_file()
    assert compose(task["envs"]["MODEL"], task["envs"]["ADAPTER"])["dataset_name"] == task["envs"]["DATASET"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_sky_task_runs_one_launcher_a_machine(tmp_path: Path) -> None:
    task, folder = sky(), stand_ins(tmp_path, {})
    (folder / ".venv").symlink_to(folder)
    environment = {**task["envs"], "OPTIONS": "--max_steps 5", "PATH": os.environ["PATH"], "SKYPILOT_NODE_RANK": "1"}
    environment |= {"SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2", "SKYPILOT_NUM_NODES": "2"}
    environment |= {"SKYPILOT_NUM_GPUS_PER_NODE": "4"}
    assert subprocess.run(["bash", "-n", "-c", task["setup"]], check=False).returncode == 0
    subprocess.run(["bash", "-c", task["run"]], env=environment, check=True, cwd=folder)
    asked = launched(folder, 1)
    assert (asked.num_machines, asked.num_processes, asked.machine_rank) == (2, 8, 1)
    assert asked.main_process_ip == "10.0.0.1"
    assert asked.training_script_args == ["--model", "mistral-7b", "--adapter", "instructions", "--max_steps", "5"]

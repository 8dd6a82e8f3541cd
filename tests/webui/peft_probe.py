"""Run inside an environment with some PEFT: load an adapter as the webui does and print what became of it.

    python peft_probe.py ADAPTER_FOLDER

Prints one JSON object: the versions, whether it loaded or why not, and the largest difference between the change it
makes to its weights and scaling * B @ A, computed here from the files alone.
"""

import json
import sys
from pathlib import Path


def main(folder: Path) -> dict[str, object]:
    import peft
    import torch
    import transformers
    from peft import PeftModel
    from safetensors.torch import load_file
    from transformers import MistralConfig, MistralForCausalLM

    found: dict[str, object] = {"peft": peft.__version__, "transformers": transformers.__version__}
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=64,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    model = MistralForCausalLM(config).eval()
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    try:
        adapted = PeftModel.from_pretrained(model, str(folder), adapter_name=folder.name)
    except (TypeError, ValueError, RuntimeError, KeyError) as error:
        return {**found, "loads": False, "why": f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"}
    merged = adapted.merge_and_unload()
    written = json.loads((folder / "adapter_config.json").read_text())
    scaling = written["lora_alpha"] / written["r"]
    tensors = load_file(folder / "adapter_model.safetensors")
    worst = 0.0
    for key in (key for key in tensors if ".lora_A." in key):
        name = key.removeprefix("base_model.model.").replace(".lora_A.weight", ".weight")
        delta = scaling * tensors[key.replace("lora_A", "lora_B")] @ tensors[key]
        change = dict(merged.named_parameters())[name].detach() - before[name]
        worst = max(worst, float((change - delta).abs().max()))
    return {**found, "loads": True, "error": worst}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))

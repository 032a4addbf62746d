"""What all trainings through TRL share: quiet, seeded arguments, and a supervised run."""

from collections.abc import Mapping, Sequence
from tempfile import TemporaryDirectory
from typing import Any


def trainer_arguments(scratch: str, *, seed: int, steps: int, device: str, **more: Any) -> dict[str, Any]:
    """Return the arguments of a trainer that prints, reports and saves nothing.

    Args:
        scratch: The only folder that the trainer writes to.
        seed: Of the order of the data, and of the model.
        steps: How many updates are made.
        device: "cuda" or "cpu".
        more: More arguments of the trainer's configuration.
    """
    return {
        "output_dir": scratch,
        "seed": seed,
        "data_seed": seed,
        "max_steps": steps,
        "activation_checkpointing": False,
        "router_aux_loss_coef": 0.0,  # no adapter has weights on a router of experts
        "bf16": device == "cuda",
        "use_cpu": device == "cpu",
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        **more,
    }


def train_supervised(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Mapping[str, Any]],
    callback: Any,
    **settings: Any,
) -> None:
    """Train a model by TRL's SFTTrainer; only completions count in the loss.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        rows: Texts under "prompt" and "completion".
        callback: A callback of transformers, for the progress.
        settings: Those of `trainer_arguments`, and more of `trl.SFTConfig`.
    """
    from datasets import Dataset, disable_progress_bars
    from transformers import PrinterCallback
    from trl import SFTConfig, SFTTrainer

    disable_progress_bars()  # they would write into the command's own progress
    with TemporaryDirectory() as scratch:
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(
                **trainer_arguments(scratch, **settings),
                completion_only_loss=True,
                max_length=None,
            ),
            train_dataset=Dataset.from_list([dict(row) for row in rows]),
            processing_class=tokenizer,
            callbacks=[callback],
        )
        trainer.remove_callback(PrinterCallback)  # it would print beside the command's own output
        trainer.train()

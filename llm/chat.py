"""A model's tokenizer and its chat template: loading them, and what a template does with a system message."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engine.errors import StudentError
from llm.model_files import first_line, vocabulary_size
from llm.prompts import Messages

_PROBE: Messages = [
    {"role": "system", "content": "closecall-task"},
    {"role": "user", "content": "closecall-data"},
]


PLAIN_TEMPLATE = (
    "{{ bos_token if bos_token is defined and bos_token else '' }}"
    "{% for message in messages %}{{ message.content + '\n\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Answer:\n' }}{% endif %}"
)
"""For a tokenizer without a chat template, such as that of a base model."""

_ANSWER = '{"direction": "up", "confidence": 0.60, "close": 100.50}'


def load_tokenizer(folder: Path) -> Any:
    """Return the tokenizer of a model's folder or GGUF file, padding on the left.

    One without a chat template gets `PLAIN_TEMPLATE`.

    Raises:
        StudentError: For one without an end, one that cannot write an answer, and one that needs a package
            that is missing.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
        if folder.is_file():
            tokenizer = PreTrainedTokenizerFast.from_pretrained(
                folder.parent, gguf_file=folder.name, local_files_only=True
            )
        else:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers raises errors of many kinds here
        if (package := _missing_package(folder)) is None:
            raise
        raise StudentError(
            f"{folder}: its tokenizer.model needs the package {package}, which is not installed; install it "
            f"(pip install {package}), or save the tokenizer as tokenizer.json"
        ) from error
    if tokenizer.chat_template is None:
        tokenizer.chat_template = PLAIN_TEMPLATE
    if tokenizer.eos_token_id is None:
        raise StudentError(f"{folder}: the tokenizer names no token that ends a text (eos_token); add it")
    tokenizer.padding_side = "left"
    size = vocabulary_size(folder)
    if tokenizer.pad_token_id is None or (size and tokenizer.pad_token_id >= size):
        # A token that was added for padding alone is not among the model's own.
        tokenizer.pad_token = tokenizer.eos_token
    written = tokenizer.decode(tokenizer(_ANSWER, add_special_tokens=False).input_ids)
    if written.strip() != _ANSWER:
        raise StudentError(
            f"{folder}: its tokenizer turns an answer into {written[:40]!r}, so answers could not be read; "
            "use a model that generates text"
        )
    return tokenizer


def render(tokenizer: Any, messages: Messages, *, thinking: bool = False) -> str:
    """Return chat messages as the text that a model answers.

    Args:
        tokenizer: The tokenizer, with its chat template.
        messages: The messages.
        thinking: Whether the model reasons before it answers. If not, a block of reasoning that the template
            opens by itself, as DeepSeek-R1's does, is closed again.
    """
    text = str(
        tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, enable_thinking=thinking
        )
    )
    if not thinking and text.rstrip().endswith("<think>"):
        return f"{text.rstrip()}\n\n</think>\n\n"
    return text


def takes_system_message(tokenizer: Any, folder: Path) -> bool:
    """Return whether the chat template has a place for a system message, which some refuse or drop.

    Raises:
        StudentError: For a template that cannot even be used for one user message.
    """
    try:
        text = render(tokenizer, _PROBE[1:])
    except Exception as error:  # jinja's errors, and what a template raises by itself
        raise StudentError(
            f"{folder}: its chat template cannot be used for one user message ({first_line(error)}); "
            "use another model"
        ) from error
    if _PROBE[1]["content"] not in text:
        raise StudentError(f"{folder}: its chat template drops the user's message; use another model")
    try:
        return _PROBE[0]["content"] in render(tokenizer, _PROBE)
    except Exception:  # as above: the template refuses the role, so its text goes into the user message
        return False


def _missing_package(folder: Path) -> str | None:
    """Return the package that reads the folder's only tokenizer file, where it is not installed."""
    path = folder / "tokenizer.model"
    if (folder / "tokenizer.json").is_file() or not path.is_file():
        return None
    with path.open("rb") as file:  # a sentencepiece model begins with the tag of its first field
        package = "sentencepiece" if file.read(1) == b"\n" else "tiktoken"
    return None if find_spec(package) else package

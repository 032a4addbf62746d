"""Check the answers of a run or session: against the answer cache, and by asking its student again.

A journal holds the prompt and the raw answer of each forecast under its chain. The cache holds them again,
each sealed with a key. Whoever can write both files and knows the key can still forge them: asking again is
the proof.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.errors import INCOMPATIBLE, ClosecallError, JournalError
from engine.instruments import Instrument
from engine.journal.events import Kind, decode_as, input_seq
from engine.journal.events.inputs import ModelAdopted
from engine.journal.events.outputs import PredictionRecord
from engine.journal.events.sessions import RunSettings, RunStarted, SessionStarted
from engine.journal.journal import Journal
from llm.answer_cache import AnswerCache, Seal, StoredAnswer, answer_digest
from llm.answers import remove_probability
from llm.backends import load_student, repeats_answers
from llm.model_files import fingerprint
from llm.student import Student, StudentSettings
from strategies.config import BacktestConfig
from strategies.students import recorded_settings

Load = Callable[[StudentSettings], Student]
_MAX_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """A forecast's prompt and raw answer as journaled, and the student that gave it.

    `adapter` is the folder of an adapter in place of the configuration's.
    """

    place: str
    prompt: str
    text: str
    fingerprint: str
    adapter: Path | None

    @property
    def digest(self) -> str:
        return answer_digest(self.fingerprint, self.prompt)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerReport:
    """What was found of the raw answers that a journal holds.

    Attributes:
        answers: How many it holds.
        verified: How many the cache holds too, equal and with a valid seal.
        unverified: How many the cache holds, equal, without a seal.
        missing: How many the cache does not hold.
        differences: Answers that differ or were edited, in words, the first few.
        num_different: How many those are.
        asked: How many prompts the student was asked again.
        equal: How many of its answers were equal to those of the journal.
        repeats: Whether equal prompts have equal answers here, so that a difference is a fault.
        not_asked: Why the student could not be asked; empty if it was, or was not to be.
    """

    answers: int
    verified: int
    unverified: int
    missing: int
    differences: tuple[str, ...]
    num_different: int
    asked: int = 0
    equal: int = 0
    repeats: bool = True
    not_asked: str = ""

    @property
    def proved(self) -> bool:
        """Return whether nothing speaks against the answers."""
        return (
            not self.num_different and not self.not_asked and (self.equal == self.asked or not self.repeats)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Students:
    """The students of a run or session, by the folder of an adapter in place of the configuration's."""

    config: BacktestConfig
    instruments: Mapping[str, Instrument]
    loader: Load

    def settings(self, adapter: Path | None) -> StudentSettings:
        return recorded_settings(self.config, self.instruments, adapter)

    def load(self, adapter: Path | None) -> Student:
        return self.loader(self.settings(adapter))

    def repeat(self, adapter: Path | None) -> bool:
        return repeats_answers(self.settings(adapter))


def check_answers(
    journal: Journal, data_dir: Path, *, ask: int = 0, load: Load = load_student
) -> AnswerReport:
    """Compare the raw answers of a run or session with the cache, and ask a sample of its prompts again.

    Answers that the student gives again get a seal in the cache.

    Args:
        journal: The journal of the run or session.
        data_dir: The data folder, with the cache.
        ask: How many prompts are asked again, spread over all of them; with 0 no weights are loaded.
        load: Loads the student.

    Raises:
        JournalError: For a journal or a cache that cannot be read.
    """
    started = _read_start(journal)
    students = _Students(config=_read_config(journal, started), instruments=started.instruments, loader=load)
    answers = list(_read_answers(journal, started, students, data_dir))
    path = data_dir / "ledger.sqlite"
    if not (ask or path.is_file()):
        return _compare_all(answers, {}, started)  # a check makes no file
    with AnswerCache(path) as cache:
        stored = cache.inspect_many(list(dict.fromkeys(each.digest for each in answers)))
        report = _compare_all(answers, stored, started)
        by_digest = {each.digest: each for each in answers}
        sample = [by_digest[digest] for digest in sorted(by_digest)[:ask]]  # a digest is as good as a draw
        return _ask_again(report, sample, started, students, cache) if sample else report


def _compare_all(
    answers: Sequence[_Answer], stored: Mapping[str, StoredAnswer], started: SessionStarted
) -> AnswerReport:
    different = [text for each in answers if (text := _compare(each, stored.get(each.digest), started))]
    seals = [stored[each.digest].seal for each in answers if each.digest in stored]
    return AnswerReport(
        answers=len(answers),
        verified=seals.count(Seal.VERIFIED),
        unverified=seals.count(Seal.UNVERIFIED),
        missing=len(answers) - len(seals),
        num_different=len(different),
        differences=tuple(different[:_MAX_NAMED]),
    )


def _read_start(journal: Journal) -> SessionStarted:
    """Return what a run or session states before its first forecast."""
    for row in journal.read(kinds=(Kind.SETTINGS, Kind.SESSION_STARTED)):
        return decode_as(RunSettings if row.kind == Kind.SETTINGS else SessionStarted, row)
    raise JournalError(f"{journal.session} does not state its student; run the backtest again")


def _read_config(journal: Journal, started: SessionStarted) -> BacktestConfig:
    first = next(journal.read(kinds=(Kind.RUN_STARTED,)), None)
    stated = decode_as(RunStarted, first).config if first else started.about.get("config", {})
    try:
        return BacktestConfig.model_validate(stated)
    except ValueError as error:
        raise JournalError(
            f"the configuration of {journal.session} cannot be read; {INCOMPATIBLE}"
        ) from error


def _read_answers(
    journal: Journal, started: SessionStarted, students: _Students, data_dir: Path
) -> Iterator[_Answer]:
    """Yield the answers of a journal in its order, each with the student of its time."""
    adopted = [(row.seq, decode_as(ModelAdopted, row)) for row in journal.read(kinds=(Kind.ADOPTED,))]
    folds = _load_folds(journal, students, data_dir)
    for row in journal.read(kinds=(Kind.FORECAST,)):
        record = decode_as(PredictionRecord, row)
        if not (record.prompt and record.call.text):
            continue
        answer = _Answer(
            place=f"{record.call.symbol} at {row.as_of:%Y-%m-%d %H:%M}",
            prompt=record.prompt,
            text=record.call.text,
            fingerprint=started.fingerprint,
            adapter=None,
        )
        if record.adapter in folds:
            answer = replace(answer, **folds[record.adapter])
        elif adopted and (past := [model for seq, model in adopted if seq <= input_seq(row)]):
            folder = Path(past[-1].adapter) if past[-1].adapter else None
            answer = replace(answer, fingerprint=past[-1].fingerprint, adapter=folder)
        yield answer


def _load_folds(journal: Journal, students: _Students, data_dir: Path) -> dict[str | None, dict[str, Any]]:
    """Return the student of each fold of a walk-forward, by the fingerprint of its adapter."""
    if next(journal.read(kinds=(Kind.WALKFORWARD_STARTED,)), None) is None:
        return {}
    folds: dict[str | None, dict[str, Any]] = {}
    for folder in sorted((data_dir / "runs" / journal.session / "adapters").glob("*")):
        folds[fingerprint([folder])] = {"fingerprint": students.load(folder).fingerprint, "adapter": folder}
    return folds


def _compare(answer: _Answer, stored: StoredAnswer | None, started: SessionStarted) -> str:
    """Return how an answer and that of the cache differ, or how the latter was edited; empty if not."""
    if stored is None:
        return ""
    text = _as_journaled(stored.answer, started)
    if text != answer.text:
        return f"{answer.place}: the ledger has {text!r:.120}, the journal {answer.text!r:.120}"
    return f"{answer.place}: edited in the ledger" if stored.seal is Seal.ALTERED else ""


def _as_journaled(text: str, started: SessionStarted) -> str:
    """Return a raw answer as the journal of a session keeps it: not all keep the token probability."""
    is_run = isinstance(started, RunSettings)
    return text if is_run or started.token_probabilities else remove_probability(text)


def _as_kept(text: str, kept: str) -> str:
    """Return a new answer, without its token probability where that is all that an earlier version lacked."""
    plain = remove_probability(text)
    return plain if plain == kept else text


def _ask_again(
    report: AnswerReport,
    sample: Sequence[_Answer],
    started: SessionStarted,
    students: "_Students",
    cache: AnswerCache,
) -> AnswerReport:
    """Return the report with what the students answer to the prompts of a sample now."""
    by_student: dict[tuple[Path | None, str], list[_Answer]] = {}
    for each in sample:
        by_student.setdefault((each.adapter, each.fingerprint), []).append(each)
    equal, different, repeats = 0, list[str](), True
    for (adapter, expected), answers in by_student.items():
        try:
            student = students.load(adapter)
            if student.fingerprint != expected:
                return replace(report, not_asked=_describe_other(student, expected))
            texts = student.answer([each.prompt for each in answers], lambda *_: None)
        except ClosecallError as error:
            return replace(report, not_asked=str(error))
        pairs = list(zip(answers, texts, strict=True))
        if isinstance(started, RunSettings):
            pairs = [(each, _as_kept(text, each.text)) for each, text in pairs]
        same = [(each, text) for each, text in pairs if _as_journaled(text, started) == each.text]
        rows = [{"digest": each.digest, "prompt": each.prompt, "answer": text} for each, text in same]
        cache.put_many(expected, rows)
        equal += len(same)
        different += [
            f"{each.place}: asked again, {text!r:.120}, the journal has {each.text!r:.120}"
            for each, text in pairs
            if (each, text) not in same
        ]
        repeats = repeats and students.repeat(adapter)
    return replace(
        report,
        asked=len(sample),
        equal=equal,
        repeats=repeats,
        differences=(*report.differences, *different[:_MAX_NAMED]),
    )


def _describe_other(student: Student, expected: str) -> str:
    return (
        f"student {student.name} has the fingerprint {student.fingerprint[:12]} here, and {expected[:12]} "
        "answered: its files, its code or the device differ"
    )

"""One forecast of one symbol from its newest closed bar, outside any run or session."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from engine.errors import DataError
from engine.model import Forecast, Prediction
from engine.timeline import MIN_BARS, build_observations
from feeds.history.store import BarStore
from llm.answer_cache import AnswerCache, answer_digest
from llm.backends import load_student
from llm.forecaster import read_answer, view
from llm.student import DecodingMode, Student
from strategies.config import BacktestConfig, student_settings
from strategies.data_folder import BARS_FOLDER
from strategies.market_data import MarketData, load_market_data
from strategies.students import settle_student


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestForecast:
    """A forecast with all that led to it.

    Attributes:
        call: The forecast, or the abstention.
        prompt: The text that the student was given.
        plain_prompt: The same without a mask; None where the prompt was not masked.
        answer: Its raw output.
        latency: Seconds from the prompt to the answer, the weights being loaded.
        fingerprint: The SHA-256 over all but the prompt that decides the answer.
        mode: How the answer was taken from the model.
        notes: Sentences about the data and the student.
    """

    call: Prediction
    prompt: str
    plain_prompt: str | None
    answer: str
    latency: float
    fingerprint: str
    mode: DecodingMode
    notes: tuple[str, ...]

    @property
    def probability_up(self) -> float | None:
        """The probability of a rise: of the tokens where it is known, else as stated."""
        if not isinstance(self.call, Forecast):
            return None
        token = self.call.token_probability_up
        return self.call.probability_up if token is None else token


def forecast_latest(
    symbol: str, config: BacktestConfig, *, data_dir: Path, clock: Callable[[], datetime]
) -> LatestForecast:
    """Ask the student about the newest close of a symbol, and record its answer in the answer cache.

    Args:
        symbol: The symbol.
        config: Where its bars and news come from, and which student answers how. Without bars and store all
            stored sources are looked through.
        data_dir: The data folder.
        clock: Returns the current time in UTC; bars that close later are left out.

    Raises:
        DataError: Where there are no bars of the symbol, or too few.
        StudentError: For a student that cannot be used.
    """
    market = _load_market(symbol, config, data_dir, clock())
    config, market, student = settle_student(config, market, load_student)
    seen = build_observations(market.bars, market.news, window=student.window, start=market.start)
    if not seen:
        raise DataError(f"{symbol}: fewer than {MIN_BARS} closed bars; a forecast needs so many")
    observation = view(seen[-1], config.task)
    prompt = student.prompt(observation)
    _load_weights(student)
    began = time.perf_counter()
    (answer,) = student.answer([prompt], lambda *_: None)
    latency = time.perf_counter() - began
    with AnswerCache(data_dir / "ledger.sqlite") as cache:
        digest = answer_digest(student.fingerprint, prompt)
        cache.put_many(student.fingerprint, [{"digest": digest, "prompt": prompt, "answer": answer}])
    plain = None
    if config.mask:
        unmasked = config.model_copy(update={"mask": False})
        plain = load_student(student_settings(unmasked)).prompt(observation)
    return LatestForecast(
        call=read_answer(answer, observation, config.task),
        prompt=prompt,
        plain_prompt=plain,
        answer=answer,
        latency=latency,
        fingerprint=student.fingerprint,
        mode=config.mode,
        notes=(*market.notes, *student.notes),
    )


def _load_market(symbol: str, config: BacktestConfig, data_dir: Path, now: datetime) -> MarketData:
    if not (config.bars or config.store):
        store = BarStore(data_dir / BARS_FOLDER)
        sources = tuple(source for source in store.sources() if symbol in store.symbols(source))
        if not sources:
            raise DataError(
                f"no bars of {symbol} in the store ({store.root}); name a file with --bars, or a source to "
                "ask with --source"
            )
        config = config.model_copy(update={"store": sources})
    market = load_market_data(config.model_copy(update={"symbols": (symbol,)}), data_dir)
    closed = {name: [bar for bar in series if bar.closes_at <= now] for name, series in market.bars.items()}
    return replace(market, bars=closed)


def _load_weights(student: Student) -> None:
    """Read the weights of a student that has them here, so that the latency is the answer's alone."""
    getattr(student, "model", None)

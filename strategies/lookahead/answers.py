"""Whether prompts and answers depend on later data, or answers on the prompts asked beside them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from random import Random

from engine.errors import StudentError
from engine.model import Forecast, Observation, Prediction
from engine.timeline import build_observations
from llm.forecaster import read_answer, view
from llm.student import BatchedStudent, Student
from strategies.lookahead.asking import Questioner
from strategies.lookahead.base_run import BaseRun, Key
from strategies.lookahead.comparison import describe_prediction, describe_world
from strategies.lookahead.report import Leak, LeakKind
from strategies.lookahead.worlds import Alteration, World

_MAX_ASKED = 300
_LEAST_ASKED = 12


class AnswerCheck:
    """Asks the student of a run again.

    About half of the run's answers are asked for at the closes, spread over `points`, and at most 300 for
    each of the other comparisons.
    """

    def __init__(self, run: BaseRun, create: Callable[[World], Student], rng: Random, points: int) -> None:
        self._run = run
        self._create = create
        self._rng = rng
        self._at_each = max(_LEAST_ASKED, len(run.prompts) // (6 * points))
        self._instants = sorted({at for _, at in run.prompts})
        self._known = {prompt: run.stated[key].text for key, prompt in run.prompts.items()}
        self._keys = {prompt: key for key, prompt in run.prompts.items()}
        self._is_batched = isinstance(create(run.real), BatchedStudent)
        self._waiting: list[str] = []
        self._later: list[str] = []
        self.notes: list[str] = []
        self.questioner = Questioner(create=lambda: create(run.real), rng=rng)

    def check_world(self, world: World) -> Iterator[Leak]:
        """Yield the prompts and answers up to the close of a world that are not those of the run."""
        earlier, later = self._observe(world)
        try:
            student = self._create(world)
        except StudentError as error:
            self.notes.append(
                f"The student cannot be created where later data are {world.alteration}: {error}"
            )
            return
        try:
            prompts = self._write_prompts(student, [*earlier, *later])
            changed = [each for each in earlier if prompts[_key(each)] != self._run.prompts.get(_key(each))]
            for each in changed:
                yield self._prompt_leak(each, prompts[_key(each)], world)
            if changed:
                return
            wanted = [prompts[_key(each)] for each in earlier]
            company = [prompts[_key(each)] for each in later]
            if self._is_batched:
                # It computes each prompt by itself, and those with one beginning fastest together.
                self._waiting += wanted
                self._later += company
                return
            answers = self.questioner.ask(student, [*wanted, *company])
        except StudentError as error:
            at = max(each.as_of for each in earlier)
            what = f"{describe_world(world)}, the student fails: {error}"
            yield Leak(kind=LeakKind.FORECAST, at=at, symbol="", what=what)
            return
        yield from self._compare(wanted, answers, LeakKind.FORECAST, describe_world(world))

    def check_company(self) -> Iterator[Leak]:
        """Yield the answers that depend on the prompts asked beside them."""
        if self._is_batched:
            some = list(dict.fromkeys(self._waiting))
            some = self._rng.sample(some, min(len(some), _MAX_ASKED))
            company = self._rng.sample(self._later, min(len(self._later), len(some) // 2))
        else:
            size = min(len(self._instants), max(4, len(self._instants) // 8))
            first = self._rng.randint(0, len(self._instants) - size)
            block = set(self._instants[first : first + size])
            some = [prompt for (_, at), prompt in self._run.prompts.items() if at in block][:_MAX_ASKED]
            company = []
        student = self._create(self._run.real)
        answers = self.questioner.ask(student, [*some, *company])
        yield from self._compare(some, answers, LeakKind.COMPANY, "asked among other prompts")

    def find_stances(
        self, world: World, created_in: World, *, at_real_price: bool = False
    ) -> dict[Key, float]:
        """Return how much above one half the probability of a rise is, in a world of other prices.

        Args:
            world: The world whose prices and news it sees.
            created_in: The world from whose data it is created.
            at_real_price: Whether each window is brought to the real close that it ends at.
        """
        market = world.apply(self._run.market)
        observed = build_observations(market.bars, market.news, window=self._run.window, start=market.start)
        by_instant: dict[datetime, list[Observation]] = {}
        for each in observed:
            by_instant.setdefault(each.as_of, []).append(each)
        most = min(_MAX_ASKED, max(5 * _LEAST_ASKED, len(observed) // 3))
        instants = sorted(by_instant)
        self._rng.shuffle(instants)
        chosen: list[Observation] = []
        for at in instants:
            if len(chosen) + len(by_instant[at]) > most and chosen:
                break
            chosen += by_instant[at]
        if at_real_price:
            real = {
                (symbol, bar.closes_at): bar.close
                for symbol, series in self._run.market.bars.items()
                for bar in series
            }
            chosen = [_bring_to(each, real[_key(each)]) for each in chosen]
        try:
            student = self._create(created_in)
            prompts = self._write_prompts(student, chosen)
            answers = self.questioner.ask(student, prompts.values())
        except StudentError:  # what it cannot answer in another market, it does not know from there either
            return {}
        task = self._run.config.task
        calls = {
            _key(each): read_answer(answers[prompts[_key(each)]], view(each, task), task) for each in chosen
        }
        return {key: call.probability_up - 0.5 for key, call in calls.items() if isinstance(call, Forecast)}

    def _observe(self, world: World) -> tuple[list[Observation], list[Observation]]:
        """Return the last observations up to the close of a world, and the first ones after it."""
        market = world.apply(self._run.market)
        place = self._instants.index(world.at)
        per_instant = len(self._run.prompts) / len(self._instants)
        count = max(2, round(self._at_each / per_instant))
        first, last = max(0, place - count), min(len(self._instants) - 1, place + count)
        start = self._instants[first] if first else market.start
        # Where later data are cut, a day that has begun has no close.
        until = world.at if world.alteration is Alteration.CUT else self._instants[last]
        bars = {
            symbol: [bar for bar in series if bar.closes_at <= until]
            for symbol, series in market.bars.items()
        }
        observed = build_observations(bars, market.news, window=self._run.window, start=start)
        observed = self._rng.sample(observed, len(observed))
        return (
            [each for each in observed if each.as_of <= world.at],
            [each for each in observed if each.as_of > world.at],
        )

    def _write_prompts(self, student: Student, observed: Iterable[Observation]) -> dict[Key, str]:
        task = self._run.config.task
        shuffled = list(observed)
        self._rng.shuffle(shuffled)
        return {_key(each): student.prompt(view(each, task)) for each in shuffled}

    def _prompt_leak(self, observation: Observation, prompt: str, world: World) -> Leak:
        was = self._run.prompts.get(_key(observation), "")
        place = next(
            (n for n, pair in enumerate(zip(was, prompt, strict=False)) if pair[0] != pair[1]),
            min(len(was), len(prompt)),
        )
        parts = [text[max(0, place - 10) : place + 20] for text in (was, prompt)]
        what = f"the run's prompt has {parts[0]!r}; {describe_world(world)}, it has {parts[1]!r}"
        return Leak(kind=LeakKind.PROMPT, at=observation.as_of, symbol=observation.symbol, what=what)

    def _compare(
        self, wanted: Sequence[str], answers: Mapping[str, str], kind: LeakKind, how: str
    ) -> Iterator[Leak]:
        """Yield the answers that are not those of the run, and are given alone time and again."""
        given = {prompt: answers[prompt] for prompt in wanted}
        alone = self.questioner.find_changes(self._known, given)
        for prompt, text in alone.items():
            symbol, at = self._keys[prompt]
            call = self._run.stated[symbol, at]
            now = describe_prediction(self._read(prompt, given[prompt]))
            if text == self._known[prompt]:
                what = f"the answer is {describe_prediction(call)}; {how}, it is {now}"
                yield Leak(kind=kind, at=at, symbol=symbol, what=what)
            else:
                by_itself = describe_prediction(self._read(prompt, text))
                what = f"the run has the answer {describe_prediction(call)}; asked alone, it is {by_itself}"
                yield Leak(kind=LeakKind.RUN, at=at, symbol=symbol, what=what)

    def _read(self, prompt: str, text: str) -> Prediction:
        key = self._keys[prompt]
        seen = next(each for each in self._run.observed if _key(each) == key)
        return read_answer(text, view(seen, self._run.config.task), self._run.config.task)


def _bring_to(observation: Observation, close: float) -> Observation:
    """Return an observation of the same moves that ends at another close."""
    factor = close / observation.bars[-1].close
    names = ("open", "high", "low", "close")
    bars = [replace(bar, **{name: getattr(bar, name) * factor for name in names}) for bar in observation.bars]
    return replace(observation, bars=tuple(bars))


def _key(observation: Observation) -> Key:
    return observation.symbol, observation.as_of

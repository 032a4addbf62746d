"""Whether a student or a strategy knows what it cannot know, after freqtrade's lookahead analysis.

The days up to some closes are run again with all later data cut, and with other later data. Nothing may
change up to the close: no prompt, no answer, no wanted weight, no order and no fill. Answers are asked again,
past the cache, in parts that a student cannot foresee. A few more runs have other prices from the
first day on.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from random import Random

from engine.errors import ClosecallError, DataError
from llm.registry.training_end import find_training_end
from strategies.console import Progress, pluralize
from strategies.lookahead.answers import AnswerCheck
from strategies.lookahead.base_run import BaseRun, Key
from strategies.lookahead.comparison import compare_trades
from strategies.lookahead.data import find_early_news, find_late_training
from strategies.lookahead.evidence import MAX_SKILL, MIN_DAYS, judge_agreement, real_moves
from strategies.lookahead.report import Leak, LookaheadReport
from strategies.lookahead.trading import Trades, trade
from strategies.lookahead.worlds import Alteration, World, turn_predictions

Compare = Callable[[BaseRun], Iterable[Leak]]
"""Compares a run that was made from its data with one that is recorded."""


def check_run(
    run: BaseRun,
    *,
    points: int,
    seed: int,
    clock: Callable[[], float],
    on_progress: Progress,
    began: float | None = None,
    compare: Compare = lambda _run: (),
    run_seconds: float | None = None,
) -> LookaheadReport:
    """Return what a run knows that it cannot know.

    Args:
        run: The run.
        points: At how many closes later data are cut and altered.
        seed: Of what is drawn: closes, altered data, orders of prompts.
        clock: Returns seconds from some start.
        on_progress: Called with a stage, what is done of it, and the whole.
        began: When the check began, by `clock`; None: now.
        compare: Compares the run with the recorded one.
        run_seconds: What the recorded run took.

    Raises:
        DataError: Where there are too few closes.
    """
    began = clock() if began is None else began
    rng = Random(f"{seed} lookahead")  # noqa: S311  # no secret
    instants = draw_points(run, points, rng)
    answers = AnswerCheck(run, run.subject.student, rng, points) if run.subject.student else None
    leaks = [*find_early_news(run.market), *compare(run)]
    notes: list[str] = []
    if adapter := run.config.adapter:
        end = find_training_end(adapter, run.data_dir)
        leaks += find_late_training(adapter, end, run.market)
        if end is None:
            notes.append(
                f"Adapter {adapter.name}: until when its training data reach is not known, so not checked."
            )
    reruns = 0
    for number, at in enumerate(instants):
        on_progress("checking closes", number, len(instants))
        for alteration in (Alteration.CUT, Alteration.TURNED):
            world = World(alteration=alteration, at=at, seed=seed, market=run.market)
            if answers is not None:
                with run.subject.surround(world):
                    leaks += answers.check_world(world)
            # The built-in strategy has nothing but what it is given: one of the two worlds is enough.
            if run.subject.strategy or alteration is Alteration.TURNED:
                leaks += _check_trades(run, world, notes)
                reruns += 1
    on_progress("checking closes", len(instants), len(instants))
    if answers is not None:
        leaks += answers.check_company()
        notes += answers.notes
        if answers.questioner.unstable:
            notes.append(
                f"{pluralize(len(answers.questioner.unstable), 'prompt')} asked alone several times got "
                "different answers: the student does not repeat itself, so its answers are not compared."
            )
    found, more = _find_outside_data(run, answers, seed, notes)
    leaks += found
    reruns += more
    return LookaheadReport(
        subject=run.subject.name,
        leaks=tuple(_deduplicate(leaks)),
        points=tuple(instants),
        reruns=reruns,
        asked=answers.questioner.asked if answers else 0,
        notes=tuple(dict.fromkeys(notes)),
        seconds=clock() - began,
        run_seconds=run_seconds,
        seed=seed,
    )


def draw_points(run: BaseRun, points: int, rng: Random) -> list[datetime]:
    """Return closes at random places, one in each of `points` equal parts of the run, but not the last."""
    instants = sorted({each.as_of for each in run.observed})[:-1]
    if len(instants) < 2 * points:
        raise DataError(
            f"{len(instants)} closes before the last, and this check needs {2 * points}; choose more days or "
            "fewer points"
        )
    edges = [round(number * len(instants) / points) for number in range(points + 1)]
    return [instants[rng.randrange(first, last)] for first, last in pairwise(edges)]


def _check_trades(run: BaseRun, world: World, notes: list[str]) -> Iterator[Leak]:
    """Yield what differs in weights, orders and fills up to the close of a world."""
    trades = _trade_again(run, world)
    if isinstance(trades, str):
        notes.append(f"The strategy cannot be created where later data are {world.alteration}: {trades}")
    elif not (differing := list(compare_trades(run.trades, trades, world))):
        return
    else:
        again = _trade_again(run, World(alteration=Alteration.REAL, at=world.at, seed=0, market=run.market))
        real = World(alteration=Alteration.REAL, at=world.at, seed=0, market=run.market)
        if isinstance(again, Trades) and any(compare_trades(run.trades, again, real)):
            notes.append("The strategy wants other weights each time it runs: its orders cannot be compared.")
            return
        yield from differing


def _trade_again(run: BaseRun, world: World) -> Trades | str:
    """Return the trades up to the close of a world, or why the strategy cannot be created there."""
    market = world.apply(run.market)
    calls = [*run.calibrate(market, world.at)]
    if world.alteration is Alteration.TURNED:
        calls += turn_predictions([call for call in run.stated.values() if call.as_of > world.at], market)
    with run.subject.surround(world):
        try:
            strategy = run.subject.strategy(world) if run.subject.strategy else None
        except ClosecallError as error:
            return str(error)
        observed = [each for each in run.observed if each.as_of <= world.at] if strategy is None else []
        return trade(run.spec, market, observed, calls, strategy, world.at)


def _find_outside_data(
    run: BaseRun, answers: AnswerCheck | None, seed: int, notes: list[str]
) -> tuple[list[Leak], int]:
    """Return what follows the real prices in a market of other ones, and how many runs that took.

    First all data of the user's code are those of the other market. Then they are the real ones, with them
    any signal that was found beforehand; it may follow the past, and so counts only where it is too good.
    Last a student sees other moves that end at the real price, which it may compare with the real next one.
    """
    moves = real_moves(run.market.bars)
    if len({at.date() for _, at in moves}) < MIN_DAYS:
        notes.append(f"Fewer than {MIN_DAYS} days: what is known from other sources is not found on them.")
    scrambled = World(alteration=Alteration.SCRAMBLED, seed=seed, market=run.market)
    leaks: list[Leak] = []
    reruns = 0
    for created_in, least_share, at_real_price in (
        (scrambled, 0.0, False),
        (run.real, MAX_SKILL, False),
        (run.real, MAX_SKILL, True),
    ):
        if leaks or (created_in is run.real and not run.subject.is_users):
            break
        with run.subject.surround(created_in):
            if answers is not None:
                stances = answers.find_stances(scrambled, created_in, at_real_price=at_real_price)
                leaks += judge_agreement(stances, moves, "forecasts", least_share=least_share)
            if run.subject.strategy is not None and not at_real_price:
                weights = _find_weights(run, scrambled, created_in, notes)
                leaks += judge_agreement(weights, moves, "the weights", least_share=least_share)
                reruns += 1
    return leaks, reruns


def _find_weights(run: BaseRun, world: World, created_in: World, notes: list[str]) -> dict[Key, float]:
    """Return the weight that the strategy wants of each symbol at each of its closes, in another market."""
    market = world.apply(run.market)
    try:
        strategy = run.subject.strategy(created_in) if run.subject.strategy else None
    except ClosecallError as error:
        notes.append(f"The strategy cannot be created with other prices: {error}")
        return {}
    trades = trade(run.spec, market, (), (), strategy)
    wanted = {(symbol, at): weight for at, symbol, weight, _ in trades.wanted}
    weights: dict[Key, float] = {}
    for symbol, series in market.bars.items():
        weight = 0.0
        for bar in series:
            weight = wanted.get((symbol, bar.closes_at), weight)
            if bar.closes_at > market.start and (
                trades.failed_at is None or bar.closes_at < trades.failed_at
            ):
                weights[symbol, bar.closes_at] = weight
    return weights


def _deduplicate(leaks: Sequence[Leak]) -> Iterator[Leak]:
    """Yield the first finding of each kind, close and symbol, by time."""
    seen = set()
    for leak in sorted(leaks, key=lambda each: (each.at, each.symbol)):
        if (key := (leak.kind, leak.at, leak.symbol)) not in seen:
            seen.add(key)
            yield leak

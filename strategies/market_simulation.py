"""The data of a run from the simulated market."""

from datetime import date

from engine.errors import UsageError, toml_table
from feeds.simulated.market import TRAINING_SEEDS, MarketSettings, simulate
from strategies.config import BacktestConfig
from strategies.market import Market, midnight, select_symbols

SIMULATED_START = date(2023, 1, 1)
_MAX_SIMULATED_DAYS = 20_000


def simulate_market(config: BacktestConfig) -> Market:
    """Make the market that a configuration asks for. Raises UsageError."""
    if config.news:
        raise UsageError("--news needs --bars or --store: the simulated market writes its own news")
    start = config.start or SIMULATED_START
    days = (config.end - start).days + 1 if config.end else config.market.days
    if days < 2:
        raise UsageError(f"--end {config.end} is not after --start {start}; choose a later end")
    if days > _MAX_SIMULATED_DAYS:
        raise UsageError(
            f"{days} simulated days to --end {config.end} are too many; stay within {_MAX_SIMULATED_DAYS}"
        )
    try:
        settings = MarketSettings(
            seed=config.seed, start=start, days=days, **config.market.model_dump(exclude={"days"})
        )
    except ValueError as error:
        raise UsageError(f"[market]: {error}") from error
    simulated = simulate(settings)
    picked = select_symbols(config.symbols, simulated.bars, "the simulated market")
    ignored = [
        f"{toml_table('instruments', name)} has no effect on a simulated market."
        for name in config.instruments
    ]
    return Market(
        instruments={symbol: simulated.instruments[symbol] for symbol in picked},
        calendars=simulated.calendars,
        bars={symbol: simulated.bars[symbol] for symbol in picked},
        news=[item for item in simulated.news if not item.symbols or item.symbols & set(picked)],
        start=midnight(start),
        source=f"simulated:{config.seed}",
        is_simulated=True,
        is_training_market=config.seed in TRAINING_SEEDS,
        oracle=simulated.oracle,
        notes=("The market, its news and every result are SIMULATED.", *ignored),
    )

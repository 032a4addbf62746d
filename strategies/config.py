"""The configuration of a run, from TOML and from flags, validated at the edge."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from engine.instruments import AssetClass
from engine.metrics.differences import DEFAULT_COMPARATORS
from engine.metrics.verdicts import Claim
from engine.trading.risk import RiskLimits
from feeds.files.layouts import ColumnSettings
from feeds.history.endpoints import require_url
from feeds.simulated.headlines import HeadlineSet
from llm.backends import describe_students
from llm.student import DecodingMode, Quantization, StudentSettings, Task
from strategies.baselines.names import OPTIONAL, require_baseline, require_comparator

Names = tuple[tuple[str, tuple[str, ...]], ...]
"""Symbols, each with the names by which news speaks of it."""

Amount = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Table(BaseModel):
    """A table of the configuration. It is frozen and refuses unknown keys.

    A field's description is the help of its option on the command line (see `tui.cli.config_options`).
    """

    # Building all validators takes longer than `closecall --help` may.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


@dataclass(frozen=True, slots=True)
class Flag:
    """How a key is written on the command line, where its name and type do not say it.

    Attributes:
        name: The option, such as "--feed"; one that begins with "--no-" sets False.
        commas: Whether a value may hold several, with commas between them.
    """

    name: str = ""
    commas: bool = False


def added_key(*, default: object = None, **rest: Any) -> Any:
    """Return the field of a key that journals state only where it differs from its default.

    Runs and sessions of versions without the key can thus be resumed.
    """
    return Field(exclude_if=lambda value: value == default, **rest)


class CalibrationMethod(StrEnum):
    """How a stated confidence becomes a calibrated one (see `strategies.calibration`)."""

    PLATT = "platt"
    TEMPERATURE = "temperature"
    ISOTONIC = "isotonic"


class Retraining(StrEnum):
    """When a paper session trains its student on what came of its forecasts."""

    NEVER = "never"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    QUARTERLY = "quarterly"
    ON_DRIFT = "on-drift"


class ScenarioAction(StrEnum):
    """What the script of a replay can do."""

    PAUSE = "pause"
    RESUME = "resume"
    REDUCE = "reduce"
    HALT = "halt"
    FLATTEN = "flatten"
    SPLIT = "split"
    DIVIDEND = "dividend"
    QUOTE = "quote"
    GAP = "gap"


_WANTS_VALUE = {ScenarioAction.SPLIT, ScenarioAction.DIVIDEND, ScenarioAction.QUOTE}
_WANTS_SYMBOL = _WANTS_VALUE | {ScenarioAction.GAP}


class ScriptTable(Table):
    """`[[paper.script]]`: something that happens in a replay beside the recorded days, at an instant.

    A split or dividend takes effect at the first open of its `symbol` from `at` on. `value` is the ratio of a
    split, the amount of a dividend a share, or the price of a quote, in the quote currency.
    """

    at: AwareDatetime
    do: ScenarioAction
    symbol: str | None = None
    value: Amount | None = None
    text: Annotated[str, Field(max_length=400)] = ""

    @field_validator("at")
    @classmethod
    def _in_utc(cls, at: datetime) -> datetime:
        return at.astimezone(UTC)

    @model_validator(mode="after")
    def _check_complete(self) -> Self:
        wanted = {"symbol": self.do in _WANTS_SYMBOL, "value": self.do in _WANTS_VALUE}
        for name, wants in wanted.items():
            if wants != (getattr(self, name) is not None):
                raise ValueError(f"do = {self.do} takes {'a' if wants else 'no'} {name}")
        return self


class PaperTable(Table):
    """`[paper]`: how a paper session works, beside what it trades.

    `deadline_seconds` is how long the student may take for the calls of one close, and `late_seconds` how
    long after its instant a close may still be decided on. With `retrain` "on-drift" the Brier score is
    checked weekly. `script` is for replays. `webhook` receives state changes; it is never written to a
    journal.
    """

    deadline_seconds: Amount = 300.0
    late_seconds: Annotated[Amount, Field(validate_default=True)] = 1800.0
    retrain: Annotated[
        Retraining,
        Field(description="When the session retrains its student."),
    ] = Retraining.NEVER
    method: str = "grpo"
    train_days: Annotated[int, Field(ge=1)] = 180
    test_days: Annotated[int, Field(ge=1)] = 60
    steps: Annotated[int, Field(ge=1)] | None = None
    script: tuple[ScriptTable, ...] = ()
    webhook: Annotated[SecretStr | None, Field(exclude=True)] = None

    @field_validator("late_seconds")
    @classmethod
    def _check_late_seconds(cls, late: float, info: ValidationInfo) -> float:
        if info.data.get("deadline_seconds", 0.0) > late:
            raise ValueError("it must not be below deadline_seconds, or every answer could be late")
        return late


class RiskTable(Table):
    """`[risk]`: the limits of a paper session, as `engine.trading.risk.RiskLimits` explains them."""

    symbol_exposure: Amount = 1.0
    total_exposure: Amount = 1.2
    daily_loss: Amount = 0.10
    drawdown: Amount = 0.30
    orders_per_day: Annotated[int, Field(ge=1)] = 200
    stale_hours: Amount = 6.0
    abstention_rate: Amount = 0.5
    abstention_window: Annotated[int, Field(ge=1)] = 20

    @property
    def limits(self) -> RiskLimits:
        """The same as the engine takes them."""
        stated = self.model_dump(exclude={"stale_hours"})
        return RiskLimits(stale_after=timedelta(hours=self.stale_hours), **stated)


NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Days = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, le=1)]
BasisPoints = Annotated[float, Field(ge=0, lt=5_000, allow_inf_nan=False)]
"""Slippage and latency together stay below the whole price."""


def _day(value: object) -> object:
    """Only a written day: pydantic would take a number for seconds since 1970."""
    try:
        day = date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        day = None
    if type(day) is not date or not 1900 <= day.year < 2200:
        raise ValueError("write a day from 1900 to 2199 as YYYY-MM-DD")
    return day


Day = Annotated[date, BeforeValidator(_day)]


class MarketTable(Table):
    """`[market]`: the simulated market, used where no bars are named."""

    coins: Annotated[int, Field(ge=0, le=14)] = 3
    stocks: Annotated[int, Field(ge=0, le=14)] = 3
    days: Annotated[int, Field(ge=10, le=20_000, description="Days of the simulated market.")] = 500
    edge: Annotated[
        bool,
        Flag("--no-edge"),
        Field(description="Simulate a market whose news has no predictive value."),
    ] = True
    reversal: Annotated[
        Day | None,
        Field(description="First day on which news of the simulated market has the opposite effect."),
    ] = None
    headlines: Annotated[HeadlineSet, Field(description="Templates of the simulated headlines.")] = (
        HeadlineSet.FAMILIAR
    )


def _address(value: object) -> object:
    return require_url(value) if isinstance(value, str) else value


class SourceTable(Table):
    """`[sources."NAME"]`: where a source of bars is reached, if not at its official address."""

    url: Annotated[str, AfterValidator(_address)]


class CostsTable(Table):
    """`[costs.CLASS]`: what trading costs, as `engine.instruments.Costs` explains it."""

    fee_bps: BasisPoints | None = None
    slippage_bps: BasisPoints | None = None
    latency_bps: BasisPoints | None = None
    delay_minutes: NotNegative | None = None
    borrow_rate: NotNegative | None = None
    least_fee: NotNegative | None = None
    sale_tax_bps: BasisPoints | None = None
    fee_tiers: tuple[tuple[NotNegative, BasisPoints], ...] | None = None


class InstrumentTable(CostsTable):
    """`[instruments.SYMBOL]`: what the name of a bar file cannot say, and the costs of one symbol."""

    asset_class: AssetClass | None = None
    calendar: str | None = None
    currency: str | None = None
    lot: NotNegative | None = None
    shortable: bool | None = None
    price_limit: Annotated[float, Field(ge=0, lt=1)] | None = None
    names: tuple[str, ...] = ()


class ColumnsTable(Table):
    """`[columns]`: which columns of bar files are which, by name or by number from 1; 0 for no volume.

    `date_order` is that of the dates in files of bars and of news.
    """

    date: str | PositiveInt | None = None
    open: str | PositiveInt | None = None
    high: str | PositiveInt | None = None
    low: str | PositiveInt | None = None
    close: str | PositiveInt | None = None
    volume: str | NonNegativeInt | None = None
    symbol: str | PositiveInt | None = None
    date_order: Literal["day first", "month first"] | None = None
    decimal: Literal[".", ","] | None = None

    def to_settings(self) -> ColumnSettings:
        """Return what is stated, for the reader of bar files."""
        names = self.model_dump(exclude={"date_order", "decimal"}, exclude_none=True)
        return ColumnSettings(names=names, date_order=self.date_order or "", decimal=self.decimal or "")


class WalkForwardTable(Table):
    """`[walkforward]`: flags of `closecall walkforward`; what is left out is the command's default."""

    method: Annotated[
        Literal["grpo", "sft", "none"] | None,
        Field(description="How challengers are trained (default grpo)."),
    ] = None
    train_days: Annotated[
        Days | None, Field(description="Days of outcomes that a challenger is trained on.")
    ] = None
    test_days: Annotated[
        Days | None, Field(description="Days that it shadows the champion before its gate.")
    ] = None
    step_days: Annotated[
        Days | None, Field(description="Days from one training to the next; default: --test-days.")
    ] = None
    recency_half_life: Annotated[
        Amount | None, Field(description="Days after which an outcome counts half.")
    ] = None
    embargo_days: Annotated[
        NotNegative | None,
        Field(
            description="Days between the last outcome trained on and the test; default: the longest horizon."
        ),
    ] = None
    steps: Annotated[Days | None, Field(description="Training steps; default: those of the recipe.")] = None
    compare: Annotated[
        bool | None,
        Flag("--no-compare"),
        Field(description="Do not train the supervised arm beside GRPO."),
    ] = None
    weights: Mapping[str, NotNegative] = Field(default_factory=dict)


class BacktestConfig(Table):
    """Everything that decides a backtest. Every field is a key of the TOML file; most are flags too.

    Costs are those of the symbol's own table, else of its class in `costs`, else of the run, else the
    defaults of the class. `max_gross_exposure` is the most that may be invested, as a fraction of equity,
    over all symbols; `risk_aversion` is the lambda of the sizing rule. `store` names the sources of bars and
    `feeds` those of news, once for fetching, backtests and live work; `sources` says where a source is
    reached, if not at its official address. `base_currency` is the currency of the account where
    `rates_files`, or constants in `rates`, bring several together. `champion` asks for the registry's; the
    adapter that this comes to is what a run states. `paper` and `risk` matter to paper sessions only, and
    `walkforward` to walk-forwards, whose journal states it apart.
    """

    bars: Annotated[tuple[Path, ...], Field(description="CSV or Parquet files or folders of bars.")] = ()
    store: Annotated[tuple[str, ...], Field(description="Bars and news fetched from this source.")] = ()
    news: Annotated[tuple[Path, ...], Field(description="Files or folders of dated news.")] = ()
    feeds: Annotated[
        tuple[str, ...], Flag("--feed"), Field(description="Address of an RSS or Atom feed.")
    ] = ()
    symbols: Annotated[
        tuple[str, ...],
        Flag(commas=True),
        Field(description="Use these symbols only; separate them by commas or spaces."),
    ] = ()
    start: Annotated[Day | None, Field(description="First day that is traded.")] = None
    warm_up_days: Annotated[
        int | None,
        added_key(
            ge=0, le=36_500, description="Days of bars read before --start; default: the student's window."
        ),
    ] = None
    end: Annotated[Day | None, Field(description="Last day of bars.")] = None
    student: Annotated[str, Field(description=describe_students())] = "tiny"
    adapter: Annotated[Path | None, Field(description="Folder of a peft adapter.")] = None
    champion: Annotated[
        bool, Field(exclude=True, description="Use the registry's current champion adapter.")
    ] = False
    quantization: Annotated[
        Quantization, Field(description="Weights of the student (nf4: 4 bits, needs bitsandbytes).")
    ] = Quantization.NONE
    prompt: Annotated[
        str | None, Field(description="Prompt template: full, append, compact … or a TOML file of your own.")
    ] = None
    batch: Annotated[int, Field(ge=1, le=4096)] = 64
    mode: Annotated[
        DecodingMode,
        added_key(default=DecodingMode.JSON, description="How an answer is taken from the student."),
    ] = DecodingMode.JSON
    samples: Annotated[
        int,
        added_key(
            default=1, ge=1, le=64, description="Answers drawn for each forecast; their median counts."
        ),
    ] = 1
    think_tokens: Annotated[
        int,
        added_key(default=512, ge=16, le=32_768, description="Most tokens of reasoning, with --mode think."),
    ] = 512
    device: Annotated[
        str | None,
        added_key(
            pattern=r"^(cpu|cuda(:[0-9]+)?)$",
            description="Device of the student: cpu, cuda or cuda:N; default: a GPU where there is one.",
        ),
    ] = None
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"] | None,
        added_key(description="Type of the student's numbers; default: what suits the device."),
    ] = None
    task: Annotated[
        Task,
        added_key(default=Task.NEXT, description="What is forecast; same-day is scored and never traded."),
    ] = Task.NEXT
    mask: Annotated[
        bool | None,
        Flag("--mask/--no-mask"),
        added_key(
            description="Replace names and dates in prompts; default: where the student may have read of "
            "the days.",
        ),
    ] = None
    model: Annotated[str | None, added_key(min_length=1, description="Model that a server is asked for.")] = (
        None
    )
    adapter_name: Annotated[
        str | None, added_key(min_length=1, description="Adapter that a server has loaded.")
    ] = None
    allow_remote: Annotated[
        bool, added_key(default=False, description="Allow a student's server on another machine.")
    ] = False
    ablate: Annotated[
        bool,
        added_key(
            default=False,
            description="Forecast the days again without news, with other news, from prices alone, masked.",
        ),
    ] = False
    calibrate: Annotated[
        CalibrationMethod | None,
        added_key(description="Trade confidences calibrated on outcomes known at the time."),
    ] = None
    baselines: Annotated[
        tuple[Annotated[str, AfterValidator(require_baseline)], ...],
        Flag(commas=True),
        added_key(
            default=(),
            description="Baselines beside buy and hold, persistence, majority and random; names with commas, "
            f"or all: {', '.join(OPTIONAL)}.",
        ),
    ] = ()
    benchmark: Annotated[
        str | None,
        added_key(
            min_length=1,
            description="Symbol, or file of one, that is bought and held beside the student, such as SPY; it "
            "need not be traded.",
        ),
    ] = None
    cash: Annotated[Amount, Field(description="Starting cash, in the quote currency.")] = 100_000.0
    fee_bps: Annotated[BasisPoints | None, Field(description="Commission, basis points of a fill.")] = None
    slippage_bps: Annotated[
        BasisPoints | None, Field(description="Slippage from the official open, basis points.")
    ] = None
    latency_bps: Annotated[
        BasisPoints | None, Field(description="Cost of delay, added to slippage, basis points.")
    ] = None
    delay_minutes: Annotated[
        NotNegative | None,
        Field(description="Minutes from the open to the fill, charged by the day's range before."),
    ] = None
    borrow_rate: NotNegative | None = None
    delisting_value: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="Part of its last price paid for a position whose bars end early (0: it is lost).",
        ),
    ] = 1.0
    allow_short: Annotated[bool, Field(description="Sell short on forecasts of a fall.")] = False
    comparator: Annotated[
        tuple[str, ...],
        added_key(
            default=(),
            description="Baseline that a verdict compares with, as CLAIM=NAME, where CLAIM is direction, "
            "probability, close or pnl.",
        ),
    ] = ()
    seed: Annotated[
        int,
        Field(ge=0, le=2**32 - 1, description="Seed of the simulated market, random baseline and training."),
    ] = 7
    max_gross_exposure: Annotated[Share, Field(serialization_alias="gross")] = 0.95
    risk_aversion: Amount = 25.0
    news_latency_seconds: Annotated[NotNegative, Field(serialization_alias="archive_latency_seconds")] = 60.0
    allow_bad_data: Annotated[
        bool,
        Field(serialization_alias="allow_harmful", description="Use data that the quality checks refuse."),
    ] = False
    skip_unknown_files: Annotated[
        bool,
        # Left out of journals where it is False, so that runs of earlier versions can be resumed.
        Field(
            exclude_if=lambda skip: not skip,
            description="Leave out files of a folder that are no bars or news.",
        ),
    ] = False
    base_currency: Annotated[
        str | None, Field(serialization_alias="base", description="Currency of the account, with --rates.")
    ] = None
    rates_files: Annotated[
        tuple[Path, ...],
        Flag("--rates"),
        Field(description="Exchange rates: files such as CNYUSD.csv, or constants such as USDT=1."),
    ] = ()
    out: Annotated[Path | None, Field(description="Also write result.json and CSV files here.")] = None
    overwrite: Annotated[bool, Field(exclude=True, description="Replace the result that --out holds.")] = (
        False
    )
    market: MarketTable = Field(default_factory=MarketTable)
    paper: PaperTable = Field(default_factory=PaperTable)
    risk: RiskTable = Field(default_factory=RiskTable)
    walkforward: WalkForwardTable = Field(default_factory=WalkForwardTable, exclude=True)
    instruments: Mapping[str, InstrumentTable] = Field(default_factory=dict)
    costs: Mapping[AssetClass, CostsTable] = Field(default_factory=dict)
    aliases: Annotated[Mapping[str, tuple[str, ...]], Field(serialization_alias="names")] = Field(
        default_factory=dict
    )
    sources: Mapping[str, SourceTable] = Field(default_factory=dict)
    rates: Mapping[str, Amount] = Field(default_factory=dict)
    # Left out of journals where nothing is stated, as in those of earlier versions.
    columns: Annotated[ColumnsTable, Field(exclude_if=lambda table: table == ColumnsTable())] = Field(
        default_factory=ColumnsTable
    )

    @model_validator(mode="before")
    @classmethod
    def _read_old_keys(cls, values: object) -> object:
        """Journals of every version keep the keys of the first."""
        return _with_new_keys(values) if isinstance(values, dict) else values

    @field_validator("comparator")
    @classmethod
    def _check_comparator(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        claims = []
        for value in values:
            claim, _, name = (part.strip() for part in value.partition("="))
            if claim not in tuple(Claim):
                raise ValueError(f"{value!r} is not CLAIM=NAME with a CLAIM of {', '.join(Claim)}")
            if name != DEFAULT_COMPARATORS[Claim(claim)]:
                require_comparator(name)
            claims.append(claim)
        if doubled := [claim for claim in claims if claims.count(claim) > 1]:
            raise ValueError(f"{doubled[0]} has two comparators; give one")
        return values

    @property
    def comparators(self) -> dict[Claim, str]:
        """The comparator of each claim for which one is named."""
        pairs = (value.partition("=") for value in self.comparator)
        return {Claim(claim.strip()): name.strip() for claim, _, name in pairs}

    def stored(self) -> dict[str, Any]:
        """This configuration as journals keep it: JSON types, under the keys of the first version."""
        return self.model_dump(mode="json", by_alias=True)


OLD_KEYS = {
    "gross": "max_gross_exposure",
    "archive_latency_seconds": "news_latency_seconds",
    "allow_harmful": "allow_bad_data",
    "base": "base_currency",
    "names": "aliases",
}
"""Keys of earlier versions and what they are called now. They are read for ever."""


def _with_new_keys(values: Mapping[str, Any]) -> dict[str, Any]:
    for old, new in OLD_KEYS.items():
        if old in values and new in values:
            raise ValueError(f"{old} is the former name of {new}; remove {old}")
    return {OLD_KEYS.get(key, key): value for key, value in values.items()}


def student_settings(
    config: BacktestConfig, adapter: Path | None = None, names: Names = ()
) -> StudentSettings:
    """Return the settings of the student that a configuration names.

    Args:
        config: The configuration. Where it leaves `mask` open, prompts are not masked (see
            `strategies.students.settle_mask`).
        adapter: An adapter in place of the configuration's.
        names: The names of each symbol, for masked prompts.
    """
    return StudentSettings(
        student=config.student,
        adapter=adapter or config.adapter,
        quantization=config.quantization,
        prompt=config.prompt,
        batch=config.batch,
        mode=config.mode,
        samples=config.samples,
        seed=config.seed,
        think_tokens=config.think_tokens,
        device=config.device,
        dtype=config.dtype,
        task=config.task,
        mask=bool(config.mask),
        names=names if config.mask else (),
        model=config.model,
        adapter_name=config.adapter_name,
        allow_remote=config.allow_remote,
    )


STUDENT_KEYS = (
    *("student", "adapter", "quantization", "prompt", "mode", "samples", "think_tokens", "device", "dtype"),
    *("mask", "model", "adapter_name", "allow_remote"),
)
"""The keys that say which student answers and how, for commands that do not trade."""

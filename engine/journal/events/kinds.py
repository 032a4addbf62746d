"""Every kind of event that any journal holds. The text of a kind is stored and never changes."""

from enum import StrEnum


class Kind(StrEnum):
    """The kinds by journal: sessions, collections, runs, walk-forwards and training, the registry."""

    # A session's beginning and end, and notes beside its inputs.
    SESSION_STARTED = "session_started"
    SESSION_RESUMED = "session_resumed"
    SESSION_STOPPED = "session_stopped"
    SESSION_FINISHED = "session_finished"
    SESSION_SCORED = "session_scored"
    WAITING = "waiting"
    ACTION_ANNOUNCED = "action_announced"
    FAULT = "fault"
    RETRAINED = "retrained"
    REGISTRY_CHANGED = "registry_changed"

    # Inputs.
    HISTORY = "history"
    RATE = "rate"
    CALENDAR = "calendar"
    SLICE = "slice"
    QUOTE = "quote"
    GAP = "gap"
    COMMAND = "command"
    SPLIT = "split"
    DIVIDEND = "dividend"
    ADOPTED = "adopted"

    # What only a collector states.
    COLLECTING = "collecting"
    CORRECTION = "correction"
    NEWS = "news"
    CLOCK = "clock"
    SOURCE = "source"
    REFUSED = "refused"

    # Outputs.
    FORECAST = "forecast"
    ORDER = "order"
    FILL = "fill"
    MARK = "mark"
    STEP = "step"
    RISK = "risk"
    VALUATION = "valuation"
    PROGRESS = "progress"

    # A run's beginning and end.
    RUN_STARTED = "run_started"
    RATES = "rates"
    SETTINGS = "settings"
    FORECASTING = "forecasting"
    RUN_FINISHED = "run_finished"
    RUN_INTERRUPTED = "run_interrupted"
    RUN_FAILED = "run_failed"

    # Walk-forward and training.
    WALKFORWARD_STARTED = "walkforward_started"
    FOLD_TRAINED = "fold_trained"
    FOLD_GATED = "fold_gated"
    PROMOTION = "promotion"
    TRAINING_LABELS = "training_labels"
    TRAINING_STEP = "training_step"
    TRAINING_LOOK = "training_look"
    TRAINING_GUARD = "training_guard"
    TRAINING_DONE = "training_done"
    GATED = "gated"
    ENTERED = "entered"
    TRAINED_BY_HAND = "trained_by_hand"

    # The registry.
    ADAPTER_ENTERED = "adapter_entered"
    ADAPTER_PROMOTED = "adapter_promoted"
    ADAPTER_REJECTED = "adapter_rejected"
    ADAPTER_SCORED = "adapter_scored"
    CHAMPION_ROLLED_BACK = "champion_rolled_back"


INPUT_KINDS = (
    Kind.HISTORY,
    Kind.RATE,
    Kind.CALENDAR,
    Kind.SLICE,
    Kind.QUOTE,
    Kind.GAP,
    Kind.COMMAND,
    Kind.SPLIT,
    Kind.DIVIDEND,
    Kind.ADOPTED,
    Kind.SESSION_FINISHED,
)
"""The inputs of a session: all that decides what it does."""

OUTPUT_KINDS = (
    Kind.FORECAST,
    Kind.ORDER,
    Kind.FILL,
    Kind.MARK,
    Kind.STEP,
    Kind.RISK,
    Kind.VALUATION,
    Kind.PROGRESS,
)
"""What a session did about its inputs; the payload of each names its input."""

RECORD_KINDS = (Kind.FORECAST, Kind.ORDER, Kind.FILL, Kind.MARK, Kind.STEP)
"""What runs and sessions both state about their trading."""

END_KINDS = (Kind.RUN_FINISHED, Kind.RUN_INTERRUPTED, Kind.RUN_FAILED)
"""How a run ends; without one of them it still runs, or was killed."""

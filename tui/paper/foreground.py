"""A session in the foreground: what is said before it, while it runs, and when it is interrupted."""

import threading

from strategies.paper.opening import session_folder
from strategies.paper_config import Retraining
from tui.options import now
from tui.paper.beginning import begun
from tui.paper.places import LOG
from tui.paper.plan import Plan
from tui.paper.screen import Screen
from tui.paper.supervisor import Ended, Supervisor
from tui.progress import say

_TICK = 0.2


def introduce(plan: Plan) -> None:
    """What is about to run, where its journal is, and how it is ended."""
    config = plan.config
    if plan.replay:
        days = "recorded days" if config.bars or config.store else "a SIMULATED market"
        pace = "as fast as it can" if plan.speed is None else f"at {plan.speed:g} times the speed of time"
        say(f"session {plan.name}: a replay of {days}, {pace}; no order is real")
    else:
        say(f"session {plan.name}: live prices of {', '.join(config.symbols)}; no order is real")
    goes_on = "goes on" if begun(plan.data_dir, plan.name) is not None else "begins"
    say(f"it {goes_on} in {session_folder(plan.data_dir, plan.name)} ({LOG} has its log); Ctrl-C ends it")
    if config.paper.retrain is Retraining.NEVER:
        say("the student is not retrained; --retrain weekly (or daily, monthly, quarterly, on-drift) would")
    else:
        say(f"the student is retrained: {config.paper.retrain} ({config.paper.method})")


def run_in_foreground(plan: Plan, stop: threading.Event) -> bool:
    """Until the session ends (True) or is told to stop. Raises KeyboardInterrupt for Ctrl-C, once it has
    stopped.
    """
    screen = Screen(now, quiet_fills=plan.replay and plan.speed is None)
    if (said := begun(plan.data_dir, plan.name)) is not None:
        screen.begun(said)
    done = threading.Event()

    def tick() -> None:
        while not done.wait(_TICK):
            screen.tick()

    ticking = threading.Thread(target=tick, daemon=True)
    ticking.start()
    again = f"to go on: closecall paper start --name {plan.name}"
    try:
        supervisor = Supervisor(plan, show=screen.event, say=screen.say, stop=stop)
        ended = supervisor.run()
    except KeyboardInterrupt:
        done.set()
        screen.end()
        say(f"stopped; {again}")
        raise
    finally:
        done.set()
        ticking.join()
        screen.end()
    if ended is Ended.STOPPED:
        say(f"stopped; {again}")
    return ended is Ended.FINISHED

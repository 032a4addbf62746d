"""A session's processes with doubles of student and trainer: `python paper_doubles.py PART [CONFIG FOLDER]`.

The student calls the simulated market's oracle, rightly or wrongly, as its adapter says, and the trainer
writes such adapters; registry, gate and all else are the program's own. So a start and a round take moments,
which is what hundreds of kills need.
"""

import os
import sys
import threading
from pathlib import Path

CONFIG, NAME = "CLOSECALL_DOUBLES_CONFIG", "trial"


def command(part):
    """How a part is started."""
    return (sys.executable, "-m", "tests.support.paper_doubles", part)


def double_parts():
    """Wrong without an adapter; what is trained before the market's reversal is right until then."""
    from engine.journal.events.training import TrainingStep
    from llm.model_files import fingerprint
    from strategies.config_file import load_config
    from tests.support.walks import Doubles, write_adapter
    from training.trained_adapter import TrainedAdapter

    class Learners(Doubles):
        def train(self, job):
            folder = job.folder
            write_adapter(folder, "stale" if job.held_out.cutoff.date() < self.turn else "right")
            job.on_event(TrainingStep(step=1, figures={"reward": 0.5}))
            return TrainedAdapter(
                folder=folder, fingerprint=fingerprint([folder]), passed_guards=True, reason=None, figures={}
            )

    return Learners(load_config(Path(os.environ[CONFIG]), {}))


def main(part, *rest):
    """Be one of the processes."""
    if part == "supervisor_process":
        supervise(*map(Path, rest))
    elif part == "session_process":
        from strategies.paper_runtime import model_updates as retraining
        from strategies.paper_runtime.session_process import main as session

        retraining.RETRAIN_COMMAND = command("retrain_process")
        session(command("student_process"))
    elif part == "retrain_process":
        from training.retraining import worker as retrain_process

        retrain_process._LOW_PRIORITY = 0
        made = double_parts()
        retrain_process.main({"load": made.load, "trainers": made.trainers()})
    else:
        from engine.parent_process import die_with_parent
        from llm.worker.process import serve

        die_with_parent()
        serve(sys.stdin, sys.stdout, double_parts().load)


def supervise(config, folder):
    """A replay of a configuration, begun or gone on with, until its end."""
    from strategies.console import print_stderr
    from strategies.paper_runtime.launch import build_launch_spec
    from strategies.paper_runtime.supervisor import Supervisor

    os.environ[CONFIG] = str(config)
    plan = build_launch_spec(folder, NAME, config, {}, replay=True, speed="max", symbol_overrides={})
    stop = threading.Event()
    Supervisor(
        plan, show=lambda _row: None, on_message=print_stderr, stop=stop, command=command("session_process")
    ).run()


if __name__ == "__main__":
    main(*sys.argv[1:])

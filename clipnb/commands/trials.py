"""The command experiment: the paper on trial."""

from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from clipnb.commands.options import AddCommand, parse_seeds

if TYPE_CHECKING:
    from clipnb.claims.experiment import Experiment

    Experiments = dict[str, Experiment]

FAILED = 2  # the exit status


def add_commands(add_command: AddCommand) -> None:
    """Add the commands of this module to the parser."""
    command = add_command(
        "experiment",
        handle_experiment,
        "Put a claim of the paper to the test in full, into results/claims/. This takes "
        "minutes; an interrupted run goes on seed by seed. To check a verdict, add seeds of your "
        "own to its record: `clipnb experiment NAME --seeds 5,6` runs the seeds 5 and 6, and the "
        "interval is then that of all seeds.",
    )
    command.add_argument(
        "name",
        nargs="?",
        help="the name of an experiment, `all`, `list`, `coverage`: how often the intervals hold "
        "the truth, by simulation, `budgets`: each effect at a quarter and at half of its budget, "
        "into results/budgets/, or a study that tests no claim: `adapting` (what a model forgets "
        "when it learns anew), `full_budget` (the baseline at the budget of its original)",
    )
    command.add_argument(
        "--seeds",
        type=parse_seeds,
        help="5: the seeds 0 to 4; 5,6: the seeds 5 and 6; 5, with its comma: the seed 5. Seeds on "
        "record are not run again (default: those that the protocol asks for)",
    )
    action = command.add_mutually_exclusive_group()
    action.add_argument(
        "--small",
        action="store_true",
        help="run the small settings of the notebooks, by default with seed 0, without a record",
    )
    action.add_argument(
        "--protocol",
        action="store_true",
        help="write what is settled before the run, into results/protocols/",
    )
    action.add_argument(
        "--tune",
        action="store_true",
        help="choose learning rates anew on dev, into results/tuning/",
    )
    action.add_argument("--list", action="store_true", help="list all experiments; so does `list`")


def handle_experiment(arguments: Namespace) -> int | None:
    """Do with one experiment, or with all of them, what the options say."""
    from clipnb.claims import load_experiments

    name, experiments = arguments.name, load_experiments()
    if arguments.list or name == "list":
        print_list(experiments)
        return None
    if name is None:
        raise ValueError("which experiment? `clipnb experiment list` lists them all.")
    if name == "coverage":
        from clipnb.claims.coverage import record_coverage

        print(f"wrote {record_coverage()}")
        return None
    if name == "budgets":
        return record_all_budgets(arguments.seeds)
    if name not in experiments and name != "all":
        run_study(arguments, experiments)
        return None
    chosen = experiments if name == "all" else {name: experiments[name]}
    return run_chosen(chosen, arguments)


def run_chosen(experiments: "Experiments", arguments: Namespace) -> int | None:
    """Write protocols, tune, run small, or make records. Returns an exit status, if not 0."""
    from clipnb.claims.protocols import write_protocol
    from clipnb.claims.running import record_tuning

    if arguments.protocol:
        return do_each(experiments, lambda each: f"wrote {write_protocol(each)}")
    if arguments.tune:
        tuned = {name: each for name, each in experiments.items() if each.tune}
        return do_each(tuned or experiments, lambda each: f"wrote {record_tuning(each)}")
    if arguments.small:
        seeds = arguments.seeds or (0,)
        return do_each(experiments, lambda each: describe_small_run(each, seeds))
    return record_all(experiments, arguments.seeds)


def do_each(
    experiments: "Experiments", act: "Callable[[Experiment], str]", strict: bool | None = None
) -> int | None:
    """Do the same with each experiment and print what it tells.

    strict: an error ends the command, by default if there is one experiment alone. Else one that
    fails is named, and the others go on. Returns an exit status, if not 0, where one failed for
    another reason than a file that is missing.
    """
    strict = len(experiments) == 1 if strict is None else strict
    status = None
    for name, experiment in experiments.items():
        try:
            print(act(experiment), flush=True)
        except (FileNotFoundError, ValueError) as error:
            if strict:
                raise
            print(f"left out {name}: {error}", flush=True)
            status = status if isinstance(error, FileNotFoundError) else FAILED
    return status


def record_all(experiments: "Experiments", seeds: Sequence[int] | None = None) -> int | None:
    """Add seeds to the records: the first seed of every experiment, then the second, and so on.

    So an interrupted command has the same seeds of all of them. seeds: by default those that each
    protocol asks for. One that lacks its dataset or protocol is left out and named once. Returns an
    exit status, if not 0.
    """
    from clipnb.claims.protocols import check_protocol
    from clipnb.claims.running import record_experiment

    waiting = {}  # the experiments that can be run

    def check(experiment: "Experiment") -> str:
        check_protocol(experiment)
        waiting[experiment.name] = experiment
        wanted = seeds or range(experiment.protocol.seeds)
        return f"{experiment.name}: seeds {', '.join(map(str, wanted))}"

    def record(experiment: "Experiment") -> str:
        del waiting[experiment.name]  # it comes back if it does not fail
        path = record_experiment(experiment, [seed])
        waiting[experiment.name] = experiment
        return f"wrote {path}: seed {seed}"

    alone = len(experiments) == 1
    statuses = [do_each(experiments, check)]
    most = max((each.protocol.seeds for each in waiting.values()), default=0)
    for seed in seeds or range(most):
        due = {
            name: each
            for name, each in waiting.items()
            if seeds is not None or seed < each.protocol.seeds
        }
        statuses.append(do_each(due, record, strict=alone))
    return FAILED if FAILED in statuses else None


def record_all_budgets(seeds: Sequence[int] | None = None) -> int | None:
    """Measure all experiments that have smaller budgets. Returns an exit status, if not 0.

    seeds: as many of them as there are to be, by default `N_SEEDS`.
    """
    from clipnb.claims import find_experiment
    from clipnb.claims.budgets import BUDGETS, N_SEEDS, record_budgets

    n_seeds = len(seeds) if seeds else N_SEEDS
    experiments = {name: find_experiment(name) for name in BUDGETS}
    return do_each(experiments, lambda each: f"wrote {record_budgets(each.name, n_seeds)}")


def describe_small_run(experiment: "Experiment", seeds: Sequence[int]) -> str:
    """Run an experiment with the small settings of the notebooks and tell its effects."""
    from clipnb.claims.running import run_experiment
    from clipnb.claims.showing import format_effect

    record = run_experiment(experiment, list(seeds), small=True)
    told = [f"{name}: {format_effect(effect)}" for name, effect in record["effects"].items()]
    title = f"{experiment.name}, small settings, without a verdict. {record['because']}"
    return "\n  ".join([title, *told])


def print_list(experiments: "Experiments") -> None:
    """Print all experiments, one a line: name, claim, seeds on record, verdict and title."""
    from clipnb.claims import record_path
    from clipnb.claims.running import read_claim

    for name, experiment in experiments.items():
        path, done, verdict = record_path(name), 0, "-"
        if path.exists():
            record = read_claim(path)
            done, verdict = len(record["seeds"]), record["verdict"]
        seeds = f"{done}/{experiment.protocol.seeds} seeds"
        print("\t".join([name, experiment.claim, seeds, verdict, experiment.title]))


def run_study(arguments: Namespace, experiments: "Experiments") -> None:
    """Run a study of the course, which tests no claim. Raises ValueError for an unknown name."""
    from clipnb.experiments import STUDIES, record_study

    name, seeds = arguments.name, arguments.seeds or range(3)
    if name not in STUDIES:
        names = ", ".join([*experiments, *STUDIES, "coverage", "budgets"])
        raise ValueError(f"no experiment {name!r}; there are {names}, and all.")
    options = [option for option in ("small", "protocol", "tune") if getattr(arguments, option)]
    if options or not isinstance(seeds, range):
        raise ValueError(f"{name} tests no claim: give --seeds a number and nothing else.")
    print(f"wrote {record_study(name, len(seeds))}")

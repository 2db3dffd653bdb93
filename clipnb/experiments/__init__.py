"""The experiments on the paper's claims, one module for each notebook. `python -m clipnb experiment NAME` runs one in full."""

from clipnb.experiments import corruptions, few_shot, limits, objectives, overlap, robustness, scaling, temperature, zero_shot

EXPERIMENTS = {experiment.name: experiment for module in (zero_shot, limits, objectives, few_shot, robustness, corruptions, overlap, scaling, temperature) for experiment in module.EXPERIMENTS}


def find_experiment(name):
    """The experiment of that name. Raises ValueError, with the list of names, if there is none."""
    if name not in EXPERIMENTS:
        raise ValueError(f"no experiment {name!r}; there are {', '.join(EXPERIMENTS)}.")
    return EXPERIMENTS[name]

"""What experiments are made of: exams, probes, supervised twins, and one seed kept in the cache.

The experiments on the claims of the paper are in `clipnb.claims`. Here are their tools and the
studies of the course, which test no claim.
"""

from importlib import import_module

# {study: module and function, which takes the number of seeds and writes a record}
STUDIES = {
    "adapting": ("forgetting", "record_adapting"),
    "full_budget": ("full_budget", "record_full_budget"),
}


def record_study(name: str, n_seeds: int) -> str:
    """Run a study with the seeds 0, 1, ... and write its record. Returns the path as text.

    Raises ValueError, with the list of names, for an unknown name.
    """
    if name not in STUDIES:
        raise ValueError(f"no study {name!r}; there are {', '.join(STUDIES)}.")
    module, function = STUDIES[name]
    return getattr(import_module(f"clipnb.experiments.{module}"), function)(n_seeds)

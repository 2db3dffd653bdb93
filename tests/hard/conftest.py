"""The option --record, by which `make test-hard` writes what the tests have tried."""

from hard_record import Recorder


def pytest_addoption(parser):
    parser.addoption("--record", action="store_true", help="write results/hard.json and its table")


def pytest_configure(config):
    if config.getoption("--record"):
        config.pluginmanager.register(Recorder())

from bitq.core import processes
from bitq.search.config import SearchConfig
from bitq.search.executors import executor


def test_the_default_is_processes_of_this_machine():
    assert executor(SearchConfig()) is processes.run_jobs

"""A real Ray head and a second node on this machine; skipped, by name, where Ray is not installed."""

import os
import signal
import threading
import time

import pytest

from bitq.core.errors import ConfigError, DataError, TrainingError
from bitq.core.processes import StoppedError
from bitq.search.ray_jobs import run_jobs
from tests.core.jobs import work
from tests.search import cheap

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'bitq[ray]'")
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def cluster():
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 80_000_000})
    cluster.second = cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
    cluster.wait_for_nodes()
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def run(cluster, jobs, shared=None, **more):
    return sorted(run_jobs(cluster.address, work, shared, jobs, workers=1, **more), key=lambda done: done.place)


def test_results_and_errors_come_back_as_they_were(cluster):
    done = run(cluster, [("double", 4), ("fail", "a.csv:3"), ("bug", "k"), ("double", 1)], shared=10)
    assert [d.result for d in done] == [80, None, None, 20]
    assert isinstance(done[1].error, DataError)
    assert str(done[1].error) == "a.csv:3"
    assert isinstance(done[2].error, KeyError)


def test_reports_arrive_and_may_stop_their_job(cluster):
    got = []

    def listen(index, value):
        got.append((index, value))
        return index == 0 and value >= 3

    done = run(cluster, [("report", 200), ("report", 2)], on_report=listen)
    assert isinstance(done[0].error, StoppedError)
    assert done[1].error is None
    assert [value for index, value in got if index == 1] == [0, 1]


def test_a_killed_worker_is_replaced_and_a_hopeless_job_is_an_error(cluster, tmp_path):
    done = run(cluster, [("once", tmp_path / "a"), ("kill", 0), ("double", 2)])
    assert done[0].result == 2
    assert isinstance(done[1].error, TrainingError)
    assert done[2].result == 4


def test_a_random_search_proposes_the_same_trials_as_on_this_machine(cluster, tmp_path, monkeypatch):
    here = cheap.search(tmp_path / "here", monkeypatch, "search.n_trials=20", "workers=2")
    where = ("search.executor=ray", f'search.address="{cluster.address}"')
    there = cheap.search(tmp_path / "there", monkeypatch, "search.n_trials=20", "workers=2", *where)
    assert {o.trial.key for o in there} == {o.trial.key for o in here}
    assert len(there) == 20


def test_what_ran_on_a_node_that_dies_begins_again_elsewhere(cluster):
    nodes = set()
    jobs = [("node", 4.0), ("node", 4.0)]
    stream = run_jobs(cluster.address, work, None, jobs, workers=2, on_report=lambda _, node: nodes.add(node))
    started = time.monotonic()

    def kill():
        while len(nodes) < 2 and time.monotonic() - started < 30:
            time.sleep(0.1)
        os.kill(cluster.second.all_processes["raylet"][0].process.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    done = sorted(stream)
    killer.join()
    assert len(nodes) == 2
    assert [d.error for d in done] == [None, None]
    assert len({d.result for d in done}) == 1  # both ended on the node that is left


def test_a_wrong_address_is_an_error_of_the_configuration(cluster):
    ray.shutdown()
    with pytest.raises(ConfigError, match=r"search.address: no Ray cluster at '127.0.0.1:1'"):
        list(run_jobs("127.0.0.1:1", work, None, [], workers=1))

import math
import time

import pytest

from bitq.core.errors import BitqError
from bitq.track import links, store
from bitq.track.batch import MAX_POINTS
from bitq.track.tracker import Tracker


def runs(folder, kind):
    client = store.open_client(folder)
    experiment = client.get_experiment_by_name("exp")
    return client, client.search_runs([experiment.experiment_id], f"tags.\"bitq.kind\" = '{kind}'")


def history(epochs=30):
    return [{"train/loss": 1 / (e + 1), "val/accuracy": e / epochs, "weights/fc1/flips": 0.1} for e in range(epochs)]


def test_a_variant_is_a_run_with_its_c_and_a_child_per_seed_in_under_two_seconds(
    begin, folder, variant, deploy, result, tmp_path
):
    path = tmp_path / "result.json"
    result.write(path)
    with begin() as study:
        start = time.monotonic()
        study.variant("binary", variant, [history()] * 3, [4, 5, 6], deploy)
        assert time.monotonic() - start < 2
        study.finish("finished", path)

    client, [parent] = runs(folder, "config")
    assert parent.info.run_name == "binary · 96.0 % · 1,234 B"
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["accuracy"] == pytest.approx(0.96)
    assert parent.data.metrics["accuracy.worst"] == pytest.approx(0.95)
    assert parent.data.metrics["flash_bytes"] == parent.data.metrics["cortex-m0plus/flash_bytes"] == 1234
    assert parent.data.params["bits/fc1.weight"] == "1"
    assert "94" not in parent.data.tags["mlflow.note.content"]
    assert "96.00 ± 1.00" in parent.data.tags["mlflow.note.content"]
    root = client.download_artifacts(parent.info.run_id, "")
    assert (folder.parent / "deploy" / "model.c").read_bytes() == (
        store.Path(root) / "c" / "model.c.txt"
    ).read_bytes()
    assert (store.Path(root) / "deploy" / "manifest.json").exists()
    assert parent.info.artifact_uri.startswith(folder.as_uri())

    client, children = runs(folder, "repeat")
    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {parent.info.run_id}
    assert {child.data.params["seed"]: child.data.metrics["accuracy"] for child in children} == pytest.approx(
        {"4": 0.95, "5": 0.97, "6": 0.96}
    )
    curve = client.get_metric_history(children[0].info.run_id, "val/accuracy")
    assert [(point.step, point.value) for point in curve] == [(e + 1, e / 30) for e in range(30)]

    client, [summary] = runs(folder, "study")
    assert summary.info.status == "FINISHED"
    assert {a.path for a in client.list_artifacts(summary.info.run_id)} == {"config.yaml", "result.json"}
    for run in [parent, summary, *children]:
        assert run.data.tags["bitq.study"] == "s"
        assert run.data.tags["bitq.fingerprint"] == "f00"
        assert run.data.tags["mlflow.source.git.commit"] == "unknown"  # no repository around the test
    assert not list((folder / "locks").glob("*.lock"))


@pytest.mark.parametrize(
    ("status", "expected"),
    [("finished", "FINISHED"), ("failed", "FAILED"), ("interrupted", "KILLED"), ("pruned", "KILLED")],
)
def test_every_end_has_its_status(begin, folder, status, expected):
    with begin() as study:
        study.finish(status)
        study.finish("finished")  # the first word counts
    _, [summary] = runs(folder, "study")
    assert (summary.info.status, summary.data.tags["bitq.status"]) == (expected, status)


@pytest.mark.parametrize(
    ("error", "expected"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED"), (None, "FAILED")]
)
def test_a_study_that_nobody_finished_still_ends(begin, folder, error, expected):
    if error is None:
        with begin():
            pass
    else:
        with pytest.raises(error), begin():
            raise error
    _, [summary] = runs(folder, "study")
    assert summary.info.status == expected
    assert not list((folder / "locks").glob("*.lock"))


def test_what_mlflow_would_falsify_goes_elsewhere(begin, folder):
    text = "é" * 7000
    with begin() as study:
        study.trial(0, {"long": text, "a@b": 1}, math.inf, "failed", {"x": math.nan, "ok": 2.0, "acc@1": 0.5})
        study.finish("finished")
    client, [run] = runs(folder, "trial")
    assert run.info.status == "FAILED"
    assert "objective" not in run.data.metrics
    assert "x" not in run.data.metrics
    assert run.data.tags["bitq.nonfinite.objective"] == "inf at step 0"
    assert run.data.tags["bitq.nonfinite.x"] == "nan at step 0"
    assert run.data.metrics["ok"] == 2.0
    assert 0.5 in run.data.metrics.values()
    assert client.download_artifacts(run.info.run_id, "params/long.txt")
    stored = store.Path(client.download_artifacts(run.info.run_id, "params/long.txt")).read_text("utf-8")
    assert stored == text


def test_very_long_curves_are_thinned_and_say_so(begin, folder, variant):
    epochs = MAX_POINTS // 3 + 10
    with begin() as study:
        study.variant("binary", variant, [history(epochs), history(5), history(5)], [0, 1, 2])
        study.finish("finished")
    client, children = runs(folder, "repeat")
    [long] = [child for child in children if "bitq.thinned" in child.data.tags]
    steps = [point.step for point in client.get_metric_history(long.info.run_id, "train/loss")]
    assert steps[-1] == epochs
    assert len(steps) < epochs


def test_two_processes_cannot_run_one_study(begin, monkeypatch):
    monkeypatch.setattr(store.time, "sleep", lambda _: None)
    ticks = iter(range(100))
    with begin() as study:
        with monkeypatch.context() as patch:
            patch.setattr(store.time, "monotonic", lambda: next(ticks))
            with pytest.raises(BitqError, match="study s is running in another process"):
                begin()
        study.finish("finished")


def test_names_cannot_lead_out_of_the_folder(begin, folder):
    with pytest.raises(BitqError, match="outside"):
        begin(study="../../x")
    with pytest.raises(BitqError, match="outside"):
        begin(experiment="../../x")
    assert not (folder.parent / "x.lock").exists()


def test_saved_views_are_what_the_interface_reads(begin, folder, variant):
    import json

    with begin() as study:
        assert study.link.url.endswith("workflowType=machine_learning")  # no view yet: none in the link
        study.variant("binary", variant, seeds=[0, 1, 2])
        assert study.link.url.endswith(f"viewStateShareKey={links.TRADE}")
        study.finish("finished")
    experiment = store.open_client(folder).get_experiment_by_name("exp")
    tags = {key: value for key, value in experiment.tags.items() if key.startswith(links.VIEW_TAG)}
    assert set(tags) == {links.VIEW_TAG + links.TRADE, links.VIEW_TAG + links.REPEATS}
    for value in tags.values():
        view = json.loads(value)
        state = json.loads(view["state"])
        assert (type(view["name"]), type(view["createdAt"])) == (str, int)
        section = state["compareRunSections"][0]["uuid"]
        assert {chart["metricSectionId"] for chart in state["compareRunCharts"]} == {section}


def test_a_tracker_that_is_off_takes_every_call(tmp_path, variant, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Tracker().study("e", "s", command="c", config_yaml="", fingerprint="") as study:
        study.variant("binary", variant, [], [0])
        study.trial(0, {}, 1.0, "complete")
        study.finish("finished")
        assert study.link is None
    assert not (tmp_path / "mlruns").exists()

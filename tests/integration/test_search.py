"""The search from the command line: it ends with the best assignment exported, and a kill costs no trial."""

import re

SEARCH = ("+experiment=digits", "+search=lambda_bits", "search.n_trials=7", "train.epochs=3", "track=none")


def test_a_killed_search_does_the_rest_and_exports_the_best(bitq):
    process = bitq.start(*SEARCH)
    done = 0
    for line in process.stdout:
        done += ": done" in line
        if done == 3:
            break
    process.kill()
    process.wait()
    ran = bitq.run(*SEARCH)
    assert ran.code == 0, ran.err
    before = int(re.search(r"(\d+) of 7 trials done", ran.out).group(1))
    assert before >= 3
    assert f"({7 - before} of {7 - before})" in ran.out
    best = ran.result["variants"]["best"]
    assert best["targets"]["cortex-m0plus"]["mismatches"] == 0
    budget = int(re.search(r"budget ([\d,]+) bytes", ran.out).group(1).replace(",", ""))
    assert best["parameter_bytes"] <= budget
    again = bitq.run(*SEARCH[:-2], "train.epochs=4", "track=none")
    assert again.code == 2
    assert "train.epochs: 3 → 4" in again.err

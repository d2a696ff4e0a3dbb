"""Leaks of a district from its inflow alone: a year at 30 min, scored as LeakDB does."""

import time

import numpy as np

from kerbline.control.leaks import inflow
from kerbline.control.leaks.inflow_week import TRAINED_DAYS
from kerbline.leakfiles import read_inflow
from tests.budgets import leakdb
from tools.figures import Figure
from tools.trees import ROOT

YEARS = ROOT.parent / "shared" / "data" / "leaks" / "dma_year_dev.npz"
STEP_MIN = 30


def figures() -> list[Figure]:
    if not YEARS.exists():
        return [Figure("inflow alone", f"no {YEARS}", "%")]
    flows = read_inflow(YEARS, STEP_MIN)
    with np.load(YEARS) as arrays:
        truth = arrays["label"]
    started = time.process_time()
    said = leakdb.labels(inflow.score(flows, STEP_MIN), flows.shape[1])
    spent_s = time.process_time() - started
    late = leakdb.begins_after(truth, TRAINED_DAYS * 1440 // STEP_MIN)
    of_late = leakdb.score(truth[late], said[late])
    of_early = leakdb.score(truth[~late], said[~late])
    return [
        Figure("F1, leaks from day 14 on", of_late.f1, "%", ">= 93"),
        Figure("true negatives, leaks from day 14 on", of_late.true_negative, "%", ">= 99.5"),
        Figure("early detection, leaks from day 14 on", of_late.early, "%", ">= 80"),
        Figure("F1, where a leak runs before day 14", of_early.f1, "%"),
        Figure("early detection, where one runs before day 14", of_early.early, "%"),
        Figure("time of a year, a series", 1e3 * spent_s / len(flows), "ms CPU"),
    ]

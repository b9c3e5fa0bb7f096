"""What is said of scores over seeds, against SciPy and NumPy."""

import numpy as np
import pytest
from scipy import stats

from tst_fast.commands.paired import agreement, paired_difference, summary

ONE, OTHER = [0.71, 0.75, 0.69, 0.74, 0.72], [0.70, 0.71, 0.70, 0.71, 0.70]


def test_differences_are_those_of_a_paired_t_test():
    found = paired_difference(ONE, OTHER)
    expected = stats.ttest_rel(ONE, OTHER)
    assert found["mean"] / found["standard_error"] == pytest.approx(expected.statistic)
    assert found["interval"] == pytest.approx(list(expected.confidence_interval(0.95)))
    assert found["wins"] == 4
    turned = paired_difference(OTHER, ONE)
    assert (turned["mean"], turned["wins"]) == (pytest.approx(-found["mean"]), 1)


def test_a_single_run_has_no_interval():
    found = paired_difference([0.7], [0.6])
    assert (found["standard_error"], found["interval"]) == (None, None)
    assert summary([0.7])["standard_deviation"] is None
    assert summary(ONE)["standard_deviation"] == pytest.approx(np.std(ONE, ddof=1))


def test_agreement_is_the_mean_correlation_of_all_pairs():
    policies = np.random.default_rng(0).random((4, 14))
    correlations = np.corrcoef(policies)[np.triu_indices(4, 1)]
    assert agreement(policies.tolist()) == pytest.approx(correlations.mean())
    assert agreement(policies[:1].tolist()) is None
    assert agreement([[0.5] * 14, policies[0].tolist()]) == 0

"""The order of passes, and the steps at which the policy learns."""

from tst_fast.config.schema import replace
from tst_fast.run.plan import Pass, plan, policy_learns, rehearsal, search_is_due


def test_plan(tiny_config):
    config = tiny_config()
    teacher = [Pass("teacher", 0, 8), Pass("teacher", 1, 8, 1, ends_teacher=True)]
    search = [Pass("search", 1, 8, opens_search=True), Pass("search", 1, 8, 1)]
    student = [Pass("student", epoch, 8, epoch) for epoch in range(3)]
    assert plan(config, 8) == [*teacher, student[0], *search, *student[1:]]
    assert plan(replace(config, teacher__checkpoint="file"), 8) == [student[0], *search, *student[1:]]
    for unsearched in (
        {"distillation__augment": False},
        {"policy__search_at": []},
        {"policy__search": "none"},
        {"policy__search": "interleaved"},
    ):
        assert plan(replace(config, **unsearched), 8) == teacher + student
    assert plan(replace(config, distillation__teacher=False), 8) == student
    quarter = plan(replace(config, policy__search_fraction=0.25), 8)
    assert [one.steps for one in quarter if one.stage == "search"] == [2, 2]
    assert rehearsal(plan(config, 8)) == [
        Pass("teacher", 0, 2, ends_teacher=True),
        Pass("student", 0, 2),
        Pass("search", 1, 2, opens_search=True),
    ]


def test_interleaved_steps(tiny_config):
    config = tiny_config("--policy.search=interleaved", "--policy.search_every=5", "--policy.search_steps=2")
    assert [step for step in range(12) if policy_learns(config, step)] == [0, 1, 5, 6, 10, 11]
    for other in ({"policy__search": "listed"}, {"distillation__augment": False}, {"distillation__teacher": False}):
        assert not any(policy_learns(replace(config, **other), step) for step in range(12))


def test_a_search_that_waits_comes_when_the_student_is_sure(tiny_config):
    config = tiny_config("--policy.search_at=auto", "--policy.search_confidences=[0.5, 0.8]")
    due = [search_is_due(config, sure, searches) for sure, searches in [(0.4, 0), (0.6, 0), (0.7, 1), (0.9, 1), (1, 2)]]
    assert due == [False, True, False, True, False]
    assert not search_is_due(replace(config, policy__search_at=[1]), 1.0, 0)
    assert [one.stage for one in plan(config, 8)] == ["teacher"] * 2 + ["student"] * 3
    found = plan(config, 8, [2])
    assert [(one.stage, one.epoch) for one in found[3:]] == [
        ("student", 1),
        ("search", 2),
        ("search", 2),
        ("student", 2),
    ]


def test_what_the_student_sees_does_not_depend_on_when_the_policy_searches(tiny_config):
    """Each stage has epochs of the loader of its own."""
    searched, not_searched = (plan(tiny_config(*flags), 8) for flags in ((), ("--policy.search=none",)))
    epochs = [[one.loader_epoch for one in passes if one.stage == "student"] for passes in (searched, not_searched)]
    assert epochs == [[0, 1, 2]] * 2
    every = [one.loader_epoch for one in searched]
    assert len(set(every)) == len(every)

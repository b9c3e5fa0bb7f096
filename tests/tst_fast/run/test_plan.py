"""The order of passes, and the steps at which the policy learns."""

from tst_fast.config.schema import replace
from tst_fast.run.plan import Pass, plan, policy_learns, rehearsal


def test_plan(tiny_config):
    config = tiny_config()
    teacher = [Pass("teacher", 0, 8), Pass("teacher", 1, 8, ends_teacher=True)]
    search = [Pass("search", 1, 8, opens_search=True), Pass("search", 1, 8)]
    student = [Pass("student", epoch, 8) for epoch in range(3)]
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

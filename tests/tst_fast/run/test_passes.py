"""What metrics.jsonl says of each pass over the images, and that no two steps share random numbers."""

import pytest

from tests.tst_fast.events import events_of
from tst_fast.policy.policy import Policy
from tst_fast.run.search import PolicySearch
from tst_fast.run.update import ModelUpdate


def _check_mean_losses(events):
    """The mean loss of a pass is that of its steps; an event of steps holds the mean of those since the last one."""
    sums, last = {}, {}
    checked = []
    for event in events:
        stage = event["stage"]
        if event["event"] == "steps":
            steps = event["step"] - last.get(stage, 0)
            sums[stage] = sums.get(stage, 0.0) + steps * event["means"]["loss"]
            last[stage] = event["step"]
        else:
            assert event["mean_loss"] == pytest.approx(sums.pop(stage) / last.pop(stage), rel=1e-5)
            checked.append((stage, event["epoch"]))
    return checked


def test_the_mean_loss_of_a_pass_is_that_of_its_steps(whole_run_of, tiny_config, make_run):
    """Whether a line is of one step or of several, not always as many; and the search's apart from the student's."""
    run = make_run(tiny_config("--log_every=3"))
    run.run()
    teacher, student = [("teacher", 0), ("teacher", 1)], [("student", epoch) for epoch in range(3)]
    listed = [*teacher, student[0], ("search", 1), ("search", 1), *student[1:]]
    assert _check_mean_losses(events_of(run.folder, "steps", "pass")) == listed
    interleaved = whole_run_of("interleaved, and every option")
    assert _check_mean_losses(events_of(interleaved.folder, "steps", "pass")) == [*teacher, *student]


def test_every_step_has_random_numbers_of_its_own(tiny_config, make_run, monkeypatch):
    draw, places = Policy.draw, set()

    def recorded(self, batch_size):
        drawn = draw(self, batch_size)
        if batch_size == 100:  # of a step, and not for the pictures at the end
            places.add(tuple(drawn.centres.flatten().tolist()))
        return drawn

    monkeypatch.setattr(Policy, "draw", recorded)
    make_run(tiny_config("--policy.search=none")).run()
    assert len(places) == 12  # steps of the student, in three epochs


def test_the_policy_takes_its_interleaved_step_just_before_the_student(tiny_config, make_run, monkeypatch):
    """On the batch that the student then learns from, so that what is learned is applied at once."""
    order = []

    def recorded(step, who):
        def wrapped(self, batch):
            order.append((who, batch.indices.tolist()))
            return step(self, batch)

        return wrapped

    for kind, who in ((PolicySearch, "policy"), (ModelUpdate, "student")):
        monkeypatch.setattr(kind, "step", recorded(kind.step, who))
    flags = ("--policy.search=interleaved", "--policy.search_every=4", "--student_training.epochs=2")
    run = make_run(tiny_config(*flags, "--teacher_training.epochs=1"))
    run.run()
    after_the_teacher = order[4:]
    assert [who for who, _ in after_the_teacher] == ["policy", *["student"] * 4] * 2
    assert all(after_the_teacher[i][1] == after_the_teacher[i + 1][1] for i in (0, 5))


def test_each_search_begins_with_the_rate_that_was_asked_for(tiny_config, make_run, monkeypatch):
    """However far the plateau rule brought it down in the search before."""
    rates, step = [], PolicySearch.step

    def recorded(self, batch):
        rates.append(self.optimizer.param_groups[0]["lr"])
        return step(self, batch)

    monkeypatch.setattr(PolicySearch, "step", recorded)
    monkeypatch.setattr("tst_fast.run.search.PLATEAU", 1e9)  # no fall is enough
    flags = ("--policy.search_at=[0, 1]", "--policy.learning_rate=0.5", "--student_training.epochs=2")
    make_run(tiny_config(*flags, "--teacher_training.epochs=1")).run()
    # Two passes of four steps: the first has nothing to be compared with, and the second's rule acts at its end.
    assert rates[0] == rates[8] == 0.5
    assert len(rates) == 16


def test_a_plan_that_changes_while_it_is_followed_is_followed(tiny_config, make_run):
    run = make_run(tiny_config("--policy.search=none", "--teacher_training.epochs=1"))
    step = run.learners.student.step

    def shortening(batch):
        run.session.passes = run.session.passes[:3]
        return step(batch)

    run.learners.student.step = shortening
    run.run()
    ends = [(event["stage"], event["epoch"]) for event in events_of(run.folder, "pass")]
    assert ends == [("teacher", 0), ("student", 0), ("student", 1)]

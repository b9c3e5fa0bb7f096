"""Which run of a comparison is under way, and how long the others will take."""

from tst_fast.commands.schedule import TEACHER, Schedule


def test_the_time_left_is_that_of_the_runs_that_are_left():
    schedule = Schedule(["KD", "TST"], repetitions=3, teachers=1)
    assert (schedule.begin(), schedule.runs, str(schedule)) == (1, 7, "")
    schedule.took(TEACHER, 1000)
    assert (schedule.begin(), str(schedule)) == (2, "")  # what a student takes is not known from a teacher
    schedule.took("KD", 10)
    assert str(schedule) == f", about 0:00:{2 * 10 + 3 * 10} left"
    schedule.took("TST", 40)
    schedule.took("KD", 20)
    assert (schedule.begin(), str(schedule)) == (3, f", about 0:01:{15 + 2 * 40 - 60} left")


def test_a_teacher_for_each_choice_of_images_is_counted():
    schedule = Schedule(["KD"], repetitions=4, teachers=2)
    schedule.took(TEACHER, 100)
    schedule.took("KD", 10)
    schedule.took("KD", 10)
    assert schedule.runs == 6
    assert str(schedule) == ", about 0:02:00 left"


def test_runs_side_by_side_share_the_time():
    schedule = Schedule(["KD"], repetitions=5, teachers=0, jobs=2)
    schedule.took("KD", 30)
    assert str(schedule) == f", about 0:01:{4 * 30 // 2 - 60:02} left"

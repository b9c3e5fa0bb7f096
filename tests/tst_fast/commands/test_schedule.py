"""Which run of a comparison is under way, and how long the others will take."""

from tst_fast.commands.schedule import TEACHER, Schedule


def test_the_time_left_is_that_of_the_runs_that_are_left():
    schedule = Schedule(["KD", "TST"], repetitions=3, teachers=1)
    assert (schedule.number, schedule.runs, str(schedule)) == (1, 7, "")
    schedule.took(TEACHER, 1000)
    assert (schedule.number, str(schedule)) == (2, "")  # what a student takes is not known from a teacher
    schedule.took("KD", 10)
    assert str(schedule) == f", about 0:00:{2 * 10 + 3 * 10} left"
    schedule.took("TST", 40)
    schedule.took("KD", 20)
    assert (schedule.number, str(schedule)) == (5, f", about 0:01:{15 + 2 * 40 - 60} left")


def test_a_teacher_for_each_choice_of_images_is_counted():
    schedule = Schedule(["KD"], repetitions=4, teachers=2)
    schedule.took(TEACHER, 100)
    schedule.took("KD", 10)
    schedule.took("KD", 10)
    assert (schedule.number, schedule.runs) == (4, 6)
    assert str(schedule) == ", about 0:02:00 left"

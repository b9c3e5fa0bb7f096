"""Faults made on purpose, and the test that must fail for each: `make mutants` makes them, see `mutate.py`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """A fault.

    Attributes:
        what: it does.
        file: it is made in, relative to the root.
        old: text of the file, exactly once in it.
        new: what stands there instead.
        test: pytest's name of one that must fail, relative to `tests/`.
    """

    what: str
    file: str
    old: str
    new: str
    test: str


MUTANTS = [
    # What the student minimises.
    Mutant(
        "the student's loss is on the plain half only",
        "tst_fast/run/student.py",
        "loss = sum(losses[1:], losses[0]) / len(losses)",
        "loss = losses[-1]",
        "tst_fast/run/test_student.py::test_half_is_on_what_the_policy_makes_of_the_images_and_half_on_the_images",
    ),
    Mutant(
        "both halves count whole",
        "tst_fast/run/student.py",
        "loss = sum(losses[1:], losses[0]) / len(losses)",
        "loss = sum(losses)",
        "tst_fast/run/test_student.py::test_half_is_on_what_the_policy_makes_of_the_images_and_half_on_the_images",
    ),
    Mutant(
        "the teacher learns from the student",
        "tst_fast/run/student.py",
        "for output in (student, teacher)), targets",
        "for output in (teacher, student)), targets",
        "tst_fast/run/test_student.py::test_half_is_on_what_the_policy_makes_of_the_images_and_half_on_the_images",
    ),
    Mutant(
        "the confidence that is reported is that on plain images",
        "tst_fast/run/student.py",
        "confidences[0]",
        "confidences[-1]",
        "tst_fast/run/test_student.py::test_half_is_on_what_the_policy_makes_of_the_images_and_half_on_the_images",
    ),
    Mutant(
        "a feature's weight is ignored",
        "tst_fast/run/student.py",
        "loss + pair.weight * feature_distance(one, other)",
        "loss + feature_distance(one, other)",
        "tst_fast/run/test_student.py::test_a_feature_counts_by_its_weight",
    ),
    Mutant(
        "KD without the square of its temperature",
        "tst_fast/losses/distillation.py",
        "return tau**2 * F.kl_div(",
        "return F.kl_div(",
        "tst_fast/run/test_student.py::test_without_augmentation_all_is_on_the_images",
    ),
    # What the policy minimises.
    Mutant(
        "the policy looks for what the student knows",
        "tst_fast/losses/search.py",
        "missed = (1 - student.softmax(dim=1) + EPSILON).log()",
        "missed = -(1 - student.softmax(dim=1) + EPSILON).log()",
        "tst_fast/run/test_search.py::test_probability_rises_where_only_the_student_is_fooled",
    ),
    Mutant(
        "teacher and student swapped in the search",
        "tst_fast/run/search.py",
        "(teacher, student, asked.labels, asked.weights)",
        "(student, teacher, asked.labels, asked.weights)",
        "tst_fast/run/test_search.py::test_probability_rises_where_only_the_student_is_fooled",
    ),
    Mutant(
        "the policy climbs",
        "tst_fast/run/search.py",
        "(loss * share).backward()",
        "(loss * -share).backward()",
        "tst_fast/run/test_search.py::test_probability_rises_where_only_the_student_is_fooled",
    ),
    Mutant(
        "the search moves the networks' statistics",
        "tst_fast/models/frozen.py",
        "model.eval().requires_grad_(False)",
        "model.requires_grad_(False)",
        "tst_fast/run/test_search.py::test_teacher_and_student_stay_as_they_were",
    ),
    Mutant(
        "momentum and rate of the policy outlive its search",
        "tst_fast/run/loop.py",
        "self.learners.require_search().begin()",
        "pass",
        "tst_fast/run/test_passes.py::test_each_search_begins_with_the_rate_that_was_asked_for",
    ),
    Mutant(
        "the student's term of the search counts nothing",
        "tst_fast/run/search.py",
        "self.config.student_weight * of_student",
        "0 * of_student",
        "tst_fast/run/test_search.py::test_the_students_term_counts_by_its_weight",
    ),
    Mutant(
        "straight-through gates come with one draw of operations for all images",
        "tst_fast/policy/policy.py",
        "shared = self.shared_draw and not straight_through",
        "shared = self.shared_draw",
        "tst_fast/policy/test_policy.py::test_straight_through_gates_are_0_or_1_and_pass_the_derivative_of_the_probability",
    ),
    Mutant(
        "what strengthens is said to weaken",
        "tst_fast/run/signal.py",
        "-mean / error",
        "mean / error",
        "tst_fast/run/test_signal.py::test_statistics_are_those_of_a_t_test",
    ),
    # The alternation.
    Mutant(
        "a search takes the student's epochs of the loader",
        "tst_fast/run/plan.py",
        '"search": 1_000_000',
        '"search": 0',
        "tst_fast/run/test_plan.py::test_what_the_student_sees_does_not_depend_on_when_the_policy_searches",
    ),
    Mutant(
        "second crops are the first ones again",
        "tst_fast/run/session.py",
        "seed = self.config.seed + SECOND_CROP",
        "seed = self.config.seed",
        "tst_fast/commands/test_compare.py::test_what_the_student_of_an_arm_is_shown",
    ),
    Mutant(
        "the student learns from a batch before the policy does",
        "tst_fast/run/loop.py",
        """            self._update("search", batch)
        self._update(stage, batch)
""",
        """            self._update(stage, batch)
            return self._update("search", batch)
        self._update(stage, batch)
""",
        "tst_fast/run/test_passes.py::test_the_policy_takes_its_interleaved_step_just_before_the_student",
    ),
    Mutant(
        "the same random numbers in each step of a pass",
        "tst_fast/run/loop.py",
        "        batch = self.session.mixing[stage](batch)\n",
        """        reseed(self.config.seed, Stream.STEP, self.accelerator.process_index, self.progress.pass_index)
        batch = self.session.mixing[stage](batch)
""",
        "tst_fast/run/test_passes.py::test_every_step_has_random_numbers_of_its_own",
    ),
    Mutant(
        "the same random numbers in each pass",
        "tst_fast/run/loop.py",
        "        batch = self.session.mixing[stage](batch)\n",
        """        reseed(self.config.seed, Stream.STEP, self.accelerator.process_index, self.progress.step)
        batch = self.session.mixing[stage](batch)
""",
        "tst_fast/run/test_passes.py::test_every_step_has_random_numbers_of_its_own",
    ),
    Mutant(
        "the student is evaluated on what it learns from",
        "tst_fast/run/milestones.py",
        "network, session.test_loader, ",
        "network, session.training_loader, ",
        "tst_fast/run/test_loop.py::test_a_run_leaves_what_it_promises",
    ),
    # The arms of a comparison.
    Mutant(
        "KD is run as KD with the untrained policy",
        "tst_fast/commands/arms.py",
        "    KD: Arm(PLAIN),",
        '    KD: Arm({"policy__search": "none"}),',
        "tst_fast/commands/test_compare.py::test_what_the_student_of_an_arm_is_shown",
    ),
    Mutant(
        "KD with the untrained policy is run as TST",
        "tst_fast/commands/arms.py",
        'UNTRAINED: Arm({"policy__search": "none"})',
        "UNTRAINED: Arm({})",
        "tst_fast/commands/test_compare.py::test_what_the_student_of_an_arm_is_shown",
    ),
    Mutant(
        "every seed is the first",
        "tst_fast/commands/comparison.py",
        "replace(config, seed=seed, **how.changes)",
        "replace(config, **how.changes)",
        "tst_fast/commands/test_compare.py::test_what_the_student_of_an_arm_is_shown",
    ),
    # What a reader is told.
    Mutant(
        "before and after are swapped in the table",
        "tst_fast/report/terminal.py",
        "for old, new in zip(before, after, strict=True):",
        "for new, old in zip(before, after, strict=True):",
        "tst_fast/report/test_terminal.py::test_the_table_goes_from_before_to_after",
    ),
    Mutant(
        "a run tells after and before",
        "tst_fast/report/terminal.py",
        "policy_table(history[0], history[-1])",
        "policy_table(history[-1], history[0])",
        "tst_fast/report/test_terminal.py::test_a_run_tells_what_its_policy_file_holds",
    ),
    Mutant(
        "no magnitudes in the table",
        "tst_fast/report/terminal.py",
        "row(new.operation, probability, magnitude, new.unit)",
        'row(new.operation, probability, "", new.unit)',
        "tst_fast/report/test_terminal.py::test_the_table_goes_from_before_to_after",
    ),
    Mutant(
        "no curves of the levels",
        "tst_fast/report/plots.py",
        "        if row.level is not None:\n",
        "        if False:\n",
        "tst_fast/report/test_terminal.py::test_the_plot_shows_each_probability_and_level_over_the_passes",
    ),
    Mutant(
        "the mean loss of a pass is 0",
        "tst_fast/run/announcer.py",
        "mean_loss = self.progress.pass_loss / self.progress.step",
        "mean_loss = 0.0",
        "tst_fast/run/test_passes.py::test_the_mean_loss_of_a_pass_is_that_of_its_steps",
    ),
    Mutant(
        "several steps count as one in the mean loss",
        "tst_fast/run/loop.py",
        'one.means["loss"] * one.steps',
        'one.means["loss"]',
        "tst_fast/run/test_passes.py::test_the_mean_loss_of_a_pass_is_that_of_its_steps",
    ),
    Mutant(
        "the half line of a killed run is read",
        "tst_fast/report/metrics.py",
        r'text.split("\n")[:-1]',
        r'text.split("\n")',
        "tst_fast/report/test_metrics.py::test_the_half_line_of_a_killed_run_is_left_out",
    ),
    Mutant(
        "the pictures of the trained and of the untrained policy are swapped",
        "tst_fast/run/held_out_gap.py",
        '{"trained": trained, "untrained": untrained(trained)}',
        '{"untrained": trained, "trained": untrained(trained)}',
        "tst_fast/run/test_pictures.py::test_the_trained_policy_is_the_one_that_learned",
    ),
    Mutant(
        "a process shows the first classes alone",
        "tst_fast/run/pictures.py",
        "np.tile(positions, ranks)",
        "np.repeat(positions, ranks)",
        "tst_fast/run/test_pictures.py::test_several_processes_show_the_same_images",
    ),
    Mutant(
        "rows of the confusion matrix are answers",
        "tst_fast/tasks/metrics/classification.py",
        "counts.numpy() if whole",
        "counts.numpy().T if whole",
        "tst_fast/tasks/metrics/test_classification_metrics.py::test_every_image_counts_once",
    ),
    Mutant(
        "a rank blames its own images for another's NaN",
        "tst_fast/run/readings.py",
        "None if own[first].isfinite().all() else indices",
        "indices",
        "tst_fast/run/test_readings.py::test_what_is_not_finite_stops_every_rank_and_names_the_images_of_its_own",
    ),
    # Time.
    Mutant(
        "the stopwatch counts double",
        "tst_fast/run/stopwatch.py",
        "self._seconds[name] += time.perf_counter() - started",
        "self._seconds[name] += 2 * (time.perf_counter() - started)",
        "tst_fast/run/test_time.py::test_seconds_add_up_by_name_until_they_are_read",
    ),
    Mutant(
        "an interleaved search's time is also the student's",
        "tst_fast/run/progress.py",
        "self.student += seconds - searching",
        "self.student += seconds",
        "tst_fast/run/test_time.py::test_a_run_says_how_long_the_student_and_the_search_took",
    ),
    Mutant(
        "a listed search's time counts twice",
        "tst_fast/run/progress.py",
        "self.search += seconds\n",
        "self.search += seconds + seconds\n",
        "tst_fast/run/test_time.py::test_a_run_says_how_long_the_student_and_the_search_took",
    ),
    Mutant(
        "the doctor expects one step of a search",
        "tst_fast/commands/cost.py",
        'step.pop("search", 0.0) * counts["search"]',
        'step.pop("search", 0.0)',
        "tst_fast/run/test_time.py::test_the_doctor_expects_of_each_stage_its_seconds_times_its_steps",
    ),
    # Checkpoints.
    Mutant(
        "every checkpoint is kept",
        "tst_fast/run/checkpoint.py",
        "        old.unlink()",
        "        pass",
        "tst_fast/run/test_checkpoint.py::test_the_two_newest_are_kept",
    ),
    Mutant(
        "a checkpoint is written straight to its final name",
        "pipelines/tst_pipelines/writing.py",
        'with os.fdopen(handle, "wb") as file:',
        'with open(path, "wb") as file:',
        "tst_fast/run/test_checkpoint.py::test_a_write_that_fails_harms_no_checkpoint",
    ),
    Mutant(
        "a checkpoint's checksum is not looked at",
        "tst_fast/run/checkpoint.py",
        "return left == 0 and opened.read() == MARK + digest.digest()",
        "return True",
        "tst_fast/run/test_checkpoint_damage.py::test_falls_back_to_the_one_before",
    ),
    Mutant(
        "weights that are not finite are saved",
        "tst_fast/run/loop.py",
        "if not checkpoint.is_finite(learners):",
        "if False:",
        "tst_fast/run/test_checkpoint_damage.py::test_weights_that_are_not_finite_are_never_saved",
    ),
    # What was asked of a run, and what became of it.
    Mutant(
        "a run goes on whatever has changed",
        "tst_fast/run/loop.py",
        "        origin.require_stated(changed, overrides or {}, self.folder)\n",
        "",
        "tst_fast/run/test_origin.py::test_an_altered_setting_is_named_and_refused",
    ),
    Mutant(
        "a rate that was stated is not taken",
        "tst_fast/run/search.py",
        'group["lr"] *= self.config.learning_rate / state["first_learning_rate"]',
        "pass",
        "tst_fast/run/test_origin.py::test_a_rate_of_the_search_that_is_stated_is_taken",
    ),
    Mutant(
        "a signal waits for the next checkpoint that is due",
        "tst_fast/run/loop.py",
        "if saves or asked:",
        "if saves:",
        "tst_fast/run/test_interruption.py::test_a_signal_is_obeyed_at_the_next_step",
    ),
    Mutant(
        "a gradient that is not finite goes unseen",
        "tst_fast/run/update.py",
        'return {**weighted_mean(scalars, shares), "gradient_norm": norm}',
        "return weighted_mean(scalars, shares)",
        "tst_fast/run/test_not_finite.py::test_a_gradient_that_is_not_finite_stops_at_its_step",
    ),
    # The gap on held-out images.
    Mutant(
        "the gap is measured without its seed",
        "tst_fast/run/held_out_gap.py",
        "reseed(session.config.seed, Stream.HELD_OUT_GAP, session.accelerator.process_index)",
        "pass",
        "tst_fast/run/test_held_out_gap.py::test_a_seed_gives_the_same_gap_again_and_another_another",
    ),
    Mutant(
        "the two policies are drawn from with other random numbers",
        "tst_fast/run/held_out_gap.py",
        "reseed(session.config.seed, Stream.HELD_OUT_GAP, session.accelerator.process_index)",
        "reseed(session.config.seed, Stream.HELD_OUT_GAP, session.accelerator.process_index, len(found))",
        "tst_fast/run/test_held_out_gap.py::test_both_policies_are_drawn_from_alike",
    ),
    Mutant(
        "the gap is measured with a draw for each batch",
        "tst_fast/run/held_out_gap.py",
        "policy.shared_draw = False",
        "pass",
        "tst_fast/run/test_held_out_gap.py::test_each_image_has_a_draw_of_its_own",
    ),
    Mutant(
        "the untrained policy of the gap is the trained one",
        "tst_fast/run/held_out_gap.py",
        "    policy.reset()\n",
        "",
        "tst_fast/run/test_held_out_gap.py::test_a_seed_gives_the_same_gap_again_and_another_another",
    ),
]

"""Faults of the method: losses, search, alternation, comparison."""

from tests.mutants.mutant import Mutant

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
        "loss + pair.weight * feature_distance(one, other, self.config.feature_loss)",
        "loss + feature_distance(one, other, self.config.feature_loss)",
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
        "missed = (1 - _log_probabilities(student, labels).exp() + EPSILON).log()",
        "missed = -(1 - _log_probabilities(student, labels).exp() + EPSILON).log()",
        "tst_fast/run/test_search.py::test_probability_rises_where_only_the_student_is_fooled",
    ),
    Mutant(
        "teacher and student swapped in the search",
        "tst_fast/run/search.py",
        "(teacher, student, asked.labels, asked.weights)",
        "(student, teacher, asked.labels, asked.weights)",
        "tst_fast/run/test_search.py::test_straight_through_gates_lead_there_too_and_their_gradient_stands_out",
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
        "tst_fast/run/gradient_noise.py",
        "-mean / error",
        "mean / error",
        "tst_fast/run/test_gradient_noise.py::test_statistics_are_those_of_a_t_test",
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
        "    KD: PLAIN,",
        '    KD: {"policy__search": "none"},',
        "tst_fast/commands/test_compare.py::test_what_the_student_of_an_arm_is_shown",
    ),
    Mutant(
        "KD with the untrained policy is run as TST",
        "tst_fast/commands/arms.py",
        'UNTRAINED: {"policy__search": "none"}',
        "UNTRAINED: {}",
        "tst_fast/commands/test_compare.py::test_what_the_student_of_an_arm_is_shown",
    ),
    Mutant(
        "every seed is the first",
        "tst_fast/commands/comparison.py",
        "replace(config, seed=seed, **changes)",
        "replace(config, **changes)",
        "tst_fast/commands/test_compare.py::test_what_the_student_of_an_arm_is_shown",
    ),
    # A budget.
    Mutant(
        "a budget makes the teacher's weight rise where its loss is too low",
        "tst_fast/policy/budget.py",
        "error = (loss - allowed) / allowed",
        "error = (allowed - loss) / allowed",
        "tst_fast/policy/test_budget.py::test_weight_rises_while_the_teacher_pays_too_much_and_may_become_negative",
    ),
    Mutant(
        "a budget is measured on what the trained policy makes of the images",
        "tst_fast/run/search.py",
        "self._answers(part, self.budget.untrained, (self.teacher,))",
        "self._answers(part, self.policy, (self.teacher,))",
        "tst_fast/policy/test_budget.py::test_search_under_a_budget_chooses_and_does_not_weaken",
    ),
]

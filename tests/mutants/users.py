"""Faults of what users are given besides the method: scores, weights, exports, checks."""

from tests.mutants.mutant import Mutant

MUTANTS = [
    Mutant(
        "the best weights are the newest",
        "tst_fast/run/milestones.py",
        'best_scores(session, self.progress)["epoch"] == epoch',
        "True",
        "tst_fast/run/test_own_weights.py::test_the_best_epoch_is_kept_beside_the_last",
    ),
    Mutant(
        "a run is made longer on any schedule",
        "tst_fast/run/course.py",
        'taken and schedule != "multi_step"',
        "False",
        "tst_fast/run/test_own_weights.py::test_what_is_past_is_not_changed",
    ),
    Mutant(
        "of a run's checkpoint the weights are taken, not their average",
        "tst_fast/models/weights.py",
        'learner.get("average") or learner.get("model")',
        'learner.get("model")',
        "tst_fast/run/test_own_weights.py::test_of_a_checkpoint_the_moving_average_is_taken_and_connectors_are_not",
    ),
    Mutant(
        "the top five are four",
        "tst_fast/tasks/metrics/classification.py",
        "output.topk(TOP)",
        "output.topk(TOP - 1)",
        "tst_fast/tasks/metrics/test_classification_metrics.py"
        "::test_the_top_five_are_counted_where_there_are_more_classes",
    ),
    Mutant(
        "an ONNX file takes images that are normalised already",
        "tst_fast/run/onnx_file.py",
        "self.network((images - self.mean) / self.std)",
        "self.network(images)",
        "tst_fast/commands/test_export_student.py::test_recognition_answers_as_the_student_does",
    ),
    Mutant(
        "folders of this machine go to the Hub",
        "tst_fast/run/model_card.py",
        'return Path(settings).name or "." if is_place else settings',
        "return settings",
        "tst_fast/commands/test_export_student.py::test_a_folder_for_the_hub",
    ),
    Mutant(
        "a new head for whatever is not published for the data's classes",
        "tst_fast/models/published.py",
        "    if published != num_classes:\n",
        "    if False:\n",
        "tst_fast/models/test_published.py::test_without_training_other_classes_are_refused",
    ),
    Mutant(
        "the head of a published network is replaced by nothing",
        "tst_fast/models/published.py",
        "published.set_submodule(path, fresh.get_submodule(path))",
        "pass",
        "tst_fast/models/test_published.py::test_a_body_of_torchvisions_comes_whole_and_its_head_is_new",
    ),
    Mutant(
        "a teacher with weights is never trained",
        "tst_fast/config/schema.py",
        " and not self.fine_tune\n",
        "\n",
        "tst_fast/run/test_own_weights.py::test_a_teacher_with_weights_is_trained_first_where_it_is_told",
    ),
    Mutant(
        "a run's folder may name code",
        "tst_fast/config/reading.py",
        "    require_said(settings_of(config), said, str(file))\n    return config\n\n\ndef load_saved",
        "    return config\n\n\ndef load_saved",
        "tst_fast/config/test_imports.py::test_a_configuration_of_the_users_is_the_users_word",
    ),
    Mutant(
        "a run's configuration is the user's if it is given as one",
        "tst_fast/config/reading.py",
        "filter(_is_of_a_run, _configurations(arguments))",
        "()",
        "tst_fast/config/test_imports.py::test_from_a_runs_folder_nothing_is_run_that_is_not_said_again",
    ),
    Mutant(
        "a bicubic filter reaches no further than a bilinear one",
        "pipelines/tst_pipelines/transforms.py",
        'radius = {"bilinear": 1, "bicubic": 2}[self.interpolation]',
        "radius = -1",
        "pipelines/loaders/test_dali_transforms.py::test_resize_center_crop_is_torchvisions",
    ),
    Mutant(
        "the student's weights say how images are prepared before the teacher's",
        "tst_fast/models/evaluation.py",
        'roles = ("teacher", "student") if',
        'roles = ("student", "teacher") if',
        "tst_fast/models/test_evaluation.py::test_what_is_said_is_done_else_what_the_weights_say_the_teachers_first",
    ),
    Mutant(
        "the doctor's margin is that of a sample of endless images",
        "tst_fast/commands/examination.py",
        "/ number * left_out) ** 0.5",
        "/ number) ** 0.5",
        "tst_fast/commands/test_doctor.py::test_the_margin_is_that_of_a_sample",
    ),
    Mutant(
        "weights of known origin are judged by the images",
        "tst_fast/commands/normalisation.py",
        "if has_weights and (stated or",
        "if False and (stated or",
        "tst_fast/commands/test_normalisation.py::test_a_verdict",
    ),
    Mutant(
        "help of a section leaves settings within its groups out",
        "tst_fast/config/help.py",
        'one.dest == topic or one.dest.startswith(f"{topic}.")',
        'one.dest == topic or one.dest.rpartition(".")[0] == topic',
        "tst_fast/test_command_line.py::test_help_fits_a_screen_and_the_rest_is_by_section",
    ),
]

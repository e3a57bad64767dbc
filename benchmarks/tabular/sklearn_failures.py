"""What fails of scikit-learn's own tests with our classes, and why that is as it should be.

``sklearn_tests`` runs them, and says what fails without being listed here.
"""

from dataclasses import dataclass

__all__ = ["EXPECTED", "KINDS", "Expected"]

KINDS = {
    "inside": "private names, or the inside of the float model, are asked for",
    "precision": "scores are compared to more digits than n_bits has",
    "refused": "what cannot be evaluated encrypted is refused, and an error says why",
    "otherwise": "what we promise is something else",
}


@dataclass(frozen=True)
class Expected:
    """Failures of one cause."""

    kind: str
    """One of `KINDS`."""
    why: str
    said: tuple[str, ...]
    """Parts, one of which is in what each failure says, as one line."""
    tests: dict[str, tuple[str, ...]]
    """By test module, the names of tests, without parameters."""


ROUNDED = (
    "Arrays are not almost equal to",
    "Not equal to tolerance",
    "comparison failed",
    "<= 1e-19",
    "> 0.96",
    "boolean index did not match indexed array",  # by NumPy, when it says how two matrices differ
)

EXPECTED = (
    Expected(
        "precision",
        "predictions, scores and projections are those of n_bits; learnt attributes are the original's",
        ROUNDED,
        {
            "sklearn.cluster.tests.test_k_means": ("test_transform",),
            "sklearn.cross_decomposition.tests.test_pls": (
                "test_pls_canonical_basics",
                "test_pls_prediction",
                "test_pls_regression_fit_1d_y",
                "test_pls_regression_scaling_coef",
                "test_sanity_check_pls_regression",
            ),
            "sklearn.decomposition.tests.test_truncated_svd": (
                "test_explained_variance",
                "test_singular_values_expected",
            ),
            "sklearn.decomposition.tests.test_pca": (
                "test_pca_explained_variance_empirical",
                "test_pca_inverse",
                "test_pca_singular_values",
                "test_pca_solver_equivalence",
                "test_whitening",
            ),
            "sklearn.ensemble.tests.test_weight_boosting": ("test_adaboost_decision_function",),
            "sklearn.linear_model.tests.test_base": ("test_linear_regression_sparse",),
            "sklearn.linear_model.tests.test_bayes": ("test_bayesian_initial_params",),
            "sklearn.linear_model.tests.test_common": ("test_balance_property",),
            "sklearn.linear_model.tests.test_coordinate_descent": (
                "test_enet_cv_grid_search",
                "test_enet_ols_consistency",
            ),
            "sklearn.linear_model.tests.test_logistic": (
                "test_logistic_regression_callback_fitted_estimator",
                "test_scores_attribute_layout_elasticnet",
            ),
            "sklearn.linear_model.tests.test_passive_aggressive": (
                "test_passive_aggressive_classifier_vs_sgd",
                "test_passive_aggressive_regressor_vs_sgd",
            ),
            "sklearn.linear_model.tests.test_sgd": ("test_balanced_weight",),
            "sklearn.linear_model.tests.test_sparse_coordinate_descent": ("test_sparse_dense_equality",),
            "sklearn.linear_model.tests.test_theil_sen": ("test_less_samples_than_features",),
            "sklearn.neighbors.tests.test_neighbors": (
                "test_neighbors_regressors_zero_distance",
                "test_regressor_predict_on_arraylikes",
            ),
            "sklearn.svm.tests.test_sparse": ("test_sparse_decision_function",),
            "sklearn.svm.tests.test_svm": (
                "test_decision_function",
                "test_linearsvc_crammer_singer",
                "test_svr_coef_sign",
                "test_svr_predict",
            ),
            "sklearn.tests.test_discriminant_analysis": ("test_lda_orthogonality",),
            "sklearn.tests.test_naive_bayes": ("test_bnb", "test_gnb_priors", "test_mnnb"),
        },
    ),
    Expected(
        "precision",
        "a likelihood that may not fall in 600 iterations falls by less than a step",
        ("assert -",),
        {"sklearn.mixture.tests.test_gaussian_mixture": ("test_monotonic_likelihood",)},
    ),
    Expected(
        "precision",
        "path lengths are rounded to steps that depend on all trees, so two forests differ by score_error_",
        ("Arrays are not equal",),
        {"sklearn.ensemble.tests.test_iforest": ("test_score_samples",)},
    ),
    Expected(
        "refused",
        "kernels that are no polynomials, among them the default of support vector machines",
        ("evaluates kernel='linear'",),
        {
            "sklearn.linear_model.tests.test_sgd": ("test_ocsvm_vs_sgdocsvm",),
            "sklearn.svm.tests.test_sparse": (
                "test_consistent_decision_function",
                "test_error",
                "test_sample_weights",
                "test_sparse_oneclasssvm",
                "test_sparse_svc_clone_with_callable_kernel",
                "test_svc",
                "test_svc_iris",
                "test_svc_with_custom_kernel",
                "test_weight",
            ),
            "sklearn.svm.tests.test_svm": (
                "test_bad_input",
                "test_consistent_decision_function",
                "test_custom_kernel_not_array_input",
                "test_decision_function_shape_two_class",
                "test_gamma_scale",
                "test_hasattr_predict_proba",
                "test_libsvm_iris",
                "test_n_support",
                "test_oneclass",
                "test_oneclass_decision_function",
                "test_oneclass_score_samples",
                "test_precomputed",
                "test_probability",
                "test_sparse_precomputed",
                "test_svc_clone_with_callable_kernel",
                "test_svc_nonfinite_params",
                "test_svc_nusvc_probA_probB_deprecated",
                "test_svc_ovr_tie_breaking",
                "test_svm_equivalence_sample_weight_C",
                "test_svm_with_infinite_C",
                "test_svr",
                "test_svr_errors",
                "test_weight",
            ),
        },
    ),
    Expected(
        "refused",
        "such kernels, where a warning is awaited; it comes with the others",
        ("DID NOT WARN",),
        {
            "sklearn.svm.tests.test_sparse": ("test_timeout",),
            "sklearn.svm.tests.test_svm": (
                "test_libsvm_convergence_warnings",
                "test_probability_raises_futurewarning",
            ),
        },
    ),
    Expected(
        "refused",
        "Manhattan distances take a lookup for each feature and class",
        ("NearestCentroid with metric='manhattan'",),
        {
            "sklearn.neighbors.tests.test_nearest_centroid": (
                "test_iris",
                "test_iris_shrinkage",
                "test_manhattan_metric",
                "test_method_not_available_with_manhattan",
            )
        },
    ),
    Expected(
        "refused",
        "distances that are not Euclidean take lookups, and missing values have none",
        ("of all metrics, only Euclidean ones need no lookups", "does not accept missing values encoded"),
        {
            "sklearn.neighbors.tests.test_neighbors": (
                "test_kneighbors_classifier_predict_proba",
                "test_kneighbors_regressor_sparse",
                "test_metric_params_interface",
                "test_nan_euclidean_support",
                "test_neigh_predictions_algorithm_agnosticity",
                "test_neighbors_classifier_with_string_labels",
                "test_neighbors_minkowski_semimetric_algo_warn",
                "test_neighbors_validate_parameters",
                "test_pipeline_with_nearest_neighbors_transformer",
                "test_precomputed_cross_validation",
                "test_precomputed_dense",
                "test_precomputed_sparse_knn",
            ),
            "sklearn.neighbors.tests.test_neighbors_pipeline": ("test_kneighbors_regressor",),
        },
    ),
    Expected(
        "refused",
        "neighbors are told only with reveal_references=True, for rows, and where the original's are finite",
        (
            "has no attribute 'kneighbors'",
            "predicts given rows, got None",
            "no finite values of rows",
            "array",
        ),
        {
            "sklearn.neighbors.tests.test_neighbors": (
                "test_KNeighborsRegressor_multioutput_uniform_weight",
                "test_kneighbors_regressor",
                "test_kneighbors_regressor_multioutput",
                "test_knn_forcing_backend",
                "test_neighbor_classifiers_loocv",
                "test_neighbor_regressors_loocv",
                "test_same_knn_parallel",
                "test_unsupervised_inputs",
            )
        },
    ),
    Expected(
        "otherwise",
        "prototypes stand for training rows, with a warning where they predict otherwise",
        ("Arrays are not equal", "DID NOT RAISE"),
        {
            "sklearn.neighbors.tests.test_neighbors": (
                "test_KNeighborsClassifier_multioutput",
                "test_KNeighborsClassifier_raise_on_all_zero_weights",
                "test_kneighbors_classifier",
                "test_kneighbors_classifier_float_labels",
                "test_neighbors_iris",
                "test_predict_sparse_ball_kd_tree",
            )
        },
    ),
    Expected(
        "refused",
        "where the noise variance is 0, rows have no likelihood",
        ("so rows have no likelihood",),
        {"sklearn.decomposition.tests.test_pca": ("test_pca_zero_noise_variance_edge_cases",)},
    ),
    Expected(
        "refused",
        "score takes no parameters that only metadata routing knows",
        ("score() got an unexpected keyword argument",),
        {
            "sklearn.linear_model.tests.test_logistic": (
                "test_passing_params_without_enabling_metadata_routing",
            )
        },
    ),
    Expected(
        "inside",
        "a private function is called with the parameters of the estimator, which has more",
        ("_log_reg_scoring_path()",),
        {"sklearn.linear_model.tests.test_logistic": ("test_logistic_cv_multinomial_score",)},
    ),
    Expected(
        "refused",
        "deviations of predictions are a quadratic form",
        ("return_std=True needs a quadratic form",),
        {
            "sklearn.linear_model.tests.test_bayes": (
                "test_dtype_match",
                "test_return_std",
                "test_std_bayesian_ridge_ard_with_constant_input",
                "test_std_bayesian_ridge_noncentered",
                "test_update_of_sigma_in_ard",
            )
        },
    ),
    Expected(
        "refused",
        "what all classes have in common is not computed",
        ("how much likelier one class is than another, and not how likely a row is",),
        {"sklearn.tests.test_naive_bayes": ("test_predict_joint_proba",)},
    ),
    Expected(
        "refused",
        "boosting as one program is of decision trees; of others it is scikit-learn's",
        ("is one program, as decision trees can be",),
        {
            "sklearn.ensemble.tests.test_weight_boosting": (
                "test_adaboostclassifier_without_sample_weight",
                "test_adaboostregressor_sample_weight",
                "test_estimator",
                "test_multidimensional_X",
                "test_sample_weight_adaboost_regressor",
                "test_sparse_classification",
                "test_sparse_regression",
            )
        },
    ),
    Expected(
        "inside",
        "private attributes of a fitted model are changed, and predictions should follow",
        ("Arrays are not equal", "DID NOT RAISE"),
        {
            "sklearn.svm.tests.test_svm": (
                "test_svc_raises_error_internal_representation",
                "test_tweak_params",
            )
        },
    ),
    Expected(
        "otherwise",
        "a fit that fails leaves the estimator as it was, without traces",
        ("DID NOT RAISE", "has no attribute 'n_skips_no_inliers_'"),
        {
            "sklearn.linear_model.tests.test_ransac": (
                "test_ransac_exceed_max_skips",
                "test_ransac_no_valid_data",
                "test_ransac_no_valid_model",
            ),
            "sklearn.tests.test_naive_bayes": ("test_discretenb_provide_prior",),
        },
    ),
    Expected(
        "otherwise",
        "training goes on in a copy, so a fit that fails leaves the estimator as it was",
        ("ExtraTreeRegressor(", "is array("),
        {
            "sklearn.ensemble.tests.test_iforest": ("test_iforest_warm_start",),
            "sklearn.linear_model.tests.test_sgd": ("test_partial_fit_oneclass",),
        },
    ),
    Expected(
        "otherwise",
        "a forest that takes seconds a row is warned of, and no warning is awaited",
        ("CostWarning",),
        {"sklearn.ensemble.tests.test_iforest": ("test_iforest_error",)},
    ),
    Expected(
        "inside",
        "calls of a private function are counted, which the program does not make",
        ("get_chunk_n_rows",),
        {"sklearn.ensemble.tests.test_iforest": ("test_iforest_chunks_works1", "test_iforest_chunks_works2")},
    ),
    Expected(
        "otherwise",
        "rows stay as they are with copy=False, too",
        ("DID NOT RAISE AssertionError",),
        {"sklearn.cross_decomposition.tests.test_pls": ("test_copy",)},
    ),
)

"""Operators of ONNX that are refused whatever their arguments, and why."""

__all__ = ["CONVERTERS", "ON_ENCRYPTED", "REASONS"]

_RANDOM = "its results are random"
_SHAPE = "the shape of its result depends on the values, which are encrypted"
_TEXT = "it works on text"
_TRAINING = "it is a step of training"

REASONS: dict[str, str] = {
    **dict.fromkeys(
        (
            "Bernoulli",
            "Multinomial",
            "RandomNormal",
            "RandomUniform",
            "RandomNormalLike",
            "RandomUniformLike",
        ),
        _RANDOM,
    ),
    **dict.fromkeys(
        ("StringConcat", "StringSplit", "StringNormalizer", "RegexFullMatch", "TfIdfVectorizer"), _TEXT
    ),
    **dict.fromkeys(("Gradient", "Adam", "Adagrad", "Momentum"), _TRAINING),
    "ImageDecoder": "it decodes files",
}
"""Why an operator is refused even on constants."""
ON_ENCRYPTED: dict[str, str] = {
    **dict.fromkeys(("NonZero", "Unique", "NonMaxSuppression"), _SHAPE),
    "DynamicQuantizeLinear": "its scale is chosen while running, from encrypted values",
}
"""Why an operator is refused on encrypted values."""
CONVERTERS: dict[str, str] = {
    **dict.fromkeys(
        ("TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor"),
        "skfhe.convert with the forest, boosting or tree model that it was exported from",
    ),
    **dict.fromkeys(
        ("LinearClassifier", "LinearRegressor", "SVMClassifier", "SVMRegressor"),
        "skfhe.convert with the estimator that it was exported from",
    ),
    **dict.fromkeys(
        (
            *("Scaler", "Normalizer", "Imputer", "OneHotEncoder", "Binarizer", "LabelEncoder"),
            *("FeatureVectorizer", "ArrayFeatureExtractor", "CategoryMapper", "DictVectorizer", "CastMap"),
        ),
        "a Pipeline that prepares data in the clear, before they are encrypted,",
    ),
    "ZipMap": "an export without it (zipmap=False in skl2onnx)",
}
"""What to use in place of operators of ``ai.onnx.ml``."""

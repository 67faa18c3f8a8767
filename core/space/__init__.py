"""The typed search space: one definition that every engine, the experiment file and the
hyperparameters share.
"""

from core.space.dimensions import Categorical, Condition, Dimension, Integer, Real, Value, in_words, is_same_value
from core.space.search_space import Point, SearchSpace

__all__ = [
    "Categorical",
    "Condition",
    "Dimension",
    "Integer",
    "Point",
    "Real",
    "SearchSpace",
    "Value",
    "in_words",
    "is_same_value",
]

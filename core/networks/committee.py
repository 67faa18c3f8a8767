"""Networks that were trained alike under several seeds, as one network (Hansen and Salamon 1990).

The committee's answer is the mean of its members' log-probabilities. A softmax does not see a
constant that is added to all logits of a patch, so that the mean of the logits is the same answer:
one dense layer on all members' embeddings, side by side. So a committee is a network like any
other, with logits and an embedding.
"""

from collections.abc import Sequence

import keras
import numpy as np

from core.errors import ModelError
from core.networks.inference import LOGITS_LAYER, NETWORK_NAME, is_own

MEMBERS_LAYER = "members"
"""Joins the members' embeddings; no other network has a layer of that name."""


def join_networks(members: Sequence[keras.Model]) -> keras.Model:
    """Make one network of several.

    Args:
        members: networks of `build_model` for the same patches and writers; their weights are
            copied.

    Returns:
        A model from patches (n, height, width, 1), 0 ink to 255 paper, to probabilities (n,
        n_writers) in float32. It is to be asked, not to be trained further: what it drops in
        training is not dropped alike.

    Raises:
        ModelError: if there is no member, one is a network of the user's own, or they differ in
            shape.
    """
    shapes = {(member.input_shape, member.output_shape) for member in members}
    if len(shapes) != 1 or any(is_own(member) for member in members):
        raise ModelError(
            "A committee must have members of whosehand's own networks for the same patches and writers, but got "
            f"{len(members)} of the shapes {sorted(map(str, shapes))}."
        )
    patches = keras.Input(members[0].input_shape[1:], name="patches")
    bodies = [_body(member, patches, number) for number, member in enumerate(members, start=1)]
    body = bodies[0] if len(bodies) == 1 else keras.layers.Concatenate(name=MEMBERS_LAYER)(bodies)
    n_writers = members[0].output_shape[-1]
    logits = keras.layers.Dense(n_writers, dtype="float32", name=LOGITS_LAYER)
    probabilities = keras.layers.Softmax(dtype="float32", name="probabilities")(logits(body))
    weights = [member.get_layer(LOGITS_LAYER).get_weights() for member in members]
    kernel = np.concatenate([kernel for kernel, _ in weights]) / len(members)
    logits.set_weights([kernel, np.mean([bias for _, bias in weights], axis=0)])
    return keras.Model(patches, probabilities, name=NETWORK_NAME)


def _body(member: keras.Model, patches: keras.KerasTensor, number: int) -> keras.KerasTensor:
    """A copy of the member up to its logits, with names of its own, on the common patches."""
    head = keras.Model(member.input, member.get_layer(LOGITS_LAYER).input)

    def renamed(layer: keras.layers.Layer) -> keras.layers.Layer:
        return layer.__class__.from_config({**layer.get_config(), "name": f"member_{number}_{layer.name}"})

    copy = keras.models.clone_model(head, input_tensors=patches, clone_function=renamed)
    copy.set_weights(head.get_weights())
    return copy.output

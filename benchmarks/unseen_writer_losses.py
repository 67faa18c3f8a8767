"""Whether losses made for retrieval help to find pages by hands that training has not seen.

    python -m benchmarks.unseen_writer_losses experiments/dhsd.yaml --join 10

By folds of writers: a network is trained on the others, and pages of the fold are searched. The
additive margin is that of Wang, Cheng, Liu and Liu ("Additive margin softmax for face
verification", 2018): cosines of embedding and writers, the right one lowered by the margin. The
contrastive term is that of Khosla et al. ("Supervised contrastive learning", NeurIPS 2020), on the
embedding itself and within a batch. None of them is a hyperparameter: the first that wins becomes
one. Results are kept; the same command goes on where it was.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import keras
import numpy as np
import tensorflow as tf
import typer

from benchmarks.kept_results import KeptResults
from benchmarks.report import notes, print_report
from core.networks.hyperparameters import Hyperparameters
from core.networks.inference import LOGITS_LAYER, NETWORK_NAME, Embedder
from core.networks.model import build_model
from core.patches.augmentation import Augmentation
from core.patches.feed import TrainingFeed
from core.patches.plan import PatchSampler
from core.retrieval.described_pages import DescribedPages, PagesToDescribe, compare_pages
from core.settings import PatchSettings
from core.training import fit as training
from core.training.plan import FitPlan, Monitor
from search.experiment.experiment import load_experiment
from search.experiment.workspace import Workspace
from search.sweep.preparation import ReadCorpus, read_corpus

_SCALE = 16.0
"""What cosines are multiplied by before the softmax."""
_TEMPERATURE = 0.1
"""Of the contrastive term, as in the paper."""
_POINT = Hyperparameters(filters=16, convolutions_per_block=1, dropout=0.1)


@dataclass(frozen=True)
class Losses:
    """A way to train.

    Attributes:
        is_cosine: embedding and writers' weights have length 1.
        margin: that the right writer's cosine is lowered by.
        contrastive: weight of the contrastive term.
    """

    is_cosine: bool = False
    margin: float = 0.0
    contrastive: float = 0.0


WAYS = {
    "softmax": Losses(),
    "contrastive 0.5": Losses(contrastive=0.5),
    "cosine": Losses(is_cosine=True),
    "margin 0.2": Losses(is_cosine=True, margin=0.2),
    "margin 0.2, contrastive 0.5": Losses(is_cosine=True, margin=0.2, contrastive=0.5),
}


def main(
    experiment: Annotated[Path, typer.Argument(help="An experiment's file: whose corpus.")],
    overrides: Annotated[list[str], typer.Option("--set", help="Override one key of the file.")] = [],  # noqa: B006
    join: Annotated[int, typer.Option(min=1, help="Join so many images to a page; 1 takes pages as they are.")] = 1,
    folds: Annotated[int, typer.Option(min=2, help="Folds of writers.")] = 3,
    epochs: Annotated[int, typer.Option(min=1, help="Of each fit.")] = 4,
    patches: Annotated[int, typer.Option(min=64, help="Patches an epoch.")] = 3000,
    per_image: Annotated[int, typer.Option(min=1, help="Patches of an image that is searched.")] = 3,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("unseen-writer-losses"),
) -> None:
    """Train each way on each fold, and compare the ways by writers."""
    settings = load_experiment(experiment, overrides, needs_budget=False)
    corpus = read_corpus(settings, Workspace(Path.cwd()))
    training.configure_tensorflow(1, "float32", 0)
    kept = KeptResults(out / "results.json")
    found: dict[str, list[DescribedPages]] = {name: [] for name in WAYS}
    for fold in range(folds):
        for number, (name, losses) in enumerate(WAYS.items()):
            path = out / f"{corpus.index.name}-{fold}-of-{folds}-{number}.npz"
            what = {"losses": asdict(losses), "fold": fold, "of": folds, "join": join, "epochs": epochs}
            what |= {"corpus": corpus.store.folder.name, "patches": patches, "per_image": per_image}

            def make(losses: Losses = losses, fold: int = fold, path: Path = path) -> dict[str, float]:
                pages = train_and_describe(corpus, losses, fold, folds, epochs, patches, per_image, join)
                path.parent.mkdir(parents=True, exist_ok=True)
                pages.save(path)
                return pages.scores(n_resamples=0).metrics

            notes.print(f"fold {fold + 1}, {name}: {kept.get_or_make(what, make)}")
            found[name].append(DescribedPages.load(path))
    rows = [_row(name, own, found["softmax"]) for name, own in found.items()]
    print_report("Losses for unseen writers", ("loss", "mAP", "top-1", "against softmax: mAP", "p"), rows)


def train_and_describe(
    corpus: ReadCorpus, losses: Losses, fold: int, n_folds: int, epochs: int, patches: int, per_image: int, join: int
) -> DescribedPages:
    """Train on the writers of all other folds, and describe the pages of this one."""
    writers = sorted(corpus.index.writer_ids)
    order = np.random.default_rng(7).permutation(len(writers))
    unseen = {writers[number] for number in order[fold::n_folds]}
    known = [writer for writer in writers if writer not in unseen]
    images = corpus.index.images
    settings = PatchSettings(patches_per_epoch=patches)
    train = [image.image_id for image in images if image.writer_id not in unseen]
    sampler = PatchSampler(corpus.store, train, known, settings, fold)
    feed = TrainingFeed(sampler, _POINT.batch_size, Augmentation(**_POINT.augmentation_parts), fold)
    model = build_model(_POINT, (settings.size_px, settings.size_px, 1), len(known), fold)
    model = with_cosines(model, len(known), fold) if losses.is_cosine else model
    plan = FitPlan(_POINT, Monitor("epoch", "maximize", None), epochs, checkpoint_dir=None, seed=fold)
    epochs_done: list[int] = []
    plain = training.TrainingStep
    training.TrainingStep = cast(Any, lambda *arguments: StepWithLosses(losses, *arguments))  # type: ignore[misc]
    try:
        # The last epoch is taken, whatever it is: no page of the fold chooses.
        training.fit(
            model,
            feed,
            lambda _: {"epoch": len(epochs_done)},
            plan,
            lambda record: not epochs_done.append(record.epoch),
        )
    finally:
        training.TrainingStep = plain  # type: ignore[misc]
    test = [image.image_id for image in images if image.writer_id in unseen]
    return PagesToDescribe(corpus.store, test, settings, per_image, join).describe(Embedder(model))


def with_cosines(model: keras.Model, n_writers: int, seed: int) -> keras.Model:
    """The network with an embedding and writers' weights of length 1: its logits are scaled
    cosines.
    """
    x = model.get_layer(LOGITS_LAYER).input
    x = keras.layers.UnitNormalization(dtype="float32", name="unit")(x)
    x = keras.layers.Rescaling(_SCALE, dtype="float32", name="scale")(x)
    x = keras.layers.Dense(
        n_writers,
        use_bias=False,
        kernel_constraint=keras.constraints.UnitNorm(axis=0),
        kernel_initializer=keras.initializers.GlorotUniform(seed),
        dtype="float32",
        name=LOGITS_LAYER,
    )(x)
    return keras.Model(model.input, keras.layers.Softmax(dtype="float32", name="probabilities")(x), name=NETWORK_NAME)


class StepWithLosses(training.TrainingStep):
    """A training step with a margin, or a contrastive term."""

    def __init__(self, losses: Losses, network: keras.Model, *others: Any) -> None:
        logits = network.get_layer(LOGITS_LAYER)
        self._losses_of = losses
        self._both = keras.Model(network.input, [logits.input, logits.output])
        super().__init__(network, *others)

    def _descend(self, patches: Any, labels: Any) -> None:
        weights = self._network.trainable_variables
        with tf.GradientTape() as tape:
            embedding, logits = self._both(patches, training=True)
            right = tf.one_hot(labels, logits.shape[-1])
            losses = self._losses(labels, logits - _SCALE * self._losses_of.margin * right)
            loss = tf.reduce_mean(losses)
            if self._losses_of.contrastive:
                loss += self._losses_of.contrastive * contrastive_loss(embedding, labels)
        self._optimizer.apply(tape.gradient(loss, [weight.value for weight in weights]), weights)
        hits = tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), labels)
        self._loss_sum.assign_add(tf.reduce_sum(losses))
        self._n_hits.assign_add(tf.math.count_nonzero(hits))
        self._n_patches.assign_add(tf.size(labels, out_type=tf.int64))


def contrastive_loss(embedding: Any, labels: Any) -> Any:
    """Mean over the patches that have another one by their writer in the batch: how much less alike
    these are than all others (equation 2 of the paper).

    Args:
        embedding: (n, n_features).
        labels: (n,) writers.
    """
    points = tf.math.l2_normalize(tf.cast(embedding, tf.float32), axis=1)
    itself = tf.eye(tf.shape(points)[0])
    logits = tf.matmul(points, points, transpose_b=True) / _TEMPERATURE - 1e9 * itself
    is_same = tf.cast(labels[:, tf.newaxis] == labels, tf.float32) - itself
    n_same = tf.reduce_sum(is_same, axis=1)
    per_patch = -tf.reduce_sum(tf.where(is_same > 0, tf.nn.log_softmax(logits, axis=1), 0.0), axis=1)
    has_same = tf.cast(n_same > 0, tf.float32)
    return tf.reduce_sum(per_patch / tf.maximum(n_same, 1.0)) / tf.maximum(tf.reduce_sum(has_same), 1.0)


def _row(name: str, own: Sequence[DescribedPages], plain: Sequence[DescribedPages]) -> tuple[str, ...]:
    """Means over the folds, and the sign-flip test over the writers of all folds together."""
    scores = [pages.scores(n_resamples=0).metrics for pages in own]
    means = [f"{np.mean([each[metric] for each in scores]):.3f}" for metric in ("map", "top1")]
    tests = [compare_pages(first, second) for first, second in zip(own, plain, strict=True)]
    gains = [test.map_difference for test in tests if test is not None]
    p_values = [f"{test.p_value:.2g}" for test in tests if test is not None]
    return (name, *means, f"{np.mean(gains):+.3f}" if gains else "", ", ".join(p_values))


if __name__ == "__main__":
    typer.run(main)

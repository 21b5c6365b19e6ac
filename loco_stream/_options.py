"""Options of the estimators: the only place with defaults and ranges.

The constructors take the options that users change, and `AdvancedOptions` the rest. What is left
open is chosen from the width of the first row by `WIDTH_RULES`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from loco_stream import _checks
from loco_stream._checks import Check
from loco_stream._keywords import explains_keywords
from loco_stream._text import did_you_mean
from loco_stream.errors import ConfigError

# Each is a module of `loco_stream._learner.plasticity.rules` or `.projections`.
CREDITS = ("learned", "mirror", "perturbation")
PROJECTIONS = ("recursive", "clusters")
MAX_NEIGHBORS = 1_000_000
MAX_CATEGORIES = 1024  # over all features: the work per row grows with the inputs
MAX_CENTROIDS = 100_000
MAX_DELAY = (
    256  # rows: each costs a pass over the input channels and a copy of them in every ticket
)
DEFAULT_CENTROIDS = 300
DEFAULT_INPUT_CLUSTERS = 10
MAX_HEADS = 512  # steps ahead: each keeps the gains of a row
MAX_SEASON = 100_000  # rows: so many values are kept
FULL_BLOCK = 288  # input channels up to which a layer's projector has one group
BLOCK = 112  # channels per group where there are more
SKIP_OUTPUTS = 3  # per fixed neuron: beyond them, several features share one
JOINT_FEATURES = 256  # features, the first to come, whose weights the readout learns jointly
JOINT_TEXTS = 64  # the same if the first row has a text: of many texts each row has few


class WidthRule(NamedTuple):
    """What is chosen for rows of up to `most_features` features.

    most_features: number of features, None: any; neurons: of the hidden layer; fields: receptive
    fields per feature; leaks: forgetting per row of the readout members on traces; features_read:
    whether the readout sees the scaled features besides the traces; fixed: neurons of the layer
    that never learns.
    """

    most_features: int | None
    neurons: int
    fields: int
    leaks: tuple[float, ...]
    features_read: bool
    fixed: int


# Leaks: one member keeps all rows, one follows slow drift (10,000 rows), one runs of labels (ten
# rows). Rows of more than 256 features (images, spectra) get two: one keeps ten tasks of thousands
# of rows and still learns after a million, the other follows drift (1,000 rows).
_LEAKS = (0.0, 1e-4, 1e-1)
WIDTH_RULES = (
    WidthRule(8, 128, 9, _LEAKS, True, 256),
    WidthRule(32, 128, 9, _LEAKS, True, 384),
    WidthRule(64, 256, 9, _LEAKS, True, 512),
    WidthRule(256, 256, 3, _LEAKS, True, 512),
    WidthRule(None, 640, 1, (1e-9, 1e-3), False, 512),
)


THREADS = (1, 2, 4)  # numbers that learn wide rows: they divide a job into equal parts


def width_rule(n_features: int) -> WidthRule:
    """Return the rule for a first row of so many features."""
    for rule in WIDTH_RULES:
        if rule.most_features is None or n_features <= rule.most_features:
            return rule
    raise AssertionError("the last rule takes rows of any width")


class Layout(NamedTuple):
    """The shape of a model: what the width of its first row decides, where the user did not.

    `n_joint` features, the first to come, share one projector of the readout: all of the first row,
    or more. `n_skip` outputs, at most `SKIP_OUTPUTS` times the fixed neurons, carry the features
    past them to the discriminant.
    """

    hidden_sizes: tuple[int, ...]
    leaks: tuple[float, ...]
    n_fields: int
    readout_layers: str
    block: int
    n_centroids: int
    n_fixed: int
    n_joint: int
    n_skip: int


def _unknown_option(name: str, owner: str, known: Sequence[str]) -> str:
    public = [declared.name for declared in fields(ModelOptions) if declared.name != "advanced"]
    if name in public:
        return f"`{name}` is no option of {owner}: pass {name}=... to the estimator"
    advice = did_you_mean(name, known)
    if not advice and (advice := did_you_mean(name, public)):
        advice = f"{advice[:-1]}, a parameter of the estimator?"
    return f"{owner}() got an unexpected keyword argument {name!r}{advice}"


def _option(default: Any, check: Check) -> Any:
    """Declare an option: its default and the check of its value."""
    return field(default=default, metadata={"check": check})


def _check_all(options: Any) -> None:
    """Check every declared option of a frozen dataclass, and store plain numbers."""
    for declared in fields(options):
        check = declared.metadata.get("check")
        if check is not None:
            value = _checks.require(declared.name, getattr(options, declared.name), check)
            object.__setattr__(options, declared.name, value)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AdvancedOptions:
    """Options that few users change; pass them to an estimator as ``advanced=``.

    Parameters
    ----------
    credit
        How a hidden neuron estimates the effect of its drive on the outputs. ``"mirror"``: its
        feedback weights receive the increments of its readout weights. ``"learned"``: feedback is
        learned from perturbations of the drives, on one row in four. ``"perturbation"``: feedback
        is learned from the product of loss change and noise (the rule of the LOCO paper); every row
        is perturbed. Change it to compare learning rules.
    readout
        ``"recursive"``: the ensemble of experts. ``"delta"``: one normalised delta rule with
        softmax; for comparison, and for export to a `Network` with its readout.
    readout_layers
        What the readout sees. ``"all"``: traces of all hidden layers and the scaled features.
        ``"hidden"``: traces of all hidden layers. ``"last"``: traces of the last hidden layer
        alone, which shows what depth contributes. ``"auto"``: all, or hidden for rows of more than
        256 features.
    projection
        How weight changes are kept orthogonal to earlier inputs. ``"recursive"``: a recursive
        projector per layer. ``"clusters"``: prototypes of input clusters, as in the paper; slower
        and less accurate, kept for comparison.
    cluster_size
        Number of input channels per group of the projector, 1 to 4096. The cost per row grows with
        it. None: one group for up to 288 channels, otherwise 112 channels per group.
    n_input_clusters
        Input clusters to keep apart with ``projection="clusters"``, 1 to 256. None: 10.
    rank
        Directions that each input cluster protects, 1 to 16. None: 1.
    perturbation_std
        Perturbation magnitude in thresholds of drive, 1e-6 to 100. It must be large enough to move
        spikes. It has no effect with ``credit="mirror"`` in layers that the readout sees.
    orthogonality
        Share of an input's direction that the projector removes once it is learned, 0 to 1: 0
        protects nothing, 1 fully.
    receptive_fields
        Gaussian receptive fields per feature, 1 to 64. None: chosen by the width of the first row.
    tau
        Membrane time constant in ms, 1e-3 to 1e6. None: equal to `window`.
    tau_trace
        Time constant in ms of the trace by which learning and the readout see spikes, 1e-3 to 1e6.
        None: equal to `window`.
    gain
        Root mean square to which the drives of a layer are scaled over the first 300 rows, in
        thresholds per window, 1e-3 to 1000. A larger gain gives more spikes per row. None: 6.
    window
        Length of one row's integration window in ms, 1e-3 to 1e6.
    leaks
        Forgetting rates of the least-squares readout: one member per leak, 1 to 16 of them in
        ascending order. Each is the share that is forgotten per row, 0 to 0.5: 0 never forgets, 0.1
        remembers about ten rows. None: chosen by the width of the first row.
    plastic
        Share of the neurons of each layer that learn, 0 to 1.
    fixed_neurons
        Neurons of the layer that never learns, 0 to 4096; a linear discriminant on them and on the
        scaled features keeps dormant classes. None: 256 to 512, by the width of the first row, none
        where `readout_layers` is "hidden" or "last". 0: no such layer, and no experts for the
        stream's next row. Without receptive fields, each feature reaches 64 of these neurons if
        their number is a multiple of 16, otherwise all.
    recent_values
        Number of recent values of each target that a regression uses to predict the stream's next
        row, 0 to 16. 0: the prediction depends on the row alone.
    memoryless_members
        Whether a regression with a memory has a second readout member per leak that sees the
        current row only. The stack can then ignore the memory where it does harm.
    categorical_features
        Names of features whose numbers are only names, such as ids and codes. Each number becomes a
        category like a text, up to `categories` per feature. Texts are categories anyway. Set it
        where the order of the numbers has no meaning.
    reset
        What a spike does to the membrane of a ``"lif"`` neuron: ``"subtract"`` lowers it by the
        threshold, ``"zero"`` empties it. Under a constant drive both are the same unless `dt` is
        set; files for other simulators (`Network.to_nir`) know ``"zero"`` only.
    dt
        Grid in ms on which ``"lif"`` neurons may fire, as on clocked hardware: an integer number of
        steps in the window, at most 20. None: at the exact time of the threshold crossing.

    Raises
    ------
    ConfigError
        A value is out of its range.

    Examples
    --------
    >>> from loco_stream import AdvancedOptions, LOCOClassifier
    >>> model = LOCOClassifier(advanced=AdvancedOptions(credit="learned", orthogonality=0.9))
    >>> model.advanced
    AdvancedOptions(credit='learned', orthogonality=0.9)
    """

    credit: str = _option("mirror", _checks.choice(*CREDITS))
    readout: str = _option("recursive", _checks.choice("recursive", "delta"))
    readout_layers: str = _option("auto", _checks.choice("auto", "all", "hidden", "last"))
    projection: str = _option("recursive", _checks.choice(*PROJECTIONS))
    cluster_size: int | None = _option(None, _checks.integer(1, 4096, optional=True))
    n_input_clusters: int | None = _option(None, _checks.integer(1, 256, optional=True))
    rank: int | None = _option(None, _checks.integer(1, 16, optional=True))
    perturbation_std: float = _option(1.2, _checks.number(1e-6, 100.0))
    orthogonality: float = _option(1.0, _checks.number(0.0, 1.0))
    receptive_fields: int | None = _option(None, _checks.integer(1, 64, optional=True))
    tau: float | None = _option(None, _checks.number(1e-3, 1e6, optional=True))
    tau_trace: float | None = _option(None, _checks.number(1e-3, 1e6, optional=True))
    gain: float | None = _option(None, _checks.number(1e-3, 1e3, optional=True))
    window: float = _option(20.0, _checks.number(1e-3, 1e6))
    leaks: Sequence[float] | None = _option(None, _checks.ascending(0.0, 0.5))
    plastic: float = _option(1.0, _checks.number(0.0, 1.0))
    fixed_neurons: int | None = _option(None, _checks.integer(0, 4096, optional=True))
    recent_values: int = _option(3, _checks.integer(0, 16))
    memoryless_members: bool = _option(True, _checks.flag)
    categorical_features: Sequence[str | int] = _option((), _checks.feature_names)
    reset: str = _option("subtract", _checks.choice("subtract", "zero"))
    dt: float | None = _option(None, _checks.number(1e-3, 1e6, optional=True))

    def __post_init__(self) -> None:
        if isinstance(self.categorical_features, str):
            object.__setattr__(self, "categorical_features", (self.categorical_features,))
        _check_all(self)
        # the caller may change a list later
        object.__setattr__(self, "categorical_features", tuple(self.categorical_features))
        if self.projection != "clusters":
            for name in ("n_input_clusters", "rank"):
                if getattr(self, name) is not None:
                    raise ConfigError(
                        f"`{name}` must be None unless `projection` is 'clusters', "
                        f"got {getattr(self, name)!r}"
                    )

    def __repr__(self) -> str:
        given = [
            f"{declared.name}={getattr(self, declared.name)!r}"
            for declared in fields(self)
            if getattr(self, declared.name) != declared.default
        ]
        return f"AdvancedOptions({', '.join(given)})"

    def to_dict(self) -> dict[str, Any]:
        """Return the options by name."""
        return {declared.name: getattr(self, declared.name) for declared in fields(self)}


_explained = explains_keywords(_unknown_option)(AdvancedOptions.__init__)
AdvancedOptions.__init__ = _explained  # type: ignore[method-assign, assignment]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """Options of `LOCOClassifier` and `LOCORegressor`, checked; see there for their meaning.

    Raises
    ------
    ConfigError
        A value is out of its range.
    """

    hidden_sizes: int | Sequence[int] | None = _option(None, _checks.layer_sizes)
    rule: str = _option("loco", _checks.choice("loco", "np", "frozen"))
    learning_rate: float | None = _option(None, _checks.number(0.0, 1e6, optional=True))
    class_weight: str | Mapping[Hashable, float] | None = _option(None, _checks.class_weights)
    retention: float = _option(0.75, _checks.number(0.0, 1.0))
    memory: Sequence[float] | None = _option(None, _checks.span(1e-3, 1e6))
    max_delay: int = _option(0, _checks.integer(0, MAX_DELAY))
    neighbors: int = _option(0, _checks.integer(0, MAX_NEIGHBORS))
    centroids: int | None = _option(None, _checks.integer(0, MAX_CENTROIDS, optional=True))
    categories: int = _option(512, _checks.integer(0, MAX_CATEGORIES))
    neuron: str = "lif"
    seed: int | None = _option(None, _checks.integer(0, 2**64 - 1, optional=True))
    advanced: AdvancedOptions = AdvancedOptions()

    def __post_init__(self) -> None:
        _check_all(self)
        if isinstance(self.class_weight, Mapping):  # the caller may change the dict later
            object.__setattr__(self, "class_weight", dict(self.class_weight))
        if self.max_delay and self.advanced.projection == "clusters":
            raise ConfigError(
                f"`max_delay` must be 0 with `projection` 'clusters', got {self.max_delay}"
            )
        if self.advanced.readout == "delta":
            for name in ("neighbors", "centroids"):
                if getattr(self, name):
                    raise ConfigError(
                        f"`{name}` must be 0 with `readout` 'delta', which has no stack, "
                        f"got {getattr(self, name)}"
                    )

    @property
    def remembers(self) -> bool:
        """Whether a row depends on earlier rows."""
        return self.memory is not None or self.max_delay > 0

    def layout_for(self, n_features: int, *, early_texts: bool = False) -> Layout:
        """Decide what is left open for a model whose first row has `n_features` features.

        `early_texts`: whether any of them is a text.

        Centroids lie among the features: there are none where the readout does not see features.
        """
        rule = width_rule(n_features)
        advanced = self.advanced
        sizes = rule.neurons if self.hidden_sizes is None else self.hidden_sizes
        n_fields = advanced.receptive_fields or rule.fields
        layers = advanced.readout_layers
        if layers == "auto":
            layers = "all" if rule.features_read else "hidden"
        has_centroids = advanced.readout == "recursive" and layers == "all" and rule.features_read
        n_fixed = rule.fixed if advanced.readout_layers in ("auto", "all") else 0
        if advanced.fixed_neurons is not None:
            n_fixed = advanced.fixed_neurons
        default_centroids = DEFAULT_CENTROIDS if has_centroids else 0
        return Layout(
            hidden_sizes=(sizes,) if isinstance(sizes, int) else tuple(sizes),
            leaks=rule.leaks if advanced.leaks is None else tuple(advanced.leaks),
            n_fields=n_fields,
            readout_layers=layers,
            block=advanced.cluster_size or _block_size(n_features * n_fields, n_fields),
            n_centroids=default_centroids if self.centroids is None else self.centroids,
            n_fixed=n_fixed,
            n_joint=max(n_features, JOINT_TEXTS if early_texts else JOINT_FEATURES),
            n_skip=min(n_features, SKIP_OUTPUTS * n_fixed),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the options by name; the advanced ones as a dict of their own."""
        values = {declared.name: getattr(self, declared.name) for declared in fields(self)}
        return {**values, "advanced": self.advanced.to_dict()}


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastOptions:
    """Options of `LOCOForecaster` that only it has, checked; see there for their meaning.

    Raises
    ------
    ConfigError
        A value is out of its range.
    """

    heads: int = _option(24, _checks.integer(1, MAX_HEADS))
    seasons: Sequence[int] | None = _option(None, _checks.periods(2, MAX_SEASON))

    def __post_init__(self) -> None:
        _check_all(self)


def _block_size(n_channels: int, n_fields: int) -> int:
    """Return how many channels share a block of the projector.

    The channels of a feature stay together.
    """
    return FULL_BLOCK if n_channels <= FULL_BLOCK else BLOCK - BLOCK % n_fields


DEFAULTS = ModelOptions()
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "fast": {"hidden_sizes": (64,)},
    "default": {},
    "accurate": {"hidden_sizes": (256,), "neighbors": 5000},
}

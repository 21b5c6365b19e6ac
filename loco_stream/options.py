"""All settings of the estimators: validated once, and the only place with defaults."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from loco_stream import _checks as checks
from loco_stream.errors import ConfigError
from loco_stream.neurons import find, window_of
from loco_stream.neurons.spikes import MOST_SPIKES

__all__ = ["DEFAULTS", "PRESETS", "Layout", "ModelConfig", "Settings"]

LARGEST = 1e30  # a value beyond is masked: its square still is far from overflow
WIDE = 256  # rows with more features than this are wide
BROAD = 32  # and with more than this broad
# neurons
SIZE = 128
BROAD_SIZE = 256
WIDE_SIZE = 640
LEAKS = (
    0.0,
    1e-4,
    1e-1,
)  # of the readout's members on traces: all rows, the last 10,000, the last ten
WIDE_LEAKS = (
    1e-9,
)  # of that of wide rows: ten tasks are kept, and after 100,000 rows it still learns
LASTING = 1e-6  # a member that leaks less lasts: it goes on with classes that do not come
PRIORS = (0.01, 0.1)  # of a member's projector: leaky, lasting
LINEAR_LEAKS = (1e-4, 1e-2)  # of the readout's members on the scaled features
LINEAR_PRIORS = (0.1, 0.01)
LOGISTIC_PRIOR = 10.0
STACK_PRIOR = 1.0
STACK_POWER = 1e-2  # mean square of the log-loss stack's gradients at the start
# log-odds that naive Bayes, which needs the fewest rows of a class, starts with in the mixture
FEW_ROWS = 2.0
POWERS = (0.75, 1.0, 1.5, 2.5, 4.0)  # of the corrections of probabilities
NOISES = (0.0, 0.05, 0.1, 0.2)  # shares of guessed labels
# the power that corrects nothing, and its log-odds at the start
AS_SAID = 1
HEAD_START = 4.0
START_SAY = (1.0, 1e-3)  # of the readout in force, of a blind guess
SPACING = 200  # samples from one snapshot to the next
N_SNAPSHOTS = 4  # old models that may be recalled
PROJECTOR_LEAKS = (
    3e-5,
    1e-5,
)  # of the first hidden layer's input projector: with receptive fields, without
# lines that share a block of a projector: up to so many all, else so many
FULL_BLOCK = 288
BLOCK = 112
GAIN = 6.0  # root mean square of the drives, in thresholds a window
CREDITS = {
    "learned": 900.0,
    "mirror": 300.0,
    "perturbation": 900.0,
}  # rules, and the learning rate of each
UNPROJECTED = 1 / 30  # of that where no recursive projector anneals the step
TRIAL_RATE = 0.1  # of plain node perturbation
LEARNED, MIRROR, PERTURBATION, TRIAL = range(4)  # their numbers in `Settings.credit`
EQUAL, GIVEN, BALANCED = range(
    3
)  # where the weights of the classes come from, in `Settings.weighting`
NEURON_CLUSTER = (
    32  # neurons whose weights are orthogonal at the start, and whose perturbations are
)
MOST_NEIGHBORS = 1_000_000  # rows that one model may keep
MOST_CATEGORIES = (
    1024  # slots of texts of one model: the work of a row grows with the square of the inputs
)
LONGEST_DELAY = 256  # rows: each costs a pass over the input lines, and their copy in every ticket
COVERAGES = (0.5, 0.8, 0.9, 0.95, 0.99)  # of the intervals of a regression
WINDOW = 500  # residuals that these are made of
NEAREST = 7  # neighbours that vote
N_OTHERS = 4  # experts beside the members where values come late: two stacks, two means
FEW = 3  # of the nearest, which have a say apart
N_NEIGHBOR_SAYS = (
    3  # of neighbours: of those among the last rows, among all that are kept, and of few
)
N_VALUE_SAYS = 2  # the same in regression, where few say too little
N_CENTROID_SAYS = 2  # of few and of many of the nearest
CENTROIDS = 300  # of rows that are not wide
MOST_CENTROIDS = 100_000
START_VOTES = (
    0.1,
    0.3,
)  # of centroids and of neighbours: weights in the log-loss stack at the start
TOWARDS_LONG = (
    0.7  # how a memory spreads its time constants: 1 evenly; short ones are nearly as good as none
)
PROMPT_EVERY = 4  # with a memory and delays, every so many neurons have no delays
SMOOTHING = 0.7  # of the start weights along a feature: standard deviation of the kernel, in fields


class Layout(NamedTuple):
    """What the width of the first row decides, where the user did not: the shape of a model."""

    hidden_sizes: tuple[int, ...]
    leaks: tuple[float, ...]
    n_fields: int
    readout_layers: str
    block: int
    n_centroids: int


class Settings(NamedTuple):
    """What the compiled step reads: plain numbers, resolved from a `ModelConfig`.

    `cell` holds the parameters of the neuron model; its type names the model, and the step is
    compiled for each apart. Times are in ms; `n_fields` is the number of receptive fields a
    feature; the readout has `n_trace` members on the traces and `n_linear` on the scaled features,
    each with `n_losses` sets of weights; `n_snapshots` old models are kept; `weighting` says where
    the weights of the classes come from; `shortest` and `longest` bound the time constants of a
    memory, in gaps between rows, and are 0 without; `max_delay` is the longest lag of a synapse in
    rows; `remembers` says that a row depends on those before; `n_centroids` are moved and
    `n_neighbors` rows are kept, which together have `n_says`; the stack has `n_blocks` outputs a
    class, those of the members and these.
    """

    n_layers: int
    n_hidden: int
    n_last: int
    n_fields: int
    window: float
    tau: float
    tau_trace: float
    gain: float
    last_layer: bool
    raw_inputs: bool
    recursive: bool
    regression: bool
    learns: bool
    credit: int
    projects: bool
    block: int
    plastic: float
    noise: float
    n_perturbations: int
    antithetic: bool
    learning_rate: float
    orthogonality: float
    projector_leak: float
    ridge: float
    n_clusters: int
    rank: int
    retention: float
    n_trace: int
    n_linear: int
    n_losses: int
    n_snapshots: int
    weighting: int
    remembers: bool
    max_delay: int
    shortest: float
    longest: float
    n_centroids: int
    n_neighbors: int
    n_says: int
    n_blocks: int
    seed_key: int
    cell: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Settings of `LOCOClassifier` and `LOCORegressor`; see there for their meaning.

    Those that are None are chosen by `layout_for` when the width of the first row is known.

    Raises
    ------
    ConfigError
        A value is out of its range: the text names the field, the value and what is allowed.
    """

    hidden_sizes: int | Sequence[int] | None = None
    rule: str = "loco"
    credit: str = "mirror"
    readout: str = "recursive"
    readout_layers: str = "auto"
    cluster_size: int | None = None
    perturbation_std: float = 1.2
    n_perturbations: int = 1
    antithetic: bool = False
    learning_rate: float | None = None
    orthogonality: float = 1.0
    n_input_clusters: int = 0
    rank: int = 1
    receptive_fields: int | None = None
    tau: float | None = None
    tau_trace: float | None = None
    gain: float | None = None
    window: float = 20.0
    leaks: Sequence[float] | None = None
    retention: float = 0.75
    plastic: float = 1.0
    class_weight: str | Mapping[Hashable, float] | None = None
    seed: int | None = None
    neuron: str = "lif"
    categories: int = 64
    memory: Sequence[float] | None = None
    max_delay: int = 0
    reset: str = "subtract"
    dt: float | None = None
    neighbors: int = 0
    centroids: int | None = None

    def __post_init__(self) -> None:
        if self.hidden_sizes is not None:
            checks.layers("hidden_sizes", self.hidden_sizes)
        checks.choice("rule", self.rule, ("loco", "np", "frozen"))
        checks.choice("credit", self.credit, tuple(CREDITS))
        checks.choice("readout", self.readout, ("recursive", "delta"))
        checks.choice("readout_layers", self.readout_layers, ("auto", "all", "last", "hidden"))
        checks.integer("cluster_size", self.cluster_size, 1, 4096, optional=True)
        checks.real("perturbation_std", self.perturbation_std, 1e-6, 100.0)
        checks.integer("n_perturbations", self.n_perturbations, 1, 64)
        if not isinstance(self.antithetic, bool):
            raise ConfigError(f"antithetic is {self.antithetic!r}; allowed are True and False")
        checks.real("learning_rate", self.learning_rate, 0.0, 1e6, optional=True)
        checks.real("orthogonality", self.orthogonality, 0.0, 1.0)
        checks.integer("n_input_clusters", self.n_input_clusters, 0, 256)
        checks.integer("rank", self.rank, 1, 16)
        checks.integer("receptive_fields", self.receptive_fields, 1, 64, optional=True)
        checks.real("tau", self.tau, 1e-3, 1e6, optional=True)
        checks.real("tau_trace", self.tau_trace, 1e-3, 1e6, optional=True)
        checks.real("gain", self.gain, 1e-3, 1e3, optional=True)
        checks.real("window", self.window, 1e-3, 1e6)
        if self.leaks is not None:
            checks.ascending("leaks", self.leaks, 0.0, 0.5)
        checks.real("retention", self.retention, 0.0, 1.0)
        checks.real("plastic", self.plastic, 0.0, 1.0)
        checks.weights("class_weight", self.class_weight)
        if isinstance(
            self.class_weight, Mapping
        ):  # a later change of the user's dict must not reach the model
            object.__setattr__(self, "class_weight", dict(self.class_weight))
        checks.integer("seed", self.seed, 0, 2**64 - 1, optional=True)
        checks.integer("categories", self.categories, 0, MOST_CATEGORIES)
        window_of(find(self.neuron).kind)
        if self.memory is not None:
            checks.span("memory", self.memory, 1e-3, 1e6)
        checks.integer("max_delay", self.max_delay, 0, LONGEST_DELAY)
        if self.max_delay and self.n_input_clusters:
            raise ConfigError(f"max_delay is {self.max_delay}; with n_input_clusters, allowed is 0")
        checks.choice("reset", self.reset, ("subtract", "zero"))
        self._check_grid()
        checks.integer("neighbors", self.neighbors, 0, MOST_NEIGHBORS)
        if self.neighbors and self.readout == "delta":
            raise ConfigError(
                f"neighbors is {self.neighbors}; allowed with readout='delta' is 0: it has no stack"
            )
        checks.integer("centroids", self.centroids, 0, MOST_CENTROIDS, optional=True)
        if self.centroids and self.readout == "delta":
            raise ConfigError(
                f"centroids is {self.centroids}; allowed with readout='delta' is 0: it has no stack"
            )

    def _check_grid(self) -> None:
        """Refuse a grid that a window does not fit, or on which a neuron could fire more often than is kept."""
        if self.neuron != "lif" and (self.dt is not None or self.reset != "subtract"):
            raise ConfigError(
                f"neuron is {self.neuron!r}; reset and dt can be chosen for neuron='lif' alone"
            )
        checks.real(
            "dt", self.dt, self.window / MOST_SPIKES * (1.0 - 1e-9), self.window, optional=True
        )
        if self.dt is None:
            return
        steps = self.window / self.dt
        if abs(steps - round(steps)) > 1e-6:
            raise ConfigError(
                f"dt is {self.dt:g}; the window of {self.window:g} ms must be a whole number of them"
            )

    def layout_for(self, n_features: int) -> Layout:
        """Decide what is left open for a model whose first row has `n_features` features.

        Rows of more than `WIDE` features are taken for images or spectra: one line a feature, more
        neurons, a readout of the hidden layers alone that hardly forgets. Centroids lie among the
        features: they are left out where the readout does not see these.
        """
        wide = n_features > WIDE
        sizes = self.hidden_sizes
        if sizes is None:
            sizes = WIDE_SIZE if wide else BROAD_SIZE if n_features > BROAD else SIZE
        fields_ = self.receptive_fields
        n_fields = fields_ if fields_ is not None else 9 if n_features <= 64 else 1 if wide else 3
        readout_layers = (
            self.readout_layers if self.readout_layers != "auto" else "hidden" if wide else "all"
        )
        sees_rows = self.readout == "recursive" and readout_layers == "all"
        usual = CENTROIDS if sees_rows and not wide else 0
        return Layout(
            hidden_sizes=(sizes,) if isinstance(sizes, int) else tuple(sizes),
            leaks=tuple(self.leaks) if self.leaks is not None else WIDE_LEAKS if wide else LEAKS,
            n_fields=n_fields,
            readout_layers=readout_layers,
            block=self.cluster_size or _block(n_features * n_fields, n_fields),
            n_centroids=self.centroids if self.centroids is not None else usual,
        )

    def settings(self, layout: Layout, *, regression: bool, seed_key: int) -> Settings:
        """Return the numbers that the compiled step reads."""
        sizes = layout.hidden_sizes
        recursive = self.readout == "recursive"
        raw = layout.readout_layers == "all"
        tau = float(self.tau if self.tau is not None else self.window)
        n_trace = len(layout.leaks) if recursive else 1
        n_linear = 2 if recursive and raw else 0
        n_losses = 2 if recursive and not regression else 1
        n_centroids = 0 if regression else layout.n_centroids
        n_says = N_CENTROID_SAYS * (n_centroids > 0)
        n_says += (N_VALUE_SAYS if regression else N_NEIGHBOR_SAYS) * (self.neighbors > 0)
        return Settings(
            n_layers=len(sizes),
            n_hidden=sum(sizes),
            n_last=sizes[-1],
            n_fields=layout.n_fields,
            window=float(self.window),
            tau=tau,
            tau_trace=float(self.tau_trace if self.tau_trace is not None else self.window),
            gain=float(self.gain if self.gain is not None else GAIN),
            last_layer=layout.readout_layers == "last",
            raw_inputs=raw,
            recursive=recursive,
            regression=regression,
            learns=self.rule != "frozen" and self.rate > 0.0 and self.plastic > 0.0,
            credit=TRIAL if self.is_plain else list(CREDITS).index(self.credit),
            projects=self.rule == "loco" and self.orthogonality > 0.0,
            block=layout.block,
            plastic=float(self.plastic),
            noise=float(self.perturbation_std),
            n_perturbations=self.n_perturbations,
            antithetic=self.antithetic,
            learning_rate=float(self.rate),
            orthogonality=float(self.orthogonality),
            projector_leak=PROJECTOR_LEAKS[layout.n_fields == 1],
            ridge=0.1 * (1.0 - self.orthogonality) / max(self.orthogonality, 1e-9) + 1e-3,
            n_clusters=self.n_input_clusters,
            rank=self.rank,
            retention=float(self.retention),
            n_trace=n_trace,
            n_linear=n_linear,
            n_losses=n_losses,
            n_snapshots=N_SNAPSHOTS if recursive and not regression and self.retention > 0.0 else 0,
            weighting=EQUAL
            if self.class_weight is None
            else BALANCED
            if self.class_weight == "balanced"
            else GIVEN,
            remembers=self.remembers,
            max_delay=self.max_delay,
            shortest=float(self.memory[0]) if self.memory is not None else 0.0,
            longest=float(self.memory[1]) if self.memory is not None else 0.0,
            n_centroids=n_centroids,
            n_neighbors=self.neighbors,
            n_says=n_says,
            n_blocks=(n_trace + n_linear) * n_losses + n_says,
            seed_key=seed_key,
            cell=self._cell(tau),
        )

    def _cell(self, tau: float) -> Any:
        """Return the parameters of the neurons."""
        cell = window_of(find(self.neuron).kind).settings(tau)
        if self.neuron != "lif":
            return cell
        return cell._replace(
            reset_zero=self.reset == "zero", dt=0.0 if self.dt is None else float(self.dt)
        )

    @property
    def remembers(self) -> bool:
        """Whether a row depends on those before it."""
        return self.memory is not None or self.max_delay > 0

    @property
    def is_plain(self) -> bool:
        """Whether credit is that of plain node perturbation, each trial by itself."""
        return self.rule == "np" and self.credit == "perturbation"

    @property
    def rate(self) -> float:
        """The learning rate in force; the measured one of the credit unless given."""
        if self.learning_rate is not None:
            return self.learning_rate
        if self.is_plain:
            return TRIAL_RATE
        projects = self.rule == "loco" and self.orthogonality > 0.0 and self.n_input_clusters == 0
        return CREDITS[self.credit] * (1.0 if projects else UNPROJECTED)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, in the constructor's order."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def _block(n_lines: int, n_fields: int) -> int:
    """Return how many lines share a block of the projector: all of a narrow row.

    Whole features stay together.
    """
    return FULL_BLOCK if n_lines <= FULL_BLOCK else BLOCK - BLOCK % n_fields


DEFAULTS = ModelConfig()
PRESETS: dict[str, dict[str, Any]] = {
    "fast": {"hidden_sizes": (64,)},
    "default": {},
    "accurate": {"hidden_sizes": (256,), "neighbors": 5000},
}

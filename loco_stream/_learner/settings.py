"""Settings: the plain numbers that compiled code reads, resolved from the options."""

from __future__ import annotations

from typing import Any, NamedTuple

from loco_stream._compiler.simd.sizes import RANK
from loco_stream._learner.fixed_layer import MEAN_CONSTANTS
from loco_stream._learner.plasticity.projections import NO_PROJECTION, PROJECTIONS, RECURSIVE
from loco_stream._learner.plasticity.rules import CREDIT_RULES, PLAIN_PERTURBATION, CreditRule
from loco_stream._learner.readout.experts import EXPERTS
from loco_stream._learner.readout.symmetric import WIDE_BATCH
from loco_stream._options import DEFAULT_INPUT_CLUSTERS, Layout, ModelOptions
from loco_stream.errors import ConfigError
from loco_stream.neurons import find, window_of
from loco_stream.neurons._spikes import MOST_SPIKES

GAIN = 6.0  # root mean square of the drives, in thresholds per window
PROJECTOR_LEAKS = (3e-5, 1e-5)  # of the first layer's projector: with receptive fields, without
UNPROJECTED = 1 / 30  # factor of the learning rate where no recursive projector anneals the step
N_SNAPSHOTS = 4
N_LINEAR = 2  # least-squares members on the scaled features
EQUAL, GIVEN, BALANCED = range(3)  # values of `Settings.weighting`


class Settings(NamedTuple):
    """Numbers that compiled code reads.

    n_layers, n_hidden, n_last: hidden layers, neurons in all of them and in the last one
    n_fields: receptive fields per feature
    window, tau, tau_trace: in ms
    gain: drives settle to this root mean square, in thresholds per window
    last_layer, raw_inputs: the readout sees the last layer only; it sees the scaled features
    recursive, regression: the readout is the ensemble of experts; there is one output, a value
    learns: hidden layers change
    credit, mirrors: position of the credit rule in `CREDIT_RULES`; the readout mirrors its changes
    projection: position in `PROJECTIONS`
    block: input channels per block of a projector
    plastic: share of the neurons that learn
    noise: size of a perturbation, in thresholds per window
    learning_rate, orthogonality, projector_leak: of the hidden layers
    ridge, n_clusters, rank: of the projection by clusters
    retention: weight of dormant classes where the kind of a row is decided by evidence
    n_fixed, n_means: neurons of the layer that never learns, and fading means that it sees of each
    feature; n_fading: neurons of this layer whose outputs are fading means of their traces
    n_trace, n_linear, n_losses: least-squares members on traces and on features, losses of each
    waits, batch: the members on traces learn several rows in one pass; rows that wait at most
    n_memoryless: members on traces, the last ones, that see the present row alone
    n_snapshots: earlier models that are kept
    weighting: where class weights come from, `EQUAL`, `GIVEN` or `BALANCED`
    remembers: a row depends on earlier ones
    max_delay: longest synaptic delay, in rows
    shortest, longest: time constants of a memory, in gaps between rows; 0: no memory
    n_centroids, n_neighbors: places, and rows kept
    n_lags: recent values that a regression's answer to the next row depends on
    n_outputs, n_scores, n_opinions, n_log_odds: blocks of outputs that the stacks combine, blocks
    that only the mixture reads, experts of the mixture, and rows of log-odds that the stack of the
    stream's next row adds up
    seed_key: key of all random numbers
    cell: parameters of the neuron model; its type names the model
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
    mirrors: bool
    projection: int
    block: int
    plastic: float
    noise: float
    learning_rate: float
    orthogonality: float
    projector_leak: float
    ridge: float
    n_clusters: int
    rank: int
    retention: float
    n_fixed: int
    n_means: int
    n_fading: int
    n_trace: int
    waits: bool
    batch: int
    n_memoryless: int
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
    n_outputs: int
    n_scores: int
    n_opinions: int
    n_log_odds: int
    n_lags: int
    seed_key: int
    cell: tuple[Any, ...]


def resolve(options: ModelOptions, layout: Layout, *, regression: bool, seed_key: int) -> Settings:
    """Return the numbers that compiled code reads for a model of this layout."""
    advanced = options.advanced
    sizes = layout.hidden_sizes
    recursive = advanced.readout == "recursive"
    raw_inputs = layout.readout_layers == "all"
    rule = credit_rule(options)
    rate = learning_rate(options)
    tau = float(advanced.window if advanced.tau is None else advanced.tau)
    memory = options.memory or (0.0, 0.0)
    n_fixed = layout.n_fixed if recursive and not regression else 0
    n_memoryless = _n_memoryless(options, layout) if regression else 0
    settings = Settings(
        n_layers=len(sizes),
        n_hidden=sum(sizes),
        n_last=sizes[-1],
        n_fields=layout.n_fields,
        window=float(advanced.window),
        tau=tau,
        tau_trace=float(advanced.window if advanced.tau_trace is None else advanced.tau_trace),
        gain=float(GAIN if advanced.gain is None else advanced.gain),
        last_layer=layout.readout_layers == "last",
        raw_inputs=raw_inputs,
        recursive=recursive,
        regression=regression,
        learns=options.rule != "frozen" and rate > 0.0 and advanced.plastic > 0.0,
        credit=CREDIT_RULES.index(rule),
        mirrors=rule.mirrors,
        projection=_projection(options),
        block=layout.block,
        plastic=float(advanced.plastic),
        noise=float(advanced.perturbation_std),
        learning_rate=rate,
        orthogonality=float(advanced.orthogonality),
        projector_leak=PROJECTOR_LEAKS[layout.n_fields == 1],
        ridge=0.1 * (1.0 - advanced.orthogonality) / max(advanced.orthogonality, 1e-9) + 1e-3,
        n_clusters=_n_clusters(options),
        rank=advanced.rank or 1,
        retention=float(options.retention),
        n_fixed=n_fixed,
        n_means=len(MEAN_CONSTANTS) if n_fixed and options.memory else 0,
        n_fading=(n_fixed + 1) // 2 if options.memory else 0,
        n_trace=len(layout.leaks) + n_memoryless if recursive else 1,
        waits=layout.n_fields == 1 and recursive and not regression and not raw_inputs,
        batch=WIDE_BATCH if layout.n_fields == 1 and not regression else RANK,
        n_memoryless=n_memoryless,
        n_linear=N_LINEAR if recursive and raw_inputs else 0,
        n_losses=2 if recursive and not regression else 1,
        n_snapshots=N_SNAPSHOTS if recursive and not regression and options.retention > 0.0 else 0,
        weighting=_weighting(options),
        remembers=options.remembers,
        max_delay=options.max_delay,
        shortest=float(memory[0]),
        longest=float(memory[1]),
        n_centroids=0 if regression else layout.n_centroids,
        n_neighbors=options.neighbors,
        n_outputs=0,
        n_scores=0,
        n_opinions=0,
        n_log_odds=0,
        n_lags=advanced.recent_values if regression and recursive else 0,
        seed_key=seed_key,
        cell=_cell(options, tau),
    )
    n_log_odds = sum(expert.n_log_odds(settings) for expert in EXPERTS)
    return settings._replace(
        n_outputs=sum(expert.n_outputs(settings) for expert in EXPERTS),
        n_scores=sum(expert.n_scores(settings) for expert in EXPERTS),
        n_opinions=sum(expert.n_opinions(settings) for expert in EXPERTS),
        n_log_odds=n_log_odds + 1 if n_log_odds else 0,
    )


def credit_rule(options: ModelOptions) -> CreditRule:
    """Return the credit rule that the options name."""
    credit = options.advanced.credit
    if options.rule == "np" and credit == "perturbation":
        return PLAIN_PERTURBATION
    return next(rule for rule in CREDIT_RULES if rule.name == credit)


def learning_rate(options: ModelOptions) -> float:
    """Return the learning rate in force: what was measured for the credit rule, unless given."""
    if options.learning_rate is not None:
        return float(options.learning_rate)
    rule = credit_rule(options)
    if rule is PLAIN_PERTURBATION:
        return rule.learning_rate
    return rule.learning_rate * (1.0 if _projection(options) == RECURSIVE else UNPROJECTED)


def check_neuron(options: ModelOptions) -> None:
    """Raise `ConfigError` unless the neuron model exists, and can be run as the options ask."""
    advanced = options.advanced
    window = window_of(find(options.neuron).kind)
    for name, default in (("dt", None), ("reset", "subtract")):
        value = getattr(advanced, name)
        if name not in window.options and value != default:
            raise ConfigError(
                f"`{name}` must be {default!r} with `neuron` {options.neuron!r}, got {value!r}"
            )
    if advanced.dt is None:
        return
    steps = advanced.window / advanced.dt
    if abs(steps - round(steps)) > 1e-6 or not 1 <= round(steps) <= MOST_SPIKES:
        raise ConfigError(
            f"`dt` must be `window` ({advanced.window:g} ms) divided by an integer "
            f"from 1 to {MOST_SPIKES}, got {advanced.dt:g}"
        )


def _projection(options: ModelOptions) -> int:
    advanced = options.advanced
    if options.rule != "loco" or advanced.orthogonality == 0.0:
        return NO_PROJECTION
    return [projection.name for projection in PROJECTIONS].index(advanced.projection)


def _n_memoryless(options: ModelOptions, layout: Layout) -> int:
    advanced = options.advanced
    sees_first = advanced.readout == "recursive" and layout.readout_layers != "last"
    wanted = options.memory is not None and advanced.memoryless_members
    return len(layout.leaks) if sees_first and wanted else 0


def _n_clusters(options: ModelOptions) -> int:
    if options.advanced.projection != "clusters":
        return 0
    return options.advanced.n_input_clusters or DEFAULT_INPUT_CLUSTERS


def _weighting(options: ModelOptions) -> int:
    if options.class_weight is None:
        return EQUAL
    return BALANCED if options.class_weight == "balanced" else GIVEN


def _cell(options: ModelOptions, tau: float) -> Any:
    """Return the parameters of the neurons."""
    window = window_of(find(options.neuron).kind)
    own = {name: getattr(options.advanced, name) for name in window.options}
    return window.settings(tau, **own)

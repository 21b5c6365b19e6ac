"use strict";
// The part of the page that shows a forecaster: the last values, the next ones, and the errors by step ahead.

let fanChart = null;

function dropFan() {
  if (fanChart) fanChart.destroy();
  fanChart = null;
}

function makeFanChart(element) {
  const text = (value) => (value == null ? "–" : value.toPrecision(5));
  return makeChart(element, 260, {
    scales: { x: { time: false } },
    axes: [{ ...axis(), label: "rows", size: 30, incrs: WHOLE, values: (plot, values) => values.map(count) }, { ...axis(), size: 64 }],
    series: [
      { label: "row", value: (plot, value) => count(value) }, line("value", "overall", 1.6, [], text),
      line("forecast", "window", 2, [], text), line("90 % band from", "quiet", 0.5, [], text),
      line("to", "quiet", 0.5, [], text),
    ],
    bands: [{ series: [4, 3], fill: `rgba(${colour("heat")}, 0.15)` }],
  }, [[], [], [], [], []]);
}

function drawHorizons(table, fan) {
  drawValues(table, ["steps ahead", "mean absolute error", "repeating the last value", "values inside the 90 % band, %"],
    fan.steps.map((step) => [count(step), short(fan.forecast_mae[step]), short(fan.forecast_no_change_mae[step]),
      percent(fan.forecast_coverage[step])]));
}

function showFan(fan) {
  if (!fanChart) fanChart = makeFanChart(document.getElementById("fan"));
  const past = fan.history.length, ahead = fan.forecast.length, before = Array(past).fill(null);
  const at = Array.from({ length: past + ahead }, (_, i) => fan.at - past + i);
  const after = (values) => [...before, ...values];
  fanChart.setData([at, [...fan.history, ...Array(ahead).fill(null)], after(fan.forecast), after(fan.low), after(fan.high)]);
  if (fanChart.cursor.idx == null) fanChart.setLegend({ idx: past });
  drawHorizons(document.getElementById("horizons"), fan);
  showValues("fan-values", ["row", "value", "forecast", "90 % band from", "to"], () => [
    ...thinned(fan.history.map((value, i) => [count(fan.at - past + i), short(value), "–", "–", "–"])),
    ...thinned(fan.forecast.map((value, i) => [count(fan.at + i), "–", short(value), short(fan.low[i]), short(fan.high[i])])),
  ]);
}

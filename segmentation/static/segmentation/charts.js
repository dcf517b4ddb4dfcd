"use strict";
/* Draws each <canvas data-chart="NAME"> from the JSON in the element with that id. The page has
   the same figures as a table, so that nothing is lost where this does not run. */
(() => {
  const PALETTE = ["#178073", "#c2410c", "#1d4ed8", "#a16207", "#7e22ce", "#be123c", "#4d7c0f",
    "#0e7490", "#57534e", "#db2777"];
  const COLOURS = { main: "#178073", other: "#a8a29e", up: "#3f9e4d", down: "#c2410c" };
  const drawn = new Map();

  const isDark = () => document.documentElement.classList.contains("dark");

  const dataset = (series, position, drawing) => {
    const colour = drawing.palette ? PALETTE[position % PALETTE.length] : COLOURS[series.colour];
    const common = { label: series.name, data: series.values, borderColor: colour,
      backgroundColor: colour, type: series.shape };
    if (series.shape === "bar") return { ...common, maxBarThickness: 18, borderRadius: 2, order: 2 };
    return { ...common, borderWidth: 2, pointRadius: series.values.length > 40 ? 0 : 2.5,
      tension: 0, spanGaps: true, order: 1 };
  };

  const options = (drawing) => {
    const ink = isDark() ? "#a8a29e" : "#57534e";
    const grid = isDark() ? "#44403c" : "#e7e5e4";
    const language = document.documentElement.lang;
    const number = (value) => Number(value).toLocaleString(language, { maximumFractionDigits: 2 });
    const withUnit = (value) => (drawing.unit ? `${number(value)} ${drawing.unit}` : number(value));
    const amounts = { beginAtZero: true, grid: { color: grid }, border: { display: false },
      ticks: { color: ink, callback: number, precision: drawing.whole === false ? undefined : 0 } };
    const names = { grid: { display: false },
      ticks: { color: ink, maxRotation: 0, autoSkip: true, maxTicksLimit: 12 } };
    const scales = drawing.horizontal ? { x: amounts, y: names } : { x: names, y: amounts };
    if (drawing.stacked) Object.values(scales).forEach((scale) => { scale.stacked = true; });
    return {
      animation: false, responsive: true, maintainAspectRatio: false,
      indexAxis: drawing.horizontal ? "y" : "x",
      interaction: { mode: "index", intersect: false },
      plugins: {
        legend: { display: drawing.series.length > 1, position: "bottom",
          labels: { color: ink, boxWidth: 10, boxHeight: 10 } },
        tooltip: { callbacks: {
          label: (item) => `${item.dataset.label}: ${withUnit(item.raw)}` } },
      },
      scales,
    };
  };

  const draw = (canvas) => {
    const source = document.getElementById(canvas.dataset.chart);
    if (!source || typeof Chart === "undefined") return;
    const drawing = JSON.parse(source.textContent);
    drawn.get(canvas)?.destroy();
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    drawn.set(canvas, new Chart(canvas, {
      data: { labels: drawing.labels,
        datasets: drawing.series.map((series, position) => dataset(series, position, drawing)) },
      options: options(drawing),
    }));
  };

  const drawAll = (root) => root.querySelectorAll("canvas[data-chart]").forEach(draw);

  document.addEventListener("DOMContentLoaded", () => {
    drawAll(document);
    document.body.addEventListener("htmx:afterSwap", (event) => drawAll(event.target));
    new MutationObserver(() => drawn.forEach((_chart, canvas) => draw(canvas)))
      .observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
  });
})();

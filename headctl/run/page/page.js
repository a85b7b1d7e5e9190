"use strict";
// Draws the charts of the page, and plays its fights. Everything it needs is in the page itself.
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const OPTIONS = { responsive: true, displaylogo: false, modeBarButtons: [["toImage"]] };
  const MODEBAR = { bgcolor: "rgba(0,0,0,0)", color: "#ced4da", activecolor: "#1d3557" };
  const SIDES = { red: "#d1495b", blue: "#2f6690" };
  const CHOICES = ["#1d3557", "#e76f51", "#2a9d8f", "#e9a13b", "#7b2cbf", "#8ecae6", "#588157", "#d1495b", "#b08968",
    "#457b9d", "#f4a261", "#90be6d", "#c77dff", "#6c757d"];
  const LATE_MS = 33;

  const escape = (text) => String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" }[c]));
  const number = (value, digits) => (value === null || value === undefined ? "-" : value.toFixed(digits));
  const short = (value) => (value === null || value === undefined ? "-" : Number(value.toPrecision(3)).toString());

  async function drawCharts() {
    const charts = read("charts-data");
    for (const [id, chart] of Object.entries(charts)) {
      await Plotly.newPlot(id, chart.data, { ...chart.layout, modebar: MODEBAR }, OPTIONS);
    }
    // Zooming along the agent-steps of one head zooms all of them.
    const heads = Object.keys(charts).filter((id) => id.startsWith("head-")).map((id) => document.getElementById(id));
    let busy = false;
    for (const source of heads) {
      source.on("plotly_relayout", async (change) => {
        const range = [change["xaxis.range[0]"], change["xaxis.range[1]"]];
        if (busy || (range[0] === undefined && !change["xaxis.autorange"])) return;
        busy = true;
        const same = range[0] === undefined ? { "xaxis.autorange": true } : { "xaxis.range": range };
        for (const other of heads) if (other !== source) await Plotly.relayout(other, same);
        busy = false;
      });
    }
  }

  function hasWebGL() {
    const canvas = document.createElement("canvas");
    return Boolean(canvas.getContext("webgl") || canvas.getContext("experimental-webgl"));
  }

  // One fight: the paths in three dimensions (seen from above where the browser has no WebGL), a clock, and what every
  // head of every aircraft decides at that time.
  class Fight {
    constructor(root, story, solid) {
      this.story = story;
      this.solid = solid;
      this.scene = root.querySelector(".scene");
      this.lanes = root.querySelector(".lanes");
      this.side = root.querySelector(".pilots");
      this.slider = root.querySelector("input");
      this.clock = root.querySelector("output");
      this.button = root.querySelector("button");
      this.select = root.querySelector("select");
      this.now = 0;
      this.timer = null;
      // Before the first decision and after the end there is nothing to colour by; heads of all aircraft, once each.
      this.heads = [...new Set(story.aircraft.flatMap((craft) => Object.keys(craft.heads)))];
      this.most = Object.fromEntries(this.heads.map((head) => [head, Math.max(1e-9, ...story.aircraft.flatMap(
        (craft) => (craft.heads[head] ? craft.heads[head].entropy : []).filter((value) => value !== null)))]));
      this.centre = ["north_m", "east_m"].map((key) => {
        const all = story.aircraft.flatMap((craft) => craft[key]);
        return (Math.min(...all) + Math.max(...all)) / 2;
      });
    }

    isDiscrete(head) {
      return this.story.aircraft.some((craft) => craft.heads[head] && /^[a-z_]/i.test(craft.heads[head].decision[0] || ""));
    }

    place(craft, index) {
      return [(craft.east_m[index] - this.centre[1]) / 1000, (craft.north_m[index] - this.centre[0]) / 1000,
        craft.altitude_m[index] / 1000];
    }

    course(craft) {
      return craft.north_m.map((_, index) => this.place(craft, index));
    }

    tip(craft, index) {
      const lines = Object.entries(craft.heads).map(([name, head]) => {
        if (head.decision[index] === null) return "";
        const entropy = head.entropy[index] === null ? "" : ` (entropy ${number(head.entropy[index], 2)} nats)`;
        return `<br>${escape(name)}: <b>${escape(head.decision[index])}</b>${entropy}`;
      });
      return `${escape(craft.agent)}, ${escape(craft.pilot)}, ${number(this.story.time_s[index], 1)} s${lines.join("")}`;
    }

    trace(points, more) {
      const flat = { x: points.map((p) => p[0]), y: points.map((p) => p[1]) };
      const kind = this.solid ? { type: "scatter3d", z: points.map((p) => p[2]) } : { type: "scatter" };
      return { ...kind, ...flat, ...more };
    }

    colours(craft, mode) {
      const [what, name] = mode.split(":");
      const head = craft.heads[name];
      if (!head) return SIDES[craft.side];
      if (what === "entropy") {
        return head.entropy.map((value) => (value === null ? 0 : value));
      }
      return head.decision.map((choice) => (choice === null ? "#adb5bd" : this.colourOf(name, choice)));
    }

    colourOf(head, choice) {
      this.known = this.known || {};
      const known = (this.known[head] = this.known[head] || []);
      if (!known.includes(choice)) known.push(choice);
      return CHOICES[known.indexOf(choice) % CHOICES.length];
    }

    traces(mode) {
      const floor = Math.min(...this.story.aircraft.flatMap((craft) => craft.altitude_m)) / 1000 - 0.05;
      const out = [];
      for (const craft of this.story.aircraft) {
        const points = this.course(craft);
        const text = points.map((_, index) => this.tip(craft, index));
        const colour = this.colours(craft, mode);
        const entropy = mode.startsWith("entropy");
        const scale = entropy ? { colorscale: "Viridis", cmin: 0, cmax: this.most[mode.split(":")[1]],
          showscale: craft === this.story.aircraft[0], colorbar: { title: { text: "nats" }, thickness: 12, len: 0.6 } } : {};
        out.push(this.trace(points, { mode: "lines+markers", name: `${craft.agent}: ${craft.pilot}`, text,
          hovertemplate: "%{text}<extra></extra>", line: { color: SIDES[craft.side], width: this.solid ? 4 : 2 },
          marker: { size: this.solid ? (mode === "side" ? 1.5 : 4) : (mode === "side" ? 3 : 6), color: colour, ...scale } }));
        if (this.solid) {
          const shadow = points.map((p) => [p[0], p[1], floor]);
          out.push(this.trace(shadow, { mode: "lines", hoverinfo: "skip", showlegend: false, opacity: 0.35,
            line: { color: "#adb5bd", width: 2 } }));
        }
        const fired = points.map((_, i) => i).filter((i) => i + 1 < points.length && craft.rounds[i + 1] < craft.rounds[i]);
        if (fired.length) {
          out.push(this.trace(fired.map((i) => points[i]), { mode: "markers", name: `${craft.agent} fires`,
            text: fired.map((i) => text[i]), hovertemplate: "%{text}<extra></extra>",
            marker: { size: this.solid ? 5 : 8, symbol: "diamond", color: "#ffb703", line: { color: SIDES[craft.side], width: 1 } } }));
        }
      }
      out.push(this.trace(this.story.aircraft.map((craft) => this.place(craft, this.now)), { mode: "markers+text",
        text: this.story.aircraft.map((craft) => craft.agent), textposition: "top center", hoverinfo: "skip", showlegend: false,
        textfont: { size: 12, color: this.story.aircraft.map((craft) => SIDES[craft.side]) },
        marker: { size: this.solid ? 7 : 12, color: this.story.aircraft.map((craft) => SIDES[craft.side]), line: { color: "white", width: 1 } } }));
      return out;
    }

    layout() {
      const base = { height: 520, margin: { l: 0, r: 0, t: 0, b: 0 }, paper_bgcolor: "rgba(0,0,0,0)", uirevision: "keep", modebar: MODEBAR,
        legend: { x: 0, y: 1, bgcolor: "rgba(255,255,255,0.7)" }, hoverlabel: { align: "left" } };
      if (!this.solid) {
        return { ...base, margin: { l: 50, r: 10, t: 10, b: 40 }, hovermode: "closest",
          xaxis: { title: { text: "east, km" } }, yaxis: { title: { text: "north, km" }, scaleanchor: "x" } };
      }
      // True to scale, and never longer than the picture is wide: "data" would let a long chase leave it.
      const span = [0, 1, 2].map((axis) => {
        const all = this.story.aircraft.flatMap((craft) => this.course(craft).map((point) => point[axis]));
        return Math.max(...all) - Math.min(...all) + 0.1;
      });
      const size = (axis) => 1.35 * span[axis] / Math.max(...span);
      const axis = { gridcolor: "#dee2e6", zeroline: false, backgroundcolor: "#f8fafc", showbackground: true };
      return { ...base, scene: { aspectmode: "manual", aspectratio: { x: size(0), y: size(1), z: size(2) }, camera: { eye: { x: 0.95, y: -1.3, z: 0.7 } },
        xaxis: { ...axis, title: { text: "east, km" } }, yaxis: { ...axis, title: { text: "north, km" } },
        zaxis: { ...axis, title: { text: "altitude, km" } } } };
    }

    // One lane per aircraft and head with named choices: what was decided when. A click there moves the clock.
    async drawLanes() {
      const time = this.story.time_s;
      const bars = { type: "bar", orientation: "h", x: [], y: [], base: [], text: [], hovertext: [], marker: { color: [] },
        hovertemplate: "%{hovertext}<extra></extra>", textposition: "inside", insidetextanchor: "middle", constraintext: "none",
        textfont: { color: "white", size: 10 }, showlegend: false, width: 0.82 };
      let lanes = 0;
      for (const craft of this.story.aircraft) {
        for (const name of Object.keys(craft.heads).filter((head) => this.isDiscrete(head))) {
          lanes += 1;
          const choices = craft.heads[name].decision;
          for (let start = 0; start < choices.length - 1;) {
            let end = start;
            while (end < choices.length && choices[end] === choices[start]) end += 1;
            const until = time[Math.min(end, time.length - 1)];
            const length = until - time[start];
            bars.x.push(length);
            bars.base.push(time[start]);
            bars.y.push(`${craft.agent} ${name}`);
            bars.text.push(length > 0.011 * time[time.length - 1] * String(choices[start]).length ? choices[start] : "");
            bars.hovertext.push(`${escape(choices[start])}, ${number(time[start], 1)} to ${number(until, 1)} s`);
            bars.marker.color.push(this.colourOf(name, choices[start]));
            start = end;
          }
        }
      }
      if (!lanes) return;
      await Plotly.newPlot(this.lanes, [bars], { height: 70 + 32 * lanes, margin: { l: 130, r: 10, t: 8, b: 40 }, bargap: 0, modebar: MODEBAR,
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest",
        font: { family: "system-ui, sans-serif", size: 12, color: "#495057" },
        xaxis: { title: { text: "time, s" }, range: [0, time[time.length - 1]], zeroline: false, showgrid: false },
        yaxis: { autorange: "reversed", automargin: true, showgrid: false } }, OPTIONS);
      this.lanes.on("plotly_click", (click) => {
        const at = click.points[0].base;
        this.moveTo(this.story.time_s.findIndex((t) => t >= at));
      });
    }

    tell() {
      const i = this.now;
      this.clock.textContent = `${number(this.story.time_s[i], 1)} s`;
      this.side.innerHTML = this.story.aircraft.map((craft) => {
        const rows = Object.entries(craft.heads).map(([name, head]) => {
          const entropy = head.entropy[i];
          const share = entropy === null ? 0 : Math.max(0, Math.min(1, entropy / this.most[name]));
          const meter = entropy === null ? "" : `<span class="meter"><i style="width:${100 * share}%"></i></span> ${number(entropy, 2)} nats`;
          const alpha = head.alpha === null ? "" : `alpha ${short(head.alpha)}`;
          return `<tr><td>${escape(name)}</td><td><b>${escape(head.decision[i] === null ? "-" : head.decision[i])}</b></td></tr>` +
            (meter ? `<tr><td></td><td>${meter} &nbsp; ${alpha}</td></tr>` : "");
        }).join("");
        const down = craft.health[i] <= 0 ? " (down)" : "";
        return `<div class="pilot" style="--side:${SIDES[craft.side]}"><h3>${escape(craft.agent)}${down}</h3>` +
          `<div class="sub">${escape(craft.pilot)} &middot; ${number(craft.speed_mps[i], 0)} m/s &middot; ` +
          `${number(craft.altitude_m[i] / 1000, 2)} km &middot; ${number(craft.load_factor[i], 1)} g &middot; ` +
          `${craft.rounds[i]} rounds</div><table>${rows}</table></div>`;
      }).join("");
    }

    moveTo(index) {
      this.now = Math.max(0, Math.min(index, this.story.time_s.length - 1));
      this.slider.value = this.now;
      this.tell();
      const points = this.story.aircraft.map((craft) => this.place(craft, this.now));
      const to = { x: [points.map((p) => p[0])], y: [points.map((p) => p[1])] };
      if (this.solid) to.z = [points.map((p) => p[2])];
      return Plotly.restyle(this.scene, to, [this.scene.data.length - 1]);
    }

    play() {
      if (this.timer) {
        clearInterval(this.timer);
        this.timer = null;
      } else {
        if (this.now >= this.story.time_s.length - 1) this.moveTo(0);
        const pause = Math.max(LATE_MS, 500 * (this.story.time_s[1] - this.story.time_s[0]));
        this.timer = setInterval(() => {
          this.moveTo(this.now + 1);
          if (this.now >= this.story.time_s.length - 1) this.play();
        }, pause);
      }
      this.button.textContent = this.timer ? "Pause" : "Play";
    }

    async draw() {
      this.slider.max = this.story.time_s.length - 1;
      const options = [["side", "side"]];
      for (const head of this.heads) {
        if (this.isDiscrete(head)) options.push([`decision:${head}`, `decision of ${head}`]);
        options.push([`entropy:${head}`, `entropy of ${head}`]);
      }
      this.select.innerHTML = options.map(([value, text]) => `<option value="${escape(value)}">${escape(text)}</option>`).join("");
      this.slider.addEventListener("input", () => this.moveTo(Number(this.slider.value)));
      this.button.addEventListener("click", () => this.play());
      this.select.addEventListener("change", () =>
        Plotly.react(this.scene, this.traces(this.select.value), this.layout(), OPTIONS));
      this.tell();
      await this.drawLanes();
      await Plotly.newPlot(this.scene, this.traces("side"), this.layout(), OPTIONS);
    }
  }

  async function drawFights() {
    const solid = hasWebGL();
    for (const [id, story] of Object.entries(read("fights-data"))) {
      const fight = new Fight(document.getElementById(id), story, solid);
      await fight.draw();
    }
    document.body.dataset.solid = solid;
  }

  drawCharts().then(drawFights).then(
    () => { document.body.dataset.state = "drawn"; },
    (error) => { document.body.dataset.state = "failed"; throw error; },
  );
})();

// The channels of one engine as small multiples; the server sends only the rows that are new.
const WIDTH = 200;
const HEIGHT = 44;

const UNUSUAL_SD = 3;

export default {
  template: `
  <div>
    <div class="sw-modes" role="group" aria-label="Show channels as">
      <button :aria-pressed="!compared" @click="compares = false">Values</button>
      <button :aria-pressed="compared" :disabled="!hasBaseline" :title="hasBaseline ? '' : 'It has too few rows for a baseline, or its model is not installed here'" @click="compares = true">Against its baseline</button>
      <small v-if="compared">Standard deviations from its own first rows, operating condition removed; dashed: none.</small>
    </div>
    <div class="sw-channels">
      <div v-for="channel in channels" :key="channel.name" class="sw-channel" :class="{'is-flagged': channel.flags.length}" :data-channel="channel.name">
        <div class="sw-channel-head">
          <span class="sw-channel-name">{{ channel.name }}</span>
          <span class="sw-channel-value">{{ channel.latest }} <small>{{ channel.unit }}</small></span>
        </div>
        <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" :aria-label="channel.summary">
          <title>{{ channel.summary }}</title>
          <line v-if="compared" class="sw-zero" x1="0" x2="${WIDTH}" y1="${HEIGHT / 2}" y2="${HEIGHT / 2}" />
          <path :d="channel.path" />
        </svg>
        <div class="sw-channel-foot">{{ channel.flags.length ? '⚑ ' + channel.flags.join(', ') : channel.span }}</div>
      </div>
    </div>
  </div>`,
  props: { units: Object, decimals: Object, initial: Object, keep: Number },
  data() {
    return {
      names: this.initial.names,
      byCycle: new Map(this.initial.rows.map((row) => [row.cycle, row])),
      hasBaseline: this.initial.has_baseline,
      compares: false,
      version: 0,
    };
  },
  computed: {
    compared() {
      return this.compares && this.hasBaseline;
    },
    ordered() {
      this.version;
      return [...this.byCycle.values()].sort((a, b) => a.cycle - b.cycle);
    },
    drawn() {
      const part = this.compared ? "distances" : "values";
      return this.names
        .map((name, index) => ({
          name,
          latest: this.ordered.at(-1)?.[part][index],
          points: this.ordered.map((row) => [row.cycle, row[part][index]]).filter(([, value]) => isNumber(value)),
        }))
        .filter(({ points }) => !this.compared || points.length);
    },
    // One scale for all that is compared, so that what moved most is seen at once.
    farthest() {
      const distances = this.drawn.flatMap(({ points }) => points.map(([, value]) => Math.abs(value)));
      return Math.max(UNUSUAL_SD, ...distances);
    },
    channels() {
      const last = this.ordered.at(-1);
      return this.drawn.map(({ name, latest, points }) => {
        const values = points.map(([, value]) => value);
        const [low, high] = [Math.min(...values), Math.max(...values)];
        const shown = (value) => (isNumber(value) ? this.text(name, value) : "missing");
        const span = values.length ? (low === high ? "constant" : `${shown(low)} to ${shown(high)}`) : "no value";
        const unit = this.compared ? "sd" : this.units[name]?.replace(/^1$/, "");
        return {
          name,
          unit: isNumber(latest) ? (unit ?? "") : "",
          latest: shown(latest),
          flags: last?.flags[name] ?? [],
          span,
          summary: `${name}: ${span} over the last ${this.ordered.length} cycles`,
          path: this.compared ? path(points, -this.farthest, this.farthest) : path(points, low, high),
        };
      });
    },
  },
  methods: {
    text(name, value) {
      if (!this.compared) return value.toFixed(this.decimals[name] ?? 2);
      const size = Math.abs(value).toFixed(1);
      return (size === "0.0" ? "" : value < 0 ? "−" : "+") + size;
    },
    patch({ names, rows, has_baseline }) {
      this.names = names;
      this.hasBaseline = has_baseline;
      for (const row of rows) this.byCycle.set(row.cycle, row);
      const gone = [...this.byCycle.keys()].sort((a, b) => a - b).slice(0, -this.keep);
      for (const cycle of gone) this.byCycle.delete(cycle);
      this.version += 1;
    },
  },
};

function isNumber(value) {
  return typeof value === "number" && isFinite(value);
}

function path(points, low, high) {
  if (points.length < 2) return "";
  const first = points[0][0];
  const span = points.at(-1)[0] - first || 1;
  const height = high - low || 1;
  return points
    .map(([cycle, value], index) => {
      const x = ((cycle - first) / span) * WIDTH;
      const y = high === low ? HEIGHT / 2 : HEIGHT - 4 - ((value - low) / height) * (HEIGHT - 8);
      return `${index ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    })
    .join("");
}

// The channels of one engine as small multiples; the server sends only the rows that are new.
const WIDTH = 200;
const HEIGHT = 44;

export default {
  template: `
  <div class="sw-channels">
    <div v-for="channel in channels" :key="channel.name" class="sw-channel" :class="{'is-flagged': channel.flags.length}" :data-channel="channel.name">
      <div class="sw-channel-head">
        <span class="sw-channel-name">{{ channel.name }}</span>
        <span class="sw-channel-value">{{ channel.latest }} <small>{{ channel.unit }}</small></span>
      </div>
      <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" :aria-label="channel.summary">
        <title>{{ channel.summary }}</title>
        <path :d="channel.path" />
      </svg>
      <div class="sw-channel-foot">{{ channel.flags.length ? '⚑ ' + channel.flags.join(', ') : channel.span }}</div>
    </div>
  </div>`,
  props: { units: Object, decimals: Object, initial: Object, keep: Number },
  data() {
    return { names: this.initial.names, byCycle: new Map(this.initial.rows.map((row) => [row.cycle, row])), version: 0 };
  },
  computed: {
    ordered() {
      this.version;
      return [...this.byCycle.values()].sort((a, b) => a.cycle - b.cycle);
    },
    channels() {
      const last = this.ordered.at(-1);
      return this.names.map((name, index) => {
        const points = this.ordered.map((row) => [row.cycle, row.values[index]]).filter(([, value]) => isNumber(value));
        const values = points.map(([, value]) => value);
        const [low, high] = [Math.min(...values), Math.max(...values)];
        const shown = (value) => (isNumber(value) ? value.toFixed(this.decimals[name] ?? 2) : "missing");
        const span = values.length ? (low === high ? "constant" : `${shown(low)} to ${shown(high)}`) : "no value";
        return {
          name,
          unit: isNumber(last?.values[index]) ? (this.units[name]?.replace(/^1$/, "") ?? "") : "",
          latest: shown(last?.values[index]),
          flags: last?.flags[name] ?? [],
          span,
          summary: `${name}: ${span} over the last ${this.ordered.length} cycles`,
          path: path(points, low, high),
        };
      });
    },
  },
  methods: {
    patch({ names, rows }) {
      this.names = names;
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

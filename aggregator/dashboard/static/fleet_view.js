// The fleet: counts as cards, which filter, and one row per engine; the server sends only the rows that changed.
const BANDS = ["critical", "warning", "healthy", "unknown"];
const LINKS = { online: "online", stale: "stale", offline: "offline", never_seen: "never seen" };
const COLUMNS = [
  { key: "serial", label: "Engine" },
  { key: "site", label: "Site" },
  { key: "health", label: "Health" },
  { key: "rul", label: "Remaining life", hint: "Median and 90 % interval, in cycles" },
  { key: "cycle", label: "Cycle" },
  { key: "link", label: "Link" },
  { key: "at", label: "Last record" },
];
const SORT_VALUES = {
  serial: (row) => row.serial,
  site: (row) => row.site,
  health: (row) => BANDS.indexOf(row.band),
  rul: (row) => row.rul?.q50 ?? Infinity,
  cycle: (row) => row.cycle ?? -1,
  link: (row) => Object.keys(LINKS).indexOf(row.link.state),
  at: (row) => row.at ?? 0,
};

export default {
  template: `
  <div class="sw-fleet">
    <h1 class="sw-hidden">Fleet</h1>
    <section class="sw-cards" aria-label="The fleet in numbers">
      <button v-for="card in cards" :key="card.key" class="sw-card" :class="['is-' + card.key, {'is-chosen': chosen === card.key}]"
              :aria-pressed="chosen === card.key" @click="choose(card.key)">
        <span class="sw-card-label"><span class="sw-icon" :class="'is-' + card.key" aria-hidden="true"></span>{{ card.label }}</span>
        <span class="sw-card-value" :data-count="card.key">{{ card.value }}</span>
        <span class="sw-card-note">{{ card.note }}</span>
      </button>
      <div class="sw-card is-plain">
        <span class="sw-card-label">Median remaining life</span>
        <span class="sw-card-value" data-count="median">{{ summary.median }}</span>
        <span class="sw-card-note">cycles · mean {{ summary.mean }}</span>
      </div>
    </section>
    <section v-if="!all.length" class="sw-panel sw-empty">
      <h2>No engine is registered yet</h2>
      <p>Records are taken from registered engines only. Register the first one, and its row appears here by itself:</p>
      <pre>{{ register }}</pre>
      <p>or send it to <code>POST /api/v1/engines</code>; <a href="/api/docs">the API's documentation</a> shows how.</p>
    </section>
    <section v-else class="sw-panel">
      <div class="sw-tools">
        <h2>Engines</h2>
        <input v-model="search" type="search" placeholder="Find engine, site or gateway" aria-label="Find engine, site or gateway">
      </div>
      <table class="sw-table">
        <thead><tr>
          <th v-for="column in columns" :key="column.key" scope="col" :class="'is-' + column.key" :aria-sort="direction(column.key)">
            <button :title="column.hint" @click="sortBy(column.key)">{{ column.label }}<span class="sw-arrow" aria-hidden="true">{{ arrow(column.key) }}</span></button>
          </th>
        </tr></thead>
        <tbody>
          <tr v-for="row in shown" :key="row.serial" :data-engine="row.serial" @click="open(row, $event)">
            <td class="is-serial"><a :href="'/engines/' + row.serial">{{ row.serial }}</a><small v-if="row.status !== 'operational'">{{ row.status }}</small></td>
            <td class="is-site">{{ row.site }}<small>{{ row.gateway ?? 'not installed' }}</small></td>
            <td class="is-health"><span class="sw-badge" :class="'is-' + row.band">{{ row.band }}</span></td>
            <td class="is-rul">
              <template v-if="row.rul"><span class="sw-rul">
                <span class="sw-rul-text"><b>{{ row.rul.median }}</b> <small>{{ row.rul.interval }}</small></span>
                <span class="sw-range" aria-hidden="true"><i :style="range(row.rul)"></i><b :style="{left: share(row.rul.q50, row.rul)}"></b></span>
              </span></template>
              <span v-else class="sw-none">no prediction yet</span>
              <small v-if="row.refusal" class="sw-refused" :title="row.refusal">⚑ the latest row gave none</small>
            </td>
            <td class="is-cycle">{{ row.cycle ?? '–' }}</td>
            <td class="is-link"><span class="sw-link" :class="'is-' + row.link.state" tabindex="0">{{ links[row.link.state] }}<span class="sw-tip" role="tooltip">{{ row.link.reason }}</span></span></td>
            <td class="is-at">{{ ago(row.at) }}</td>
          </tr>
        </tbody>
      </table>
      <p v-if="!shown.length" class="sw-none sw-nothing">No engine matches. <a href="#" @click.prevent="reset">Show all</a></p>
    </section>
  </div>`,
  props: { initial: Object, register: String },
  data() {
    return {
      engines: Object.fromEntries(this.initial.engines.map((row) => [row.serial, row])),
      summary: this.initial.summary,
      skew_s: Date.now() / 1000 - this.initial.now,
      now: this.initial.now,
      columns: COLUMNS,
      links: LINKS,
      sort: "health",
      falling: false,
      chosen: null,
      search: "",
    };
  },
  computed: {
    all() {
      return Object.values(this.engines);
    },
    cards() {
      const { counts } = this.summary;
      const silent = counts.stale ? `and ${counts.stale} stale` : "none stale";
      return [
        { key: "total", label: "Engines", value: counts.total, note: `${counts.online} online` },
        { key: "critical", label: "Critical", value: counts.critical, note: this.summary.notes.critical },
        { key: "warning", label: "Warning", value: counts.warning, note: this.summary.notes.warning },
        { key: "healthy", label: "Healthy", value: counts.healthy, note: this.summary.notes.healthy },
        { key: "unknown", label: "Unknown", value: counts.unknown, note: "no prediction" },
        { key: "offline", label: "Offline", value: counts.offline, note: silent },
      ];
    },
    shown() {
      const wanted = this.search.trim().toLowerCase();
      const value = SORT_VALUES[this.sort];
      const sign = this.falling ? -1 : 1;
      return this.all
        .filter((row) => this.isChosen(row))
        .filter((row) => !wanted || [row.serial, row.site, row.gateway ?? ""].some((text) => text.toLowerCase().includes(wanted)))
        .sort((a, b) => sign * compare(value(a), value(b)) || compare(a.serial, b.serial));
    },
  },
  mounted() {
    this.ticking = setInterval(() => (this.now = Date.now() / 1000 - this.skew_s), 1000);
  },
  beforeUnmount() {
    clearInterval(this.ticking);
  },
  methods: {
    patch({ changed, removed, summary }) {
      for (const row of changed) this.engines[row.serial] = row;
      for (const serial of removed) delete this.engines[serial];
      this.summary = summary;
    },
    choose(key) {
      this.chosen = key === "total" || this.chosen === key ? null : key;
    },
    isChosen(row) {
      return !this.chosen || row.band === this.chosen || (this.chosen === "offline" && row.link.state === "offline");
    },
    reset() {
      this.chosen = null;
      this.search = "";
    },
    sortBy(key) {
      this.falling = this.sort === key && !this.falling;
      this.sort = key;
    },
    direction(key) {
      return this.sort !== key ? "none" : this.falling ? "descending" : "ascending";
    },
    arrow(key) {
      return this.sort !== key ? "" : this.falling ? " ↓" : " ↑";
    },
    open(row, event) {
      if (!event.target.closest("a, .sw-link")) window.location = `/engines/${row.serial}`;
    },
    share(cycles, rul) {
      return `${(100 * cycles) / rul.cap}%`;
    },
    range(rul) {
      return { left: this.share(rul.q05, rul), right: `${100 - parseFloat(this.share(rul.q95, rul))}%` };
    },
    ago(at) {
      if (at === null) return "–";
      const s = Math.max(0, Math.floor(this.now - at));
      if (s < 120) return `${s} s ago`;
      if (s < 7200) return `${Math.floor(s / 60)} min ago`;
      if (s < 172800) return `${Math.floor(s / 3600)} h ago`;
      return `${Math.floor(s / 86400)} d ago`;
    },
  },
};

function compare(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

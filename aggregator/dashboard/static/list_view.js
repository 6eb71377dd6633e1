// A list that the server sorts, filters and cuts into pages: it sends only the rows that changed, and is told only what
// was chosen. Columns say by their `kind` how their cells are drawn, and by `phone` where they go on a narrow screen.
const LINKS = { online: "online", stale: "stale", offline: "offline", never_seen: "never seen" };
const SPARK = { width: 96, height: 26 };
const TYPING_MS = 250;
const CLOCKS_APART_S = 5; // a gateway's clock may be this far ahead without being told so

export default {
  template: `
  <div class="sw-list" @keydown="press">
    <h1 :class="{'sw-hidden': hidesTitle}">{{ title }}</h1>
    <section v-if="head.cards.length" class="sw-cards" :style="{'--cards': head.cards.length}" :aria-label="title + ' in numbers'">
      <component v-for="card in head.cards" :is="card.filter ? 'button' : 'div'" :key="card.key" class="sw-card"
                 :class="['is-' + card.key, {'is-chosen': isChosen(card), 'is-plain': !card.filter}]"
                 :aria-pressed="card.filter ? isChosen(card) : null" @click="chooseCard(card)">
        <span class="sw-card-label"><span class="sw-icon" :class="'is-' + card.key" aria-hidden="true"></span>{{ card.label }}</span>
        <span class="sw-card-value" :data-count="card.key">{{ card.value }}</span>
        <span class="sw-card-note">{{ card.note }}</span>
      </component>
    </section>
    <section v-if="head.isEmpty" class="sw-panel sw-empty">
      <h2>{{ empty.title }}</h2>
      <p v-for="text in empty.texts" :key="text">{{ text }}</p>
      <pre v-if="empty.command">{{ empty.command }}</pre>
      <a v-if="adds" :href="adds[1]">{{ adds[0] }}</a>
    </section>
    <section v-else class="sw-panel">
      <div class="sw-tools">
        <h2>{{ heading }}</h2>
        <input v-if="searches" v-model="search" type="search" :placeholder="searches" :aria-label="searches" @input="type">
        <select v-for="filter in filters" :key="filter.key" :value="head.filters[filter.key] ?? ''" :aria-label="filter.label"
                @change="choose(filter.key, $event.target.value)">
          <option value="">{{ filter.label }}: any</option>
          <option v-for="[value, label] in filter.options" :key="value" :value="value">{{ filter.label }}: {{ label }}</option>
        </select>
        <a v-if="adds" class="sw-csv" :href="adds[1]">{{ adds[0] }}</a>
        <a v-if="head.csv" class="sw-csv" :href="head.csv" download>CSV</a>
        <a v-else class="sw-csv" href="#" title="Of the rows below" @click.prevent="save">CSV</a>
      </div>
      <form v-if="actions.length" class="sw-bulk" @submit.prevent="asked && act(asked)">
        <label><input type="checkbox" :checked="allSelected" :indeterminate.prop="picked.length > 0 && !allSelected" @change="selectAll"> {{ picked.length }} selected</label>
        <template v-if="asked"><input ref="answer" v-model="answer" :placeholder="asked.asks" :aria-label="asked.asks" required maxlength="1000">
          <button>{{ asked.label }}</button><button type="button" @click="asked = null">Cancel</button></template>
        <template v-else><button v-for="action in actions" :key="action.key" type="button" :disabled="!picked.length" :title="'Key: ' + action.hotkey" @click="start(action)">{{ action.label }}</button></template>
        <span class="sw-keys">Keys: ↑ ↓ to move, x to select<template v-if="shown.some((row) => row.href)">, Enter to open</template><template v-for="action in actions">, {{ action.hotkey }} to {{ action.label.toLowerCase() }}</template></span>
      </form>
      <table class="sw-table">
        <caption class="sw-hidden">{{ title }}</caption>
        <thead><tr>
          <th v-if="actions.length" class="is-pick"><span class="sw-hidden">Selected</span></th>
          <th v-for="column in columns" :key="column.key" scope="col" :class="'is-' + column.key" :aria-sort="direction(column.sort)">
            <button v-if="column.sort" :title="column.hint" @click="sortBy(column)">{{ column.label }}<span class="sw-arrow" aria-hidden="true">{{ arrow(column.sort) }}</span></button>
            <span v-else :title="column.hint">{{ column.label }}</span>
          </th>
        </tr></thead>
        <tbody ref="body">
          <tr v-for="(row, place) in shown" :key="row.key" :data-key="row.key" :class="{'is-opening': row.href, 'is-picked': picks.has(row.key)}"
              :tabindex="place === focus ? 0 : -1" @focus="focus = place" @click="open(row, $event)">
            <td v-if="actions.length" class="is-pick"><input type="checkbox" :checked="picks.has(row.key)" :aria-label="'Select ' + row.name" tabindex="-1" @change="pick(row)"></td>
            <td v-for="column in columns" :key="column.key" :class="['is-' + column.key, 'at-' + column.phone]">
              <template v-if="row[column.key] == null"><span class="sw-none">{{ column.none ?? '–' }}</span></template>
              <template v-else-if="column.kind === 'badge'"><span class="sw-badge" :class="'is-' + row[column.key]">{{ row[column.key].replace('_', ' ') }}</span></template>
              <template v-else-if="column.kind === 'link'"><span class="sw-link" :class="'is-' + row[column.key].state" tabindex="0">{{ links[row[column.key].state] }}<span class="sw-tip" role="tooltip">{{ row[column.key].reason }}</span></span></template>
              <template v-else-if="column.kind === 'rul'"><span class="sw-rul">
                <span class="sw-rul-text"><b>{{ row[column.key].median }}</b> <small>{{ row[column.key].interval }}</small></span>
                <span class="sw-range" aria-hidden="true"><i :style="range(row[column.key])"></i><b :style="{left: share(row[column.key].q50, row[column.key])}"></b></span>
              </span></template>
              <svg v-else-if="column.kind === 'spark'" class="sw-spark" viewBox="0 0 ${SPARK.width} ${SPARK.height}" aria-hidden="true"><path :d="spark(row[column.key])" /></svg>
              <time v-else-if="column.kind === 'when'" :datetime="iso(row[column.key])" :title="local(row[column.key])">{{ ago(row[column.key]) }}</time>
              <template v-else>
                <a v-if="column.isName && row.href" class="sw-name" :href="row.href" tabindex="-1">{{ row[column.key] }}</a><template v-else>{{ row[column.key] }}</template>
              </template>
              <small v-if="row.notes?.[column.key]" :class="{'is-odd': row.odd?.includes(column.key)}" :title="row.titles?.[column.key]">{{ row.notes[column.key] }}</small>
            </td>
          </tr>
        </tbody>
      </table>
      <p v-if="!shown.length" class="sw-none sw-nothing">Nothing matches. <a href="#" @click.prevent="tell({ reset: true })">Show all</a></p>
      <nav v-if="head.first || head.hasMore" class="sw-pages" aria-label="Pages">
        <button :disabled="!head.first" @click="tell({ move: 'previous' })">← Previous</button>
        <span>{{ head.first + 1 }}–{{ head.first + shown.length }}<template v-if="head.total !== null"> of {{ head.total }}</template></span>
        <button :disabled="!head.hasMore" @click="tell({ move: 'next' })">Next →</button>
      </nav>
      <p class="sw-said" role="status">{{ said }}</p>
    </section>
  </div>`,
  props: { title: String, hidesTitle: Boolean, heading: String, searches: String, columns: Array, filters: Array, actions: Array, empty: Object, adds: Array, initial: Object },
  data() {
    const { rows, head, now } = this.initial;
    return {
      byKey: Object.fromEntries(rows.map((row) => [row.key, row])),
      order: rows.map((row) => row.key),
      head,
      links: LINKS,
      search: head.search,
      now,
      skew_s: Date.now() / 1000 - now,
      focus: 0,
      picks: new Set(),
      asked: null,
      answer: "",
      said: "",
    };
  },
  computed: {
    shown() {
      return this.order.map((key) => this.byKey[key]);
    },
    picked() {
      return this.order.filter((key) => this.picks.has(key));
    },
    allSelected() {
      return this.order.length > 0 && this.picked.length === this.order.length;
    },
  },
  mounted() {
    this.ticking = setInterval(() => (this.now = Date.now() / 1000 - this.skew_s), 1000);
  },
  beforeUnmount() {
    clearInterval(this.ticking);
    clearTimeout(this.typing);
  },
  methods: {
    patch({ rows, order, head }) {
      for (const row of rows) this.byKey[row.key] = row;
      if (order) {
        this.order = order;
        this.byKey = Object.fromEntries(order.map((key) => [key, this.byKey[key]]));
        this.picks = new Set(order.filter((key) => this.picks.has(key)));
        this.focus = Math.max(0, Math.min(this.focus, order.length - 1));
      }
      if (head) {
        this.head = head;
        history.replaceState(history.state, "", head.query ? `?${head.query}` : location.pathname);
      }
    },
    say(text) {
      this.said = text;
    },
    tell(change) {
      if (change.reset) this.search = "";
      this.$emit("view", change);
    },
    type() {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.tell({ search: this.search.trim() }), TYPING_MS);
    },
    choose(key, value) {
      this.tell({ filter: [key, value] });
    },
    chooseCard(card) {
      if (!card.filter) return;
      const [key, value] = card.filter;
      this.choose(key, this.isChosen(card) ? "" : value);
    },
    isChosen(card) {
      return Boolean(card.filter?.[1]) && this.head.filters[card.filter[0]] === card.filter[1];
    },
    sortBy(column) {
      this.tell({ sort: column.sort });
    },
    direction(sort) {
      if (!sort) return null;
      return this.head.sort !== sort ? "none" : this.head.isFalling ? "descending" : "ascending";
    },
    arrow(sort) {
      return this.head.sort !== sort ? "" : this.head.isFalling ? " ↓" : " ↑";
    },
    open(row, event) {
      if (row.href && !event.target.closest("a, input, .sw-link, .is-pick")) window.location = row.href;
    },
    pick(row) {
      if (!this.picks.delete(row.key)) this.picks.add(row.key);
    },
    selectAll() {
      this.picks = new Set(this.allSelected ? [] : this.order);
    },
    start(action) {
      this.answer = "";
      if (action.leads_to) return void (window.location = action.leads_to + this.picked.map(encodeURIComponent).join(","));
      if (!action.asks) return this.act(action);
      this.asked = action;
      this.$nextTick(() => this.$refs.answer.focus());
    },
    act(action) {
      this.$emit("act", { action: action.key, keys: this.picked, answer: this.answer });
      this.asked = null;
      this.picks = new Set();
    },
    press(event) {
      if (event.target.closest("input:not([type=checkbox]), select") || event.ctrlKey || event.metaKey || event.altKey) return;
      const row = this.shown[this.focus];
      const action = this.actions.find((one) => one.hotkey === event.key);
      const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
      if (step) this.moveTo(this.focus + step);
      else if (!row || event.target.closest("button, a")) return;
      else if (event.key === "x" && this.actions.length) this.pick(row);
      else if (event.key === "Enter" && row.href) window.location = row.href;
      else if (action) {
        if (!this.picked.length) this.pick(row);
        this.start(action);
      } else return;
      event.preventDefault();
    },
    moveTo(place) {
      this.focus = Math.max(0, Math.min(place, this.order.length - 1));
      this.$nextTick(() => this.$refs.body.children[this.focus]?.focus());
    },
    save() {
      const columns = this.columns.filter((column) => column.kind !== "spark");
      const lines = [columns.map((column) => column.label), ...this.shown.map((row) => columns.map((column) => plain(column, row)))];
      const file = new Blob([lines.map((line) => line.map(quoted).join(",")).join("\r\n")], { type: "text/csv" });
      const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(file), download: `${this.title.toLowerCase()}.csv` });
      link.click();
      URL.revokeObjectURL(link.href);
    },
    share(cycles, rul) {
      return `${(100 * cycles) / rul.cap}%`;
    },
    range(rul) {
      return { left: this.share(rul.q05, rul), right: `${100 - parseFloat(this.share(rul.q95, rul))}%` };
    },
    spark({ values, cap }) {
      const step = SPARK.width / Math.max(1, values.length - 1);
      const height = (value) => (SPARK.height - 2 - (value / cap) * (SPARK.height - 4)).toFixed(1);
      return values.map((value, place) => `${place ? "L" : "M"}${(place * step).toFixed(1)} ${height(value)}`).join("");
    },
    iso(at) {
      return new Date(at * 1000).toISOString();
    },
    local(at) {
      return new Date(at * 1000).toLocaleString();
    },
    ago(at) {
      const s = Math.floor(this.now - at);
      if (s < 0 && s > -CLOCKS_APART_S) return "now";
      return s < 0 ? `in ${span(-s)}` : `${span(s)} ago`;
    },
  },
};

function plain(column, row) {
  const cell = row[column.key];
  if (cell == null) return "";
  if (column.kind === "link") return cell.state;
  if (column.kind === "rul") return `${cell.median} ${cell.interval}`.trim();
  return column.kind === "when" ? new Date(cell * 1000).toISOString() : cell;
}

// What a spreadsheet would take for a formula is made text, as in the server's files.
function quoted(value) {
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return `"${text.replaceAll('"', '""')}"`;
}

function span(s) {
  if (s < 120) return `${s} s`;
  if (s < 7200) return `${Math.floor(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} d`;
}

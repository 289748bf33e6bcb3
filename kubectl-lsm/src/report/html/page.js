// Fills the table of nodes from the data of this page. Every text goes in as a text node, so no
// text can become markup. The address after # holds search and filters, so it can be shared.
'use strict';
(() => {
  const ROWS = 100; // rows that are added at a time
  const OPTIONS = 200; // values of one filter: the most frequent ones
  const PRINTED = 300; // nodes that are printed with everything that is known of them
  const STATES = ['ready', 'not ready', 'unknown'];
  const CLASSES = ['ready', 'not-ready', 'unknown'];
  const OUTCOMES = ['pass', 'fail', 'unknown'];
  const EVIDENCE = ['None', 'Loaded', 'Attached', 'Fired', 'Denied'];
  const FILTERS = ['state', 'reason', 'evidence', 'kernel', 'pool', 'zone'];

  const data = JSON.parse(document.getElementById('data').textContent);
  const columns = Object.fromEntries(data.columns.map((name, index) => [name, index]));
  const form = document.getElementById('filters');
  const table = document.getElementById('table');
  const body = table.tBodies[0];
  const found = document.getElementById('found');
  const more = document.getElementById('more');
  const opened = new Set();
  let matches = data.nodes;
  let shown = 0;
  let sorting = { column: '', down: false };
  let haystacks = null; // what is searched, in lower case: made at the first search

  const number = (value) => value.toLocaleString('en-US');
  const nodes = (count) => `${number(count)} ${count === 1 ? 'node' : 'nodes'}`;

  function make(tag, className, ...content) {
    const element = document.createElement(tag);
    if (className) element.className = className;
    element.append(...content.filter((part) => part !== null && part !== ''));
    return element;
  }

  function column(node, name) {
    const value = node[columns[name]];
    if (name === 'name') return value;
    if (name === 'state') return STATES[value];
    if (name === 'evidence') return EVIDENCE[value];
    return data.texts[value];
  }

  // Search and filters

  function haystack(node) {
    const names = ['name', 'state', 'reason', 'evidence', 'kernel', 'pool', 'zone', 'os', 'arch',
      'instanceType', 'lsms', 'message', 'fix'];
    return names.map((name) => column(node, name)).join('\n').toLowerCase();
  }

  function select() {
    const words = form.elements.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length > 0 && haystacks === null) {
      haystacks = new Map(data.nodes.map((node) => [node, haystack(node)]));
    }
    const wanted = FILTERS.map((name) => [name, form.elements[name].value])
      .filter(([, value]) => value !== '');
    matches = data.nodes.filter((node) =>
      wanted.every(([name, value]) => `=${column(node, name)}` === value) &&
      words.every((word) => haystacks.get(node).includes(word)));
    sort();
  }

  function sort() {
    if (sorting.column === '') return;
    const order = new Intl.Collator('en', { numeric: true }).compare;
    const key = sorting.column === 'evidence' || sorting.column === 'state'
      ? (node) => String(node[columns[sorting.column]])
      : (node) => column(node, sorting.column);
    const sign = sorting.down ? -1 : 1;
    matches = [...matches].sort((one, other) => sign * order(key(one), key(other)));
  }

  function addOptions(name) {
    const counts = new Map();
    for (const node of data.nodes) {
      const value = column(node, name);
      counts.set(value, (counts.get(value) || 0) + 1);
    }
    const values = [...counts].sort((one, other) => other[1] - one[1]);
    const options = values.slice(0, OPTIONS).map(([value, count]) =>
      new Option(`${value || '(not known)'} · ${number(count)}`, `=${value}`));
    form.elements[name].append(new Option('all', ''), ...options);
  }

  // The address

  function readAddress() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    if (![...FILTERS, 'search'].some((name) => wanted.has(name))) return false;
    for (const name of FILTERS) {
      const field = form.elements[name];
      const value = wanted.has(name) ? `=${wanted.get(name)}` : '';
      field.value = value;
      // An address can name a value that is too rare for the list, or one of another report.
      if (field.selectedIndex < 0) field.append(new Option(value.slice(1), value, false, true));
    }
    form.elements.search.value = wanted.get('search') || '';
    return true;
  }

  function writeAddress() {
    const wanted = new URLSearchParams();
    if (form.elements.search.value) wanted.set('search', form.elements.search.value);
    for (const name of FILTERS) {
      if (form.elements[name].value) wanted.set(name, form.elements[name].value.slice(1));
    }
    try {
      history.replaceState(null, '', `#${wanted.toString() || 'nodes'}`);
    } catch {
      // Some browsers forbid it for files and in frames. Only the address to share is missing then.
    }
  }

  // Rows

  function state(index, words = STATES) {
    return make('span', `state ${CLASSES[index]}`, words[index]);
  }

  function steps(evidence) {
    const bars = [1, 2, 3, 4].map((rung) => make('i', rung <= evidence ? 'on' : ''));
    const picture = make('span', 'steps', ...bars);
    picture.setAttribute('aria-hidden', 'true');
    return picture;
  }

  function row(node) {
    const name = make('button', 'open', make('span', '', column(node, 'name')));
    name.type = 'button';
    const head = make('th', '', name);
    head.scope = 'row';
    const line = make('tr', '', head,
      make('td', '', state(node[columns.state]), make('span', 'also', column(node, 'reason'))),
      make('td', 'reason', make('span', '', column(node, 'reason'))),
      make('td', 'evidence', steps(node[columns.evidence]), column(node, 'evidence')),
      make('td', 'kernel', column(node, 'kernel')),
      make('td', 'pool', column(node, 'pool')),
      make('td', 'zone', column(node, 'zone')));
    const isOpen = opened.has(node);
    name.setAttribute('aria-expanded', String(isOpen));
    name.addEventListener('click', () => toggle(name, line, node));
    return isOpen ? [line, detail(node)] : [line];
  }

  function toggle(button, line, node) {
    if (opened.delete(node)) line.nextElementSibling.remove();
    else line.after(detail(node));
    const isOpen = line.nextElementSibling?.className === 'detail';
    if (isOpen) opened.add(node);
    button.setAttribute('aria-expanded', String(isOpen));
  }

  function facts(pairs) {
    const known = pairs.filter(([, value]) => value !== '');
    return make('dl', 'facts', ...known.map(([name, value]) =>
      make('div', '', make('dt', '', name), make('dd', '', value))));
  }

  function age(node) {
    const seconds = node[columns.age];
    if (seconds === null) return '';
    const units = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
    const [size, unit] = units.find(([one]) => seconds >= one) || [1, 's'];
    const silent = node[columns.silent] ? '; the probe has not renewed it since' : '';
    return `${Math.floor(seconds / size)} ${unit} before this page was made${silent}`;
  }

  function ladder(node) {
    const rungs = data.checks[node[columns.rungs]];
    if (rungs.length === 0) return make('p', '', 'There is no report of the present boot.');
    return make('ol', 'ladder', ...rungs.map(([name, outcome]) => make('li', CLASSES[outcome],
      make('span', 'name', data.texts[name]), state(outcome, OUTCOMES))));
  }

  function small(className, headings, rows) {
    const heads = headings.map((text) => {
      const cell = make('th', '', text);
      cell.scope = 'col';
      return cell;
    });
    const lines = rows.map(([first, ...others]) => {
      const head = make('th', '', first);
      head.scope = 'row';
      return make('tr', '', head, ...others.map((cell) => make('td', '', ...[cell].flat())));
    });
    return make('table', className,
      make('thead', '', make('tr', '', ...heads)), make('tbody', '', ...lines));
  }

  function checks(node) {
    const rungs = data.checks[node[columns.rungs]].filter(([, , , found]) => found > 0);
    const all = [...rungs, ...data.checks[node[columns.checks]]];
    return small('checks', ['Check', 'Outcome', 'What was found'],
      all.map(([name, outcome, ...texts]) =>
        [data.texts[name], state(outcome, OUTCOMES), because(...texts)]));
  }

  // A reason, a message and a fix, by their indices. The first text is empty.
  function because(reason, message, fix) {
    return [reason ? make('b', '', `${data.texts[reason]} `) : '', data.texts[message],
      fix ? make('p', 'fix', data.texts[fix]) : ''];
  }

  function policies(node) {
    const all = data.policies[node[columns.policies]];
    // What the policy says as the report does is not said again.
    const own = (index, name) => (index === node[columns[name]] ? 0 : index);
    return small('checks', ['Policy', 'Node is', 'Why'],
      all.map(([name, index, reason, message, fix]) =>
        [data.texts[name], state(index),
          because(reason, own(message, 'message'), own(fix, 'fix'))]));
  }

  function part(title, ...content) {
    return [make('h3', '', title), ...content];
  }

  function detail(node) {
    const left = make('div', '',
      ...part('What the canary has shown', ladder(node)),
      ...part(`Why it is ${column(node, 'state')}`, make('p', '', ...because(
        node[columns.reason], node[columns.message], 0))),
      ...(column(node, 'fix') ? part('What to do', make('p', 'fix', column(node, 'fix'))) : []));
    const right = make('div', '', ...part('Machine', facts([
      ['Kernel', column(node, 'kernel')], ['Architecture', column(node, 'arch')],
      ['System', column(node, 'os')], ['Machine type', column(node, 'instanceType')],
      ['Pool', column(node, 'pool')], ['Zone', column(node, 'zone')],
      ['Active LSMs', column(node, 'lsms')], ['Lockdown', column(node, 'lockdown')],
      ['Last report', age(node)], ['Probe', column(node, 'probe')],
      ['The Node shows', column(node, 'shown')]])));
    const below = make('div', 'all',
      ...(data.policies[node[columns.policies]].length
        ? part('Policies that select it', policies(node)) : []),
      ...(data.checks[node[columns.checks]].length ? part('Checks', checks(node)) : []));
    const cell = make('td', '', make('div', 'why', left, right, below));
    cell.colSpan = 7;
    return make('tr', 'detail', cell);
  }

  function show(count) {
    const next = matches.slice(shown, shown + count);
    body.append(...next.flatMap(row));
    shown += next.length;
    more.hidden = shown >= matches.length;
    const left = Math.min(ROWS, matches.length - shown);
    more.textContent = `Show ${number(left)} more of ${nodes(matches.length)}`;
  }

  function tell() {
    found.textContent = matches.length === data.nodes.length
      ? `${nodes(matches.length)}.`
      : `Found ${number(matches.length)} of ${nodes(data.nodes.length)}.`;
  }

  function refresh() {
    body.replaceChildren();
    shown = 0;
    show(ROWS);
    tell();
  }

  function sortBy(name) {
    sorting = { column: name, down: sorting.column === name && !sorting.down };
    for (const head of table.tHead.rows[0].cells) {
      const direction = sorting.down ? 'descending' : 'ascending';
      if (head.dataset.sort === name) head.setAttribute('aria-sort', direction);
      else head.removeAttribute('aria-sort');
    }
    select();
    refresh();
  }

  // Print: the nodes that were found, each with everything, and all that can be opened.
  let closedForPrint = [];
  let openedBefore = [];
  function beforePrint() {
    closedForPrint = [...document.querySelectorAll('details:not([open])')];
    for (const one of closedForPrint) one.open = true;
    openedBefore = [...opened];
    for (const node of matches.slice(0, PRINTED)) opened.add(node);
    body.replaceChildren();
    shown = 0;
    show(PRINTED);
    if (matches.length > PRINTED) {
      found.textContent = `The first ${PRINTED} of ${nodes(matches.length)}. `
        + 'Search or filter before you print to choose others.';
    }
  }
  function afterPrint() {
    for (const one of closedForPrint) one.open = false;
    opened.clear();
    for (const node of openedBefore) opened.add(node);
    refresh();
  }

  function listen() {
    const choose = () => {
      select();
      refresh();
      writeAddress();
    };
    form.addEventListener('input', choose);
    form.addEventListener('submit', (event) => event.preventDefault());
    form.addEventListener('reset', (event) => {
      event.preventDefault(); // The browser would empty the fields only after this.
      for (const name of [...FILTERS, 'search']) form.elements[name].value = '';
      choose();
    });
    more.addEventListener('click', () => {
      const next = shown;
      show(ROWS);
      body.querySelectorAll('button.open')[next]?.focus();
    });
    addEventListener('hashchange', () => {
      if (!readAddress()) return;
      select();
      refresh();
      const section = document.getElementById('nodes');
      section.scrollIntoView();
      section.focus({ preventScroll: true });
    });
    addEventListener('beforeprint', beforePrint);
    addEventListener('afterprint', afterPrint);
  }

  for (const head of table.tHead.rows[0].cells) {
    const button = make('button', '', head.textContent);
    button.type = 'button';
    button.addEventListener('click', () => sortBy(head.dataset.sort));
    head.replaceChildren(button);
  }
  FILTERS.forEach(addOptions);
  form.hidden = false;
  listen();
  if (readAddress()) select();
  refresh();
  performance.mark('usable');
})();

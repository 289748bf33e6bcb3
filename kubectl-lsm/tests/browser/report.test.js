// The report in a real browser. `make test-report` writes the pages and runs this.
//
// REPORTS is the folder with the pages, CHROMIUM the browser.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';

const FOLDER = process.env.REPORTS;
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const WIDTHS = [360, 768, 1440];

let browser;

before(async () => {
  // Root has no sandbox. The pages are our own, and the browser is asked for nothing else.
  const args = process.getuid() === 0 ? ['--no-sandbox'] : [];
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args });
});
after(() => browser?.close());

const address = (name, hash = '') => `${pathToFileURL(`${FOLDER}/${name}.html`)}${hash}`;
const fleet = (name) => JSON.parse(readFileSync(`${FOLDER}/${name}.json`, 'utf8'));

// Opens a page. Whatever the page asks the network for, and every error, ends up in `complaints`.
async function open(name, { hash, width = 1440, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, ...options });
  const page = await context.newPage();
  page.complaints = [];
  page.on('console', (message) => page.complaints.push(message.text()));
  page.on('pageerror', (error) => page.complaints.push(String(error)));
  page.on('request', (request) => {
    if (request.url() !== address(name, hash)) page.complaints.push(request.url());
  });
  page.on('dialog', (dialog) => page.complaints.push(dialog.message()));
  await page.goto(address(name, hash));
  return page;
}

async function close(page) {
  assert.deepEqual(page.complaints, []);
  await page.context().close();
}

const rows = (page) => page.locator('#table > tbody > tr:not(.detail)');
const nameOf = (row) => row.locator('th').first().textContent();
const found = (page) => page.locator('#found').textContent();

// Leaves one row for each reason. The others have the same markup.
async function keepOneOfEachReason(page) {
  await page.evaluate(() => {
    const seen = new Set();
    for (const row of document.querySelectorAll('#table > tbody > tr')) {
      const reason = row.querySelector('.also').textContent;
      if (seen.has(reason)) row.remove();
      seen.add(reason);
    }
  });
}

async function openFirst(page) {
  await page.locator('button.open').first().click();
  await page.evaluate(() => {
    for (const one of document.querySelectorAll('details')) one.open = true;
  });
}

// Each test has a page of its own, so two of them run at a time.
describe('the report', { concurrency: 2 }, () => {
  for (const name of ['fleet', 'hostile', 'empty']) {
    for (const width of WIDTHS) {
      test(`${name} fits into ${width} pixels`, async () => {
        const page = await open(name, { width });
        if (name !== 'empty') await openFirst(page);
        const sizes = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
        assert.equal(sizes[0], sizes[1]);
        const outside = await page.evaluate(() => [...document.querySelectorAll('body *')]
          .filter((one) => !one.closest('.skip, .hidden, thead'))
          .filter((one) => one.getBoundingClientRect().right > innerWidth)
          .map((one) => one.outerHTML.slice(0, 100)));
        assert.deepEqual(outside, []);
        await close(page);
      });
    }

    // Contrast depends on the scheme, and what is there on the width: two pages have both of each.
    for (const [colorScheme, width] of [['light', 1440], ['dark', 360]]) {
      test(`axe finds nothing in ${name}, ${colorScheme}, ${width} pixels wide`, async () => {
        const page = await open(name, { width, colorScheme });
        await keepOneOfEachReason(page);
        if (name !== 'empty') await openFirst(page);
        await page.evaluate(AXE);
        const { violations, passes } = await page.evaluate(() => axe.run(document, {
          runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
        }));
        const told = violations.map(({ id, nodes }) =>
          [id, nodes.length, nodes[0].html, nodes[0].failureSummary]);
        assert.deepEqual(told, []);
        assert.ok(passes.some(({ id }) => id === 'color-contrast'), 'contrast was checked');
        await close(page);
      });
    }
  }

  test('no text of a node runs, becomes markup, or turns the direction of text', async () => {
    const page = await open('hostile');
    await page.evaluate(() => {
      for (const button of document.querySelectorAll('button.open')) button.click();
    });
    assert.equal(await page.locator('tr.detail').count(), await rows(page).count());
    await page.locator('#search').fill('<script>');
    await page.locator('#search').fill('');
    await page.emulateMedia({ media: 'print' });
    assert.equal(await page.evaluate(() => window.hostile), undefined);
    const alien = 'body :is(img, textarea, title, style, iframe, object, [onload], [onmouseover])';
    assert.equal(await page.locator(alien).count(), 0);
    assert.equal(await page.locator('script').count(), 2);
    const shown = await page.locator('body').textContent();
    assert.ok(shown.includes('<img src=x onerror=window.hostile=1>'), 'the text is shown as text');
    assert.doesNotMatch(shown, /[\u202a-\u202e\u2066-\u2069]/u);
    await close(page);
  });

  test('the security policy stops a script, an image and a style from elsewhere', async () => {
    const page = await open('fleet');
    const stopped = await page.evaluate(async () => {
      const seen = [];
      document.addEventListener('securitypolicyviolation',
        (event) => seen.push(event.effectiveDirective));
      const image = document.createElement('img');
      image.src = 'https://example.com/x.png';
      const style = document.createElement('style');
      style.textContent = 'body { color: red }';
      document.body.append(image, style);
      try {
        document.body.innerHTML = '<b>markup</b>';
      } catch {
        seen.push('innerHTML');
      }
      try {
        const script = document.createElement('script');
        script.textContent = 'window.hostile = 1';
        document.body.append(script);
      } catch {
        seen.push('script');
      }
      // The browser reports a violation in a task of its own.
      const deadline = Date.now() + 5_000;
      while (!seen.includes('img-src') && Date.now() < deadline) {
        await new Promise((next) => setTimeout(next, 5));
      }
      return { seen, hostile: window.hostile };
    });
    for (const one of ['img-src', 'style-src-elem', 'innerHTML', 'script']) {
      assert.ok(stopped.seen.includes(one), `${one} in ${stopped.seen}`);
    }
    assert.equal(stopped.hostile, undefined);
    await page.context().close();
  });

  test('the counts in the page are those of the fleet', async () => {
    const page = await open('fleet');
    const { nodes } = fleet('fleet');
    const words = { ready: 'ready', 'not-ready': 'not ready', unknown: 'unknown' };
    for (const [state, word] of Object.entries(words)) {
      const expected = nodes.filter((node) => node.verdict.state === state).length;
      const tile = page.locator(`.tiles a[href="#state=${encodeURIComponent(word)}"] b`);
      assert.equal(await tile.textContent(), `${expected}`);
      await page.selectOption('#state', `=${word}`);
      assert.equal(await found(page), `Found ${expected} of ${nodes.length} nodes.`);
    }
    for (const link of await page.locator('.reasons a').all()) {
      await link.click();
      const reason = await link.textContent();
      const expected = nodes.filter((node) => node.verdict.reason === reason).length;
      assert.equal(await found(page), `Found ${expected} of ${nodes.length} nodes.`);
    }
    await page.context().close();
  });

  test('a search finds by each word, a filter by value, and the address keeps both', async () => {
    const page = await open('fleet');
    const { nodes } = fleet('fleet');
    const wanted = nodes.filter((node) => node.labels.zone === 'eu-central-1c'
      && node.verdict.reason === 'BpfNotInLsmList' && node.osImage.includes('Ubuntu'));
    await page.locator('#search').fill('  BPFnotin UBUNTU ');
    await page.selectOption('#zone', '=eu-central-1c');
    assert.notEqual(wanted.length, 0);
    assert.equal(await rows(page).count(), wanted.length);
    const names = await Promise.all((await rows(page).all()).map(nameOf));
    assert.deepEqual(names, wanted.map((node) => node.name));
    const again = await open('fleet', { hash: new URL(page.url()).hash });
    assert.equal(await found(again), await found(page));
    await page.locator('button[type=reset]').click();
    assert.equal(await found(page), `${nodes.length} nodes.`);
    await page.locator('#search').fill('no such node');
    assert.equal(await found(page), `Found 0 of ${nodes.length} nodes.`);
    await page.context().close();
    await again.context().close();
  });

  test('a node opens and closes by keyboard, and says why and what to do', async () => {
    const page = await open('fleet');
    const node = fleet('fleet').nodes.find((one) => one.verdict.fix !== '');
    await page.locator('#search').fill(node.name);
    const button = page.locator('button.open');
    await button.focus();
    await page.keyboard.press('Enter');
    assert.equal(await button.getAttribute('aria-expanded'), 'true');
    const detail = await page.locator('tr.detail').textContent();
    const { message, fix } = node.verdict;
    for (const text of [message, fix, node.kernel, node.checks[0].detail]) {
      assert.ok(detail.includes(text), text);
    }
    for (const rung of node.rungs) assert.ok(detail.includes(rung.name), rung.name);
    const outline = await button.evaluate((one) => getComputedStyle(one).outlineStyle);
    assert.equal(outline, 'solid', 'the focus is seen');
    await page.keyboard.press('Space');
    assert.equal(await page.locator('tr.detail').count(), 0);
    await close(page);
  });

  test('every control is reached by the Tab key in the order of the page', async () => {
    const page = await open('fleet');
    const reached = [];
    for (let step = 0; step < 60; step += 1) {
      await page.keyboard.press('Tab');
      reached.push(await page.evaluate(() => document.activeElement.id
        || document.activeElement.className || document.activeElement.textContent));
    }
    assert.equal(reached[0], 'skip');
    const controls = ['search', 'state', 'reason', 'evidence', 'kernel', 'pool', 'zone', 'open'];
    const places = controls.map((control) => reached.indexOf(control));
    assert.ok(places.every((place) => place > 0), String(places));
    assert.deepEqual(places, [...places].sort((one, other) => one - other));
    await close(page);
  });

  test('the columns sort, up and down, and say so', async () => {
    const page = await open('fleet');
    const column = page.locator('th[data-sort=name]');
    await column.locator('button').click();
    assert.equal(await column.getAttribute('aria-sort'), 'ascending');
    const first = await nameOf(rows(page).first());
    await column.locator('button').click();
    assert.equal(await column.getAttribute('aria-sort'), 'descending');
    const names = fleet('fleet').nodes.map((node) => node.name);
    names.sort(new Intl.Collator('en', { numeric: true }).compare);
    assert.equal(first, names.at(0));
    assert.equal(await nameOf(rows(page).first()), names.at(-1));
    await close(page);
  });

  test('without JavaScript the summary and the first nodes are readable', async () => {
    const page = await open('5000', { javaScriptEnabled: false });
    assert.equal(await rows(page).count(), 300);
    assert.equal(await found(page), 'The first 300 of 5,000 nodes.');
    assert.ok(await page.locator('noscript p').isVisible());
    assert.ok(!(await page.locator('#filters').isVisible()));
    await close(page);
  });

  test('what is printed is open', async () => {
    const page = await open('fleet');
    await page.selectOption('#state', '=unknown');
    const before = await rows(page).count();
    await page.evaluate(() => {
      addEventListener('beforeprint', () => {
        window.printed = [document.querySelectorAll('tr.detail').length,
          document.querySelectorAll('details:not([open])').length];
      });
    });
    await page.pdf();
    assert.deepEqual(await page.evaluate(() => window.printed), [before, 0]);
    assert.equal(await page.locator('tr.detail').count(), 0, 'and closed again');
    await page.context().close();
  });
});

// Milliseconds until the rows are there and something is painted, and of five searches.
async function times(page) {
  const usable = await page.evaluate(async () => {
    const paint = await new Promise((found) => {
      new PerformanceObserver((list) => found(list.getEntries().at(-1)))
        .observe({ type: 'paint', buffered: true });
    });
    return Math.max(performance.getEntriesByName('usable')[0].startTime, paint.startTime);
  });
  const [first, ...others] = await page.evaluate(() => {
    const field = document.getElementById('search');
    return ['ubuntu', 'gpu-0', 'general eu-central-1a', 'denied 6.1', 'graviton'].map((text) => {
      field.value = text;
      const begun = performance.now();
      field.dispatchEvent(new Event('input', { bubbles: true }));
      document.body.getBoundingClientRect();
      return performance.now() - begun;
    });
  });
  // The first search prepares the texts.
  return { usable, first, search: Math.min(...others) };
}

// Times are measured when nothing else runs. The quickest of up to three visits counts: a pause of a
// busy machine is not the page's.
for (const [name, limit] of [['5000', 1_000], ['20000', 3_000]]) {
  test(`${name} nodes are usable in ${limit} ms, and found in ${limit / 10} ms`, async (t) => {
    const bytes = readFileSync(`${FOLDER}/${name}.html`).length;
    assert.ok(bytes < Number(name) * 200, `${bytes} bytes`);
    const isQuick = ({ usable, first, search }) =>
      usable < limit && first < limit && search < limit / 10;
    let found;
    for (let visit = 0; visit < 3 && !(found && isQuick(found)); visit += 1) {
      const page = await open(name);
      found = await times(page);
      await close(page);
      const [usable, first, search] = Object.values(found).map((one) => one.toFixed(0));
      t.diagnostic(`usable after ${usable} ms, first search ${first} ms, others ${search} ms`);
    }
    assert.ok(isQuick(found), JSON.stringify(found));
  });
}
